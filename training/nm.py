"""N:M selection and packing: which N of every M weights are kept, and how they are stored.

::

    weights   0.1 -0.9 0.3 0.0 | 0.5 0.5 -0.5 0.2       2:4, grouped along the last axis
    mask       .    x   x   .  |  x   x    .   .        largest magnitudes, ties keep the lower index
    values        -0.9 0.3     |   0.5 0.5              exactly N a group, in ascending index
    indices         1   2      |    0   1
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.errors import InputError
from hw.ratio import Ratio
from training.numbers import Array

Mask = NDArray[np.bool_]
MAX_GROUP = 256
"""The largest M whose indices fit the uint8 of `Packed`."""


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


def grouped(weights: Array, ratio: Ratio) -> Array:
    """(..., length) as (..., groups, M), contiguous, the short last group padded with zeros."""
    *outer, length = weights.shape
    groups = ratio.groups(length)
    if groups * ratio.m == length:
        return np.ascontiguousarray(weights).reshape(*outer, groups, ratio.m)
    padded = np.zeros((*outer, groups * ratio.m), weights.dtype)
    padded[..., :length] = weights
    return padded.reshape(*outer, groups, ratio.m)


def _select_groups(groups: Array, ratio: Ratio) -> Mask:
    """Exactly N True in every row of M.

    Each element's key is its magnitude with its distance from the group's end below, so that no two keys of a row are
    equal and the order among them is the contract's. Padding zeros come last in a group and lose every tie.
    """
    if ratio.is_dense or not groups.size:
        return np.ones(groups.shape, bool)
    bits, key_type = (np.uint16, np.uint32) if groups.dtype == np.float16 else (np.uint32, np.uint64)
    key: NDArray[Any] = groups.view(bits).astype(key_type)
    key &= np.iinfo(bits).max >> 1
    key <<= ratio.index_bits
    key |= np.arange(ratio.m, dtype=key_type)[::-1]
    rows = key.reshape(prod(groups.shape[:-1]), ratio.m)
    least = np.partition(rows, ratio.m - ratio.n, axis=-1)[:, ratio.m - ratio.n, None]
    return (rows >= least).reshape(groups.shape)
