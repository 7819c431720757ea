"""Element-wise functions whose gradient needs their input."""

import numpy as np

from dataflow import network, tokens
from hw.errors import InputError
from hw.isa.functions import ACTIVATIONS
from training.layers.module import Module, Pass
from training.numbers import Array


class Activation(Module[tokens.Activation]):
    """GELU, ``x Φ(x)``, with Φ by erf or in its tanh form (Hendrycks and Gimpel, 2016); SiLU, ``x sigmoid(x)``."""

    def setup(self, shape: network.Shape, rng: np.random.Generator) -> None:
        if self.layer.kind not in ACTIVATIONS:
            allowed = ", ".join(ACTIVATIONS)
            raise InputError(f"layer {self.layer.name!r}: activation {self.layer.kind!r} cannot be trained; allowed: {allowed}")

    def forward(self, *inputs: Array, how: Pass) -> Array:
        self.input = inputs[0].astype(self.backend.wide)
        return self.backend.store(self.backend.function(ACTIVATIONS[self.layer.kind][0], self.input) * self.input)

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        return (self.backend.store(self.backend.function(ACTIVATIONS[self.layer.kind][1], self.input) * gradient),)
