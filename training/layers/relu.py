"""max(x, 0)."""

import numpy as np

from dataflow import network
from training.layers.module import Module, Pass
from training.numbers import Array


class Relu(Module[network.Relu]):
    """+0 where the stored input is zero or below, with gradient +0; NaN passes on, so that a lost step is seen."""

    def forward(self, *inputs: Array, how: Pass) -> Array:
        self.off = inputs[0] <= 0
        return np.where(self.off, inputs[0].dtype.type(0), inputs[0])

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        return (np.where(self.off, gradient.dtype.type(0), gradient),)
