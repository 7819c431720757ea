"""Element-wise functions whose gradient needs their input."""

import numpy as np

from dataflow import network, tokens
from hw.errors import InputError
from hw.isa.functions import Function
from training.layers.module import Module, Pass
from training.numbers import Array

FUNCTIONS = {
    "gelu": (Function.NORMAL, Function.GELU_SLOPE),
    "gelu_tanh": (Function.NORMAL_TANH, Function.GELU_TANH_SLOPE),
    "silu": (Function.SIGMOID, Function.SILU_SLOPE),
}
"""What an activation multiplies its input by, and its derivative."""


class Activation(Module[tokens.Activation]):
    """GELU, ``x Φ(x)``, with Φ by erf or in its tanh form (Hendrycks and Gimpel, 2016); SiLU, ``x sigmoid(x)``."""

    def setup(self, shape: network.Shape, rng: np.random.Generator) -> None:
        if self.layer.kind not in FUNCTIONS:
            allowed = ", ".join(FUNCTIONS)
            raise InputError(f"layer {self.layer.name!r}: activation {self.layer.kind!r} cannot be trained; allowed: {allowed}")

    def forward(self, *inputs: Array, how: Pass) -> Array:
        self.input = inputs[0].astype(self.backend.wide)
        return self.backend.store(self.backend.function(FUNCTIONS[self.layer.kind][0], self.input) * self.input)

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        return (self.backend.store(self.backend.function(FUNCTIONS[self.layer.kind][1], self.input) * gradient),)
