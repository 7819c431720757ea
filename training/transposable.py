"""Masks that are N:M along input and output channels at once."""

import numpy as np
from numpy.typing import NDArray

from hw.ratio import Ratio
from training.nm import Mask
from training.numbers import Array


def transposable_mask(weights: Array, ratio: Ratio) -> Mask:
    """Keep at most N a row and N a column of every M x M block of (outputs, inputs), tap by tap.

    Greedy: of a block's elements, largest magnitude first and equal ones in order, each is kept whose row and column still
    have room. What is kept is at least half of what the best mask keeps (the 2-approximation of Hubara et al., NeurIPS 2021).

    Parameters
    ----------
    weights : ndarray, (outputs, *kernel, inputs), storage values
        Blocks at the end of either axis may be short.
    ratio : Ratio
        N kept of every M.

    Returns
    -------
    ndarray, shape of `weights`, bool
    """
    taps = np.moveaxis(weights, 0, -2)
    outputs, inputs = taps.shape[-2:]
    rows, columns, m = ratio.groups(outputs), ratio.groups(inputs), ratio.m
    padded = np.full((*taps.shape[:-2], rows * m, columns * m), -1.0, np.float32)
    padded[..., :outputs, :inputs] = np.abs(taps)
    blocks = padded.reshape(-1, rows, m, columns, m).swapaxes(2, 3).reshape(-1, m * m)
    kept = _greedy(blocks, ratio).reshape(-1, rows, columns, m, m).swapaxes(2, 3).reshape(padded.shape)
    return np.moveaxis(kept[..., :outputs, :inputs], -2, 0)


def _greedy(blocks: NDArray[np.float32], ratio: Ratio) -> Mask:
    """(blocks, M·M) magnitudes, row by row, to the mask; all blocks advance together, one rank at a time."""
    order = np.argsort(-blocks, axis=1, kind="stable")
    everyone = np.arange(len(blocks))
    room = np.full((2, len(blocks), ratio.m), ratio.n)
    mask = np.zeros(blocks.shape, bool)
    for element in order.T:
        row, column = element // ratio.m, element % ratio.m
        fits = (room[0, everyone, row] > 0) & (room[1, everyone, column] > 0)
        mask[everyone, element] = fits
        room[0, everyone, row] -= fits
        room[1, everyone, column] -= fits
    return mask
