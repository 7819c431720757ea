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
    row_span, column_span = _span(rows, height), _span(columns, width)
    padded = _padded(images, row_span, column_span, outside)
    windows = (
        np.full((batch, len(rows), len(columns), rows.shape[1], columns.shape[1], channels), outside, images.dtype)
        if (channels > depth)
        else np.empty((batch, len(rows), len(columns), rows.shape[1], columns.shape[1], channels), images.dtype)
    )
    for row, column in np.ndindex(rows.shape[1], columns.shape[1]):
        read = padded[:, _steps(rows[:, row], row_span), _steps(columns[:, column], column_span)]
        windows[:, :, :, row, column, :depth] = read
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


def _steps(places: Positions, span: tuple[int, int]) -> slice:
    """The places that one tap reads, which lie at equal steps, as a slice of the padded axis."""
    first = int(places[0]) + span[0]
    step = int(places[1] - places[0]) if len(places) > 1 else 1
    return slice(first, first + (len(places) - 1) * step + 1, step)
