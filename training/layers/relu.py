"""max(x, 0)."""

import numpy as np

from dataflow import network
from training.layers.module import Module, Pass
from training.numbers import Array, masked


class Relu(Module[network.Relu]):
    """+0 where the stored input is zero or below, with gradient +0; NaN passes on, so that a lost step is seen."""

    def forward(self, *inputs: Array, how: Pass) -> Array:
        values, result = inputs[0], np.empty_like(inputs[0])
        self.on = np.empty(values.shape, bool)

        def fill(part: slice) -> None:
            np.logical_not(values[part] <= 0, out=self.on[part])
            result[part] = masked(values[part], self.on[part])

        self.backend.map(fill, self.backend.parts(values))
        return result

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        result = np.empty_like(gradient)

        def fill(part: slice) -> None:
            result[part] = masked(gradient[part], self.on[part])

        self.backend.map(fill, self.backend.parts(gradient))
        return (result,)
