"""Product of two activations."""

import numpy as np

from dataflow import tokens
from training.layers.module import Module, Pass
from training.numbers import Array


class MatMul(Module[tokens.MatMul]):
    """``y = a b``, ``da = dy b^T``, ``db = a^T dy`` for every leading index, or with b transposed."""

    def forward(self, *inputs: Array, how: Pass) -> Array:
        self.left, self.right = inputs
        right = self.right if self.layer.transposed else self.right.swapaxes(-1, -2)
        return self.backend.store(self.backend.products(self.left, right))

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        columns, left = np.swapaxes(gradient, -1, -2), np.swapaxes(self.left, -1, -2)
        if self.layer.transposed:
            pair = (gradient, self.right.swapaxes(-1, -2)), (columns, left)
        else:
            pair = (gradient, self.right), (left, columns)
        first, second = (self.backend.store(self.backend.products(*operands)) for operands in pair)
        return first, second
