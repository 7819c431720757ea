"""max(x, 0)."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from dataflow import network
from training.layers.module import Module, Pass
from training.numbers import Array

PARTS = 8
"""Of a batch, which threads may share."""


class Relu(Module[network.Relu]):
    """+0 where the stored input is zero or below, with gradient +0; NaN passes on, so that a lost step is seen."""

    def forward(self, *inputs: Array, how: Pass) -> Array:
        self.off = np.less_equal(inputs[0], 0)
        return self._where_on(inputs[0])

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        return (self._where_on(gradient),)

    def _where_on(self, values: Array) -> Array:
        result = np.empty(values.shape, values.dtype)
        size = max(len(values) // PARTS, 1)
        parts = [slice(start, start + size) for start in range(0, len(values), size)]
        self.backend.map(partial(_fill, result, values, self.off), parts)
        return result


def _fill(result: Array, values: Array, off: NDArray[np.bool_], part: slice) -> None:
    result[part] = np.where(off[part], values.dtype.type(0), values[part])
