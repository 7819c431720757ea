"""Unbiased N:M sampling: keep at most N of every M at random, scaled so that the mean is the whole."""

import numpy as np
from numpy.typing import NDArray

from hw.ratio import Ratio
from training.numbers import Array

BLOCK = 1 << 16
"""Numbers to sample from at once: they stay in cache."""
NEARLY_ONE = np.float32(1 - 2.0**-20)
"""A share from which on an element is certain: what rounding leaves of 1."""


def sample(values: Array, ratio: Ratio, rng: np.random.Generator, axis: int = -1) -> NDArray[np.float32]:
    """Sample one axis N:M without bias, at the least variance that N kept of M allow.

    Element x is kept with probability p and becomes x / p. The variance, the sum of x² (1/p - 1), is least under sum p = N
    where p is in proportion to |x|, but at most 1 (Chmiel et al., ICLR 2023, for 1:2 and 2:4). Systematic sampling, one
    uniform number a group, keeps exactly N where N elements are not zero (Madow, 1949).

    Parameters
    ----------
    values : ndarray, any shape, any float
        What to sample.
    ratio : Ratio
        N kept of every M.
    rng : numpy.random.Generator
        Draws one number a group.
    axis : int
        Along which groups lie; a short last one is one of fewer elements.

    Returns
    -------
    ndarray, shape of `values`, float32
    """
    axis %= values.ndim
    before, length, after = (int(np.prod(part)) for part in np.split(np.array(values.shape), [axis, axis + 1]))
    whole, groups = values.reshape(before, length, after), ratio.groups(length)
    result = np.empty(whole.shape, np.float32)
    starts = rng.random((before, groups, after), np.float32)
    step = max(BLOCK // max(before * after * ratio.m, 1), 1)
    for first in range(0, length // ratio.m, step):
        last = min(first + step, length // ratio.m)
        part = slice(first * ratio.m, last * ratio.m)
        grouped = whole[:, part].reshape(before, last - first, ratio.m, after)
        result[:, part] = _sample(grouped, ratio.n, starts[:, first:last]).reshape(before, -1, after)
    if length % ratio.m:
        rest = slice(length // ratio.m * ratio.m, None)
        result[:, rest] = _sample(whole[:, None, rest], ratio.n, starts[:, -1:])[:, 0]
    return result.reshape(values.shape)


def _sample(groups: Array, n: int, starts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Groups (..., M, after), with a start (..., after) each."""
    magnitudes = np.abs(groups).astype(np.float32, copy=False)
    probability, certain = inclusion(magnitudes, n)
    uncertain = np.where(certain, np.float32(0), probability)
    above = np.minimum(np.cumsum(uncertain, axis=-2), (n - certain.sum(axis=-2, keepdims=True)).astype(np.float32))
    ticks = np.ceil(above - starts[..., None, :])  # how many of start, start + 1, ... lie below
    chosen = certain | (np.diff(ticks, axis=-2, prepend=np.float32(0)) > 0)
    with np.errstate(over="ignore"):
        return np.divide(groups, probability, out=np.zeros_like(magnitudes), where=chosen & (probability > 0))


def inclusion(magnitudes: NDArray[np.floating], n: int) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """Probabilities (..., M, after) in proportion to `magnitudes`, at most 1, of sum N, or of all where fewer are not zero.

    Returns
    -------
    ndarray, ndarray of bool
        Probabilities, and which of them are 1.
    """
    certain = np.zeros(magnitudes.shape, bool)
    rest = magnitudes
    while True:
        total = rest.sum(axis=-2, keepdims=True)
        left = n - certain.sum(axis=-2, keepdims=True)
        factor = np.divide(left, total, out=np.zeros_like(total), where=total > 0)
        share = rest * factor
        more = (share >= NEARLY_ONE) & (left > 0) & (rest > 0)
        if not more.any():
            return np.where(certain, magnitudes.dtype.type(1), share), certain
        certain |= more
        rest = np.where(certain, magnitudes.dtype.type(0), magnitudes)
