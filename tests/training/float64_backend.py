"""Arithmetic without roundings to speak of, for comparisons with derivatives and with other programs."""

import numpy as np

from training.backend import Backend


class Float64Backend(Backend):
    """Stores and multiplies dense operands in binary64."""

    wide = np.float64

    def store(self, values):
        return values.astype(np.float64)

    def product(self, operand, activations):
        return operand.weights @ activations.T

    def products(self, left, right):
        return left @ right.swapaxes(-1, -2)
