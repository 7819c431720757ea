"""Product of two activations."""

import numpy as np

from dataflow import tokens
from training.layers.module import Module, Pass
from training.numbers import Array


class MatMul(Module[tokens.MatMul]):
    """``y = s a b``, ``da = s dy b^T``, ``db = s a^T dy`` for every leading index, or with b transposed."""

    def forward(self, *inputs: Array, how: Pass) -> Array:
        self.left, self.right = inputs
        right = self.right if self.layer.transposed else self.right.swapaxes(-1, -2)
        return self._scaled(self.left, right)

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        columns, left = np.swapaxes(gradient, -1, -2), np.swapaxes(self.left, -1, -2)
        if self.layer.transposed:
            pair = (gradient, self.right.swapaxes(-1, -2)), (columns, left)
        else:
            pair = (gradient, self.right), (left, columns)
        first, second = (self._scaled(*operands) for operands in pair)
        return first, second

    def _scaled(self, left: Array, right: Array) -> Array:
        """Their product times the scale, rounded once more."""
        sums = self.backend.products(left, right)
        if self.layer.scale != 1:
            sums = sums * self.backend.wide(self.layer.scale)
        return self.backend.store(sums)
