"""Element-wise functions whose gradient needs their input."""

from math import pi, sqrt

import numpy as np

from dataflow import network, tokens
from hw.errors import InputError
from training.layers.module import Module, Pass
from training.numbers import Array


class Activation(Module[tokens.Activation]):
    """GELU, ``x Φ(x)`` with the normal distribution function Φ by erf. Hendrycks and Gimpel, 2016."""

    def setup(self, shape: network.Shape, rng: np.random.Generator) -> None:
        if self.layer.kind != "gelu":
            raise InputError(f"layer {self.layer.name!r}: activation {self.layer.kind!r} cannot be trained; allowed: gelu")

    def forward(self, *inputs: Array, how: Pass) -> Array:
        from scipy.special import erf

        wide = self.backend.wide
        values = inputs[0].astype(wide)
        below = wide(0.5) * (1 + erf(values * wide(1 / sqrt(2))))
        self.slope = below + values * np.exp(wide(-0.5) * values**2) * wide(1 / sqrt(2 * pi))
        return self.backend.store(values * below)

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        return (self.backend.store(gradient.astype(self.backend.wide) * self.slope),)
