"""Matrix product over the last axis."""

import numpy as np

from dataflow import network
from training.layers.weighted import Weighted
from training.numbers import Array
from training.operand import Operand


class Linear(Weighted[network.Linear]):
    """``y = W x + b``; axes before the last all count as samples, in order."""

    def transposed(self, weights: Array) -> Array:
        return np.ascontiguousarray(weights.T)

    def output_product(self, inputs: Array) -> Array:
        return self._over_rows(self.forward_operand, inputs)

    def input_product(self, gradient: Array) -> Array:
        return self._over_rows(self.backward_operand, gradient)

    def weight_product(self, gradient: Array) -> Array:
        rows = self.ask("weight_gradient_operand", gradient.reshape(-1, gradient.shape[-1]))
        return self.backend.outer(rows, self.input.reshape(len(rows), -1))

    def _over_rows(self, operand: Operand, tensor: Array) -> Array:
        """Multiply every row, padded with zeros to whole groups, by the operand."""
        *outer, channels = tensor.shape
        rows = np.zeros((tensor.size // channels, operand.channels), tensor.dtype)
        rows[:, :channels] = tensor.reshape(-1, channels)
        return np.ascontiguousarray(self.backend.product(operand.matrix(), rows).T).reshape(*outer, -1)
