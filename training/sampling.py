"""Unbiased N:M sampling: keep at most N of every M at random, scaled so that the mean is the whole."""

import numpy as np
from numpy.typing import NDArray

from hw.ratio import Ratio
from training.nm import grouped
from training.numbers import Array


def sample(values: Array, ratio: Ratio, rng: np.random.Generator) -> Array:
    """Sample the last axis N:M without bias, at the least variance that N kept of M allow.

    Element x is kept with probability p and becomes x / p. The variance, the sum of x² (1/p - 1), is least under sum p = N
    where p is in proportion to |x|, but at most 1 (Chmiel et al., ICLR 2023, for 1:2 and 2:4). Systematic sampling, one
    uniform number a group, keeps exactly N where N elements are not zero (Madow, 1949).

    Parameters
    ----------
    values : ndarray, (..., length), any float
        What to sample.
    ratio : Ratio
        N kept of every M.
    rng : numpy.random.Generator
        Draws.

    Returns
    -------
    ndarray, shape and dtype of `values`
    """
    groups = grouped(values, ratio).astype(np.float64)
    probability = inclusion(np.abs(groups), ratio.n)
    above = np.cumsum(probability, axis=-1)
    start = rng.random((*groups.shape[:-1], 1))
    ticks = np.floor(above - start)
    chosen = np.diff(ticks, axis=-1, prepend=-1) > 0
    chosen |= probability == 1
    scaled = np.divide(groups, probability, out=np.zeros_like(groups), where=chosen & (probability > 0))
    flat = scaled.reshape(*values.shape[:-1], -1)[..., : values.shape[-1]]
    with np.errstate(over="ignore"):
        return flat.astype(values.dtype)


def inclusion(magnitudes: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Probabilities (..., M) in proportion to `magnitudes`, at most 1, that sum to N, or keep all where fewer are not zero."""
    certain = np.zeros(magnitudes.shape, bool)
    for _ in range(n + 1):
        rest = np.where(certain, 0, magnitudes)
        total = rest.sum(axis=-1, keepdims=True)
        left = n - certain.sum(axis=-1, keepdims=True)
        share = np.divide(rest * left, total, out=np.zeros_like(rest), where=total > 0)
        certain |= (share >= 1 - 1e-12) & (left > 0)
    return np.where(certain, 1.0, np.minimum(share, 1.0))
