"""Sliding windows as gathers: which pixels each output position reads."""

import numpy as np
from numpy.typing import NDArray

from training.numbers import Array

Positions = NDArray[np.intp]


def positions(outputs: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> Positions:
    """(outputs, kernel): pixel ``output * stride + tap * dilation - padding`` along one axis; may lie outside."""
    return np.arange(outputs)[:, None] * stride + np.arange(kernel) * dilation - padding


def gather(images: Array, rows: Positions, columns: Positions, channels: int, outside: float = 0.0) -> Array:
    """Collect the windows of `images`.

    Parameters
    ----------
    images : ndarray, (batch, height, width, C)
        Where to read.
    rows, columns : ndarray of int, (out_rows, kernel_rows) and (out_columns, kernel_columns)
        Pixels along either axis.
    channels : int
        At least C.
    outside : float
        What pixels outside the image and channels beyond C read as.

    Returns
    -------
    ndarray, (batch, out_rows, out_columns, kernel_rows, kernel_columns, channels), dtype of `images`
    """
    batch, height, width, depth = images.shape
    padded = np.full((batch, height + 1, width + 1, channels), outside, images.dtype)
    padded[:, :height, :width, :depth] = images
    row = np.where((rows >= 0) & (rows < height), rows, height)
    column = np.where((columns >= 0) & (columns < width), columns, width)
    pixel = row[:, None, :, None] * (width + 1) + column[None, :, None, :]
    return np.take(padded.reshape(batch, -1, channels), pixel, axis=1)
