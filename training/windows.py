"""Sliding windows as gathers: which pixels each output position reads."""

import numpy as np
from numpy.lib.stride_tricks import as_strided
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
        Pixels along either axis, at equal steps from output to output and from tap to tap.
    channels : int
        At least C.
    outside : float
        What pixels outside the image and channels beyond C read as.

    Returns
    -------
    ndarray, (batch, out_rows, out_columns, kernel_rows, kernel_columns, channels), dtype of `images`
    """
    batch, height, width, depth = images.shape
    row_span, column_span = _span(rows, height), _span(columns, width)
    padded = _padded(images, row_span, column_span, outside)
    shape = (batch, len(rows), len(columns), rows.shape[1], columns.shape[1], channels)
    windows = np.empty(shape, images.dtype) if channels == depth else np.full(shape, outside, images.dtype)
    if windows.size:
        first = padded[:, int(rows[0, 0]) + row_span[0] :, int(columns[0, 0]) + column_span[0] :]
        sample, row, column, channel = padded.strides
        (row_step, row_tap), (column_step, column_tap) = _steps(rows), _steps(columns)
        strides = (sample, row * row_step, column * column_step, row * row_tap, column * column_tap, channel)
        windows[..., :depth] = as_strided(first, (*shape[:-1], depth), strides, writeable=False)
    return windows


def _span(places: Positions, size: int) -> tuple[int, int]:
    """Pixels that an axis must have before its first and after its last one."""
    return max(-int(places.min(initial=0)), 0), max(int(places.max(initial=0)) - size + 1, 0)


def _padded(images: Array, rows: tuple[int, int], columns: tuple[int, int], outside: float) -> Array:
    if not any((*rows, *columns)):
        return images
    batch, height, width, depth = images.shape
    padded = np.full((batch, height + sum(rows), width + sum(columns), depth), outside, images.dtype)
    padded[:, rows[0] : rows[0] + height, columns[0] : columns[0] + width] = images
    return padded


def _steps(places: Positions) -> tuple[int, int]:
    """How far neighbouring outputs and neighbouring taps are apart, which is the same everywhere."""
    outputs, taps = places.shape
    return int(places[min(1, outputs - 1), 0] - places[0, 0]), int(places[0, min(1, taps - 1)] - places[0, 0])
