"""Matrix products by BLAS: as accurate as the array's, not the same bits.

BLAS may reorder the sums and fuse its multiplications; `fast_error_bound` says how far apart the two can be.
"""

import numpy as np
from numpy.typing import NDArray

from hw.ratio import Ratio
from training.exact import Float32
from training.nm import Packed, unpack
from training.numbers import Array

UNIT_ROUNDOFF = 2.0**-24
"""Largest relative error of one binary32 rounding."""


def matmul(weights: Array, activations: Array) -> Float32:
    """(m, k) by (n, k) to (m, n) float32, columns contiguous as the next layer reads them; see `training.exact.matmul`."""
    with np.errstate(all="ignore"):
        return (activations.astype(np.float32, copy=False) @ weights.astype(np.float32, copy=False).T).T


def matmul_packed(values: Array, indices: NDArray[np.integer], activations: Array, ratio: Ratio) -> Float32:
    """Packed (m, groups * N) by (n, groups * M) to (m, n) float32; see `training.exact.matmul_packed`."""
    return matmul(dense(values, indices, ratio), activations)


def dense(values: Array, indices: NDArray[np.integer], ratio: Ratio) -> Float32:
    """Packed (m, groups * N) as (m, groups * M) float32 with zeros in between."""
    groups = values.shape[1] // ratio.n
    shape = (values.shape[0], groups, ratio.n)
    packed = Packed(values.astype(np.float32).reshape(shape), indices.astype(np.uint8).reshape(shape))
    return unpack(packed, ratio, groups * ratio.m)


def fast_error_bound(k: int, absolute: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far a fast product may be from the exact mode's, for finite results.

    A sum of k products in binary32, in any order, with or without fused multiplications, puts at most k roundings on each
    term (one by the multiplication, k - 1 by additions), so it differs from the true sum S of w_p x_p by at most
    ``gamma_k * absolute`` with ``gamma_k = k u / (1 - k u)``, ``u = 2**-24`` and ``absolute`` the sum of ``|w_p x_p|``
    (Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd edition, section 3.1). Both modes are such sums; hence
    twice that. A product below binary32's normal range, which binary16 operands cannot make, adds at most half of the
    smallest subnormal, 2**-150, to each of the k terms of either sum.

    Parameters
    ----------
    k : int
        Reduction length, products of padding included, below 2**24.
    absolute : ndarray, any shape, float64
        Sum over p of ``|w_p| |x_p|`` of each output.

    Returns
    -------
    ndarray, shape of `absolute`, float64
        Largest absolute difference.
    """
    gamma = k * UNIT_ROUNDOFF / (1 - k * UNIT_ROUNDOFF)
    return 2 * (gamma * absolute + k * 2.0**-150)
