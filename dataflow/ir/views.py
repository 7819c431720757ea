"""Matrix views on NumPy arrays: what a product reads, and where its result goes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dataflow.ir.program import Loop, MatrixView


def gather(view: MatrixView, array: NDArray) -> NDArray:
    """Materialise `view` of a region.

    Parameters
    ----------
    view : MatrixView
        What is read.
    array : ndarray
        The region, of any dtype.

    Returns
    -------
    ndarray, shape `view.shape`
        A copy, zero where the view leaves the region.
    """
    places, inside = _places(view, array.shape)
    matrix = array.reshape(-1)[places]
    matrix[~inside] = 0
    return matrix


def scatter(view: MatrixView, array: NDArray, matrix: NDArray) -> None:
    """Write `matrix` (shape `view.shape`) into the region `array`; what falls outside is dropped."""
    places, inside = _places(view, array.shape)
    array.reshape(-1, copy=False)[places[inside]] = matrix[inside]


def _places(view: MatrixView, shape: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Flat index of each element, 0 where it is outside, and whether it is inside."""
    if view.each:
        raise ValueError(f"{view.region}: a batch of matrices; take one of its singles")
    flat = np.zeros(view.shape, dtype=np.int64)
    inside = np.ones(view.shape, dtype=bool)
    rows, columns = _offsets(view.rows, len(shape)), _offsets(view.columns, len(shape))
    for axis, size in enumerate(shape):
        coordinate = view.origin[axis] + rows[axis][:, None] + columns[axis]
        inside &= (coordinate >= 0) & (coordinate < size)
        flat *= size
        flat += coordinate
    flat[~inside] = 0
    return flat, inside


def _offsets(loops: Sequence[Loop], axes: int) -> list[NDArray[np.int64]]:
    """Along each axis, the offset of every iteration of the nest, first loop outermost."""
    sizes = tuple(loop.size for loop in loops)
    offsets = [np.zeros(sizes, dtype=np.int64) for _ in range(axes)]
    for position, loop in enumerate(loops):
        ramp = np.arange(loop.size) * loop.step
        offsets[loop.axis] += ramp.reshape(-1, *(1,) * (len(sizes) - position - 1))
    return [offset.reshape(-1) for offset in offsets]
