"""N:M selection and packing: which N of every M weights are kept, and how they are stored.

::

    weights   0.1 -0.9 0.3 0.0 | 0.5 0.5 -0.5 0.2       2:4, grouped along the last axis
    mask       .    x   x   .  |  x   x    .   .        largest magnitudes, ties keep the lower index
    values        -0.9 0.3     |   0.5 0.5              exactly N a group, in ascending index
    indices         1   2      |    0   1
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.errors import InputError
from hw.ratio import Ratio
from training.numbers import Array

Mask = NDArray[np.bool_]
MAX_GROUP = 256
"""The largest M whose indices fit the uint8 of `Packed`."""
BLOCK = 1 << 16
"""Weights to select from at once: they stay in cache."""


@dataclass(frozen=True)
class Packed:
    """N:M weights as the hardware stores them.

    Parameters
    ----------
    values : ndarray, (..., groups, N), storage values
        Kept elements; zeros where a short last group was padded.
    indices : ndarray, (..., groups, N), uint8
        Position of each within its group of M, ascending.
    """

    values: Array
    indices: NDArray[np.uint8]

    def map(self, function: Callable[[NDArray[Any]], NDArray[Any]]) -> "Packed":
        """Apply one rearrangement (an indexing, a reshape) to values and indices alike."""
        return Packed(function(self.values), function(self.indices))


def select(weights: Array, ratio: Ratio, axis: int = -1) -> Mask:
    """Mark the N largest magnitudes of every M consecutive elements along `axis`.

    Magnitudes compare as the integers of the bits below the sign, so that NaN is largest; of equal magnitudes the lower
    index is kept. A short last group keeps N, or all it has.

    Parameters
    ----------
    weights : ndarray, any shape, float16 or float32 storage values
        What to select from.
    ratio : Ratio
        N kept of every M.
    axis : int
        The grouped axis.

    Returns
    -------
    ndarray, shape of `weights`, bool
        True where kept.
    """
    last = np.moveaxis(weights, axis, -1)
    kept = _select_groups(grouped(last, ratio), ratio)
    flat = kept.reshape(*last.shape[:-1], kept.shape[-2] * ratio.m)[..., : last.shape[-1]]
    return np.moveaxis(flat, -1, axis)


def pack(weights: Array, ratio: Ratio) -> Packed:
    """Keep N of every M along the last axis, in ascending index.

    Parameters
    ----------
    weights : ndarray, (..., length), float16 or float32 storage values
        The grouped axis last; a short last group is padded with zeros, so that it too yields exactly N.
    ratio : Ratio
        N kept of every M, M at most `MAX_GROUP`.

    Returns
    -------
    Packed
        (..., ceil(length / M), N).
    """
    if ratio.m > MAX_GROUP:
        raise InputError(f"ratio {ratio}: packed indices hold groups of at most {MAX_GROUP}")
    groups = grouped(weights, ratio)
    kept = np.flatnonzero(_select_groups(groups, ratio))
    shape = (*groups.shape[:-1], ratio.n)
    return Packed(groups.reshape(-1)[kept].reshape(shape), (kept % ratio.m).astype(np.uint8).reshape(shape))


def unpack(packed: Packed, ratio: Ratio, length: int) -> Array:
    """The weights with zeros where pruned, (..., length); `length` is the axis before packing."""
    groups = packed.values.shape[-2]
    if groups != ratio.groups(length) or packed.values.shape[-1] != ratio.n:
        raise ValueError(f"{packed.values.shape} is not a packed axis of {length} at {ratio}")
    dense = np.zeros((*packed.values.shape[:-1], ratio.m), packed.values.dtype)
    np.put_along_axis(dense, packed.indices.astype(np.intp), packed.values, axis=-1)
    return dense.reshape(*packed.values.shape[:-2], groups * ratio.m)[..., :length]


def grouped(weights: NDArray[Any], ratio: Ratio) -> NDArray[Any]:
    """(..., length) as (..., groups, M), contiguous, the short last group padded with zeros."""
    *outer, length = weights.shape
    groups = ratio.groups(length)
    if groups * ratio.m == length:
        return np.ascontiguousarray(weights).reshape(*outer, groups, ratio.m)
    padded = np.zeros((*outer, groups * ratio.m), weights.dtype)
    padded[..., :length] = weights
    return padded.reshape(*outer, groups, ratio.m)


def _select_groups(groups: Array, ratio: Ratio) -> Mask:
    """Exactly N True in every row of M. Padding zeros come last in a group and lose every tie."""
    if ratio.is_dense or not groups.size:
        return np.ones(groups.shape, bool)
    rows = groups.reshape(-1, ratio.m).view(f"u{groups.itemsize}")
    magnitude = rows.dtype.type(np.iinfo(rows.dtype).max >> 1)
    mask = np.empty(rows.shape, bool)
    step = max(BLOCK // ratio.m, 1)
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        mask[part] = _select_columns(np.bitwise_and(rows[part].T, magnitude, order="C"), ratio.n).T
    return mask.reshape(groups.shape)


def _select_columns(keys: NDArray[np.unsignedinteger], n: int) -> Mask:
    """(M, groups): the n largest of every column, the upper of equal ones."""
    least = _nth_largest(keys, n)
    mask = keys >= least
    tied = np.flatnonzero(np.add.reduce(mask, axis=0, dtype=np.uint16) > n)
    if tied.size:
        above, level = keys[:, tied] > least[tied], keys[:, tied] == least[tied]
        mask[:, tied] = above | level & (level.cumsum(axis=0) <= n - above.sum(axis=0))
    return mask


def _nth_largest(keys: NDArray[np.unsignedinteger], n: int) -> NDArray[np.unsignedinteger]:
    """(groups,) of (M, groups): each key passes n registers, which keep the larger and pass the smaller on, as in the SORE."""
    registers = np.zeros((n, keys.shape[1]), keys.dtype)
    for key in keys:
        for register in registers[:-1]:
            passed = np.minimum(register, key)
            np.maximum(register, key, out=register)
            key = passed
        np.maximum(registers[-1], key, out=registers[-1])
    return registers[-1]
