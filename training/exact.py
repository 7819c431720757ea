"""Matrix products bit for bit as the array computes them.

One binary32 accumulator per output starts from +0 and takes the reduction index in ascending order; each product of two
storage values is one binary32 multiplication (exact for binary16), each accumulation one binary32 addition. A NaN result is
the canonical one. The loop over the reduction index is outermost within a tile of the output that stays in cache, so that
NumPy works on whole rows of independent accumulators.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hw.ratio import Ratio
from training.numbers import Array, canonical

Float32 = NDArray[np.float32]

TILE_COLUMNS = 1024
TILE_ELEMENTS = 64 * TILE_COLUMNS
"""Accumulators of a tile: with as many products, half a megabyte, which an L2 cache holds."""


def matmul(weights: Array, activations: Array) -> Float32:
    """``output[i, j] = sum over p of weights[i, p] * activations[j, p]``, p ascending.

    Parameters
    ----------
    weights : ndarray, (m, k), storage values
        One output row each.
    activations : ndarray, (n, k), storage values
        One output column each.

    Returns
    -------
    ndarray, (m, n), float32
        +0 everywhere when k is 0.
    """
    if weights.shape[1] != activations.shape[1]:
        raise ValueError(f"reductions differ: weights {weights.shape}, activations {activations.shape}")
    west, north = _reduction_first(weights), _reduction_first(activations)
    sums = np.zeros((west.shape[1], north.shape[1]), np.float32)
    with np.errstate(all="ignore"):
        for rows, columns in _tiles(*sums.shape):
            tile = np.zeros_like(sums[rows, columns])
            product = np.empty_like(tile)
            for weight, activation in zip(west[:, rows, None], north[:, columns], strict=True):
                np.multiply(weight, activation, out=product)
                np.add(tile, product, out=tile)
            sums[rows, columns] = tile
    return canonical(sums)


def matmul_packed(values: Array, indices: NDArray[np.integer], activations: Array, ratio: Ratio) -> Float32:
    """The product of packed N:M weights; kept elements go in order, padded zeros included.

    Parameters
    ----------
    values, indices : ndarray, (m, groups * N), storage values and integers below M
        Column p is kept element ``p % N`` of group ``p // N``, which selects column ``M * (p // N) + index``.
    activations : ndarray, (n, groups * M), storage values
        Padded to whole groups.
    ratio : Ratio
        N kept of every M.

    Returns
    -------
    ndarray, (m, n), float32
        As `matmul` of the kept elements.
    """
    kept, k = values.shape[1], activations.shape[1]
    if indices.shape != values.shape or kept * ratio.m != k * ratio.n:
        raise ValueError(f"{values.shape} values and {indices.shape} indices do not pack {activations.shape} at {ratio}")
    return matmul_chosen(values, indices + np.arange(kept) // ratio.n * ratio.m, activations)


def matmul_chosen(values: Array, chosen: NDArray[np.integer], activations: Array) -> Float32:
    """``output[i, j] = sum over p of values[i, p] * activations[j, chosen[i, p]]``, p ascending.

    Parameters
    ----------
    values, chosen : ndarray, (m, kept), storage values and columns of `activations`
        What is multiplied by what.
    activations : ndarray, (n, k), storage values
        One output column each.

    Returns
    -------
    ndarray, (m, n), float32
    """
    west, north = _reduction_first(values), _reduction_first(activations)
    columns_of = np.ascontiguousarray(chosen.T)
    sums = np.zeros((west.shape[1], north.shape[1]), np.float32)
    with np.errstate(all="ignore"):
        for rows, columns in _tiles(*sums.shape):
            tile = np.zeros_like(sums[rows, columns])
            product = np.empty_like(tile)
            north_tile = np.ascontiguousarray(north[:, columns])
            for weight, choice in zip(west[:, rows, None], columns_of[:, rows], strict=True):
                np.take(north_tile, choice, axis=0, out=product, mode="clip")
                np.multiply(product, weight, out=product)
                np.add(tile, product, out=tile)
            sums[rows, columns] = tile
    return canonical(sums)


def _reduction_first(operand: Array) -> Float32:
    """(k, rows), binary32, contiguous."""
    return np.ascontiguousarray(operand.T, dtype=np.float32)


def _tiles(m: int, n: int) -> Iterator[tuple[slice, slice]]:
    """Row and column slices that cover an (m, n) output."""
    columns = min(n, TILE_COLUMNS)
    rows = TILE_ELEMENTS // max(columns, 1)
    for column in range(0, n, TILE_COLUMNS):
        for row in range(0, m, rows):
            yield slice(row, row + rows), slice(column, column + columns)
