"""The weights that one product reads: dense, or packed N:M along the reduction's channels."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.ratio import DENSE, Ratio
from training.nm import Mask, Packed
from training.numbers import Array


@dataclass(frozen=True)
class Operand:
    """Weights and the ratio at which they are packed.

    Parameters
    ----------
    weights : ndarray (rows, *kernel, channels) or Packed (rows, *kernel, groups, N)
        Storage values.
    ratio : Ratio
        `DENSE` where `weights` is an array.
    """

    weights: Array | Packed
    ratio: Ratio = DENSE

    @property
    def values(self) -> Array:
        """The numbers, packed or not."""
        return self.weights.values if isinstance(self.weights, Packed) else self.weights

    @property
    def lead(self) -> tuple[int, ...]:
        """(rows, *kernel)."""
        return self.values.shape[: -2 if isinstance(self.weights, Packed) else -1]

    @property
    def channels(self) -> int:
        """Channels that the activations need: whole groups of M where packed."""
        if isinstance(self.weights, Packed):
            return self.weights.values.shape[-2] * self.ratio.m
        return self.weights.shape[-1]

    def map(self, function: Callable[[NDArray[Any]], NDArray[Any]]) -> "Operand":
        """Apply one indexing or reshape that leaves the channels' axes alone."""
        weights = self.weights.map(function) if isinstance(self.weights, Packed) else function(self.weights)
        return Operand(weights, self.ratio)

    def matrix(self) -> "Operand":
        """One row an output: (rows, kept reduction), channels innermost."""
        return self.map(lambda part: part.reshape(len(part), -1))


def kept_mask(operand: Operand) -> Mask:
    """Which weights of a packed operand are kept, (rows, *kernel, channels), whole groups of M."""
    if not isinstance(operand.weights, Packed):
        return np.ones(operand.weights.shape, np.bool_)
    indices = operand.weights.indices
    mask = np.zeros((*indices.shape[:-1], operand.ratio.m), np.bool_)
    np.put_along_axis(mask, indices.astype(np.intp), np.True_, axis=-1)
    return mask.reshape(*indices.shape[:-2], -1)
