"""How much of a region a view touches, without walking it: the axes of a view are independent of each other."""

from collections.abc import Sequence
from functools import lru_cache
from math import prod

import numpy as np
from numpy.typing import NDArray

from dataflow.program import Loop, MatrixView


def accesses(view: MatrixView, shape: tuple[int, ...]) -> int:
    """Elements of the matrix that lie inside the region: what a gather moves, repeats counted, padding not."""
    return prod(_count(*_axis(view, axis), size)[0] for axis, size in enumerate(shape))


def touched(view: MatrixView, shape: tuple[int, ...]) -> int:
    """Different elements of the region that the matrix holds: what must be moved at least."""
    return prod(_count(*_axis(view, axis), size)[1] for axis, size in enumerate(shape))


def _axis(view: MatrixView, axis: int) -> tuple[int, tuple[Loop, ...]]:
    return view.origin[axis], tuple(loop for loop in (*view.each, *view.rows, *view.columns) if loop.axis == axis)


@lru_cache(maxsize=4096)
def _count(origin: int, loops: Sequence[Loop], size: int) -> tuple[int, int]:
    """Coordinates that fall into 0..size-1, and how many different ones."""
    if len(loops) == 1 and loops[0].step == 1:
        inside = max(0, min(size, origin + loops[0].size) - max(0, origin))
        return inside, inside
    coordinates: NDArray[np.int64] = np.full(1, origin)
    for loop in loops:
        coordinates = (coordinates[:, None] + np.arange(loop.size) * loop.step).reshape(-1)
    inside_only = coordinates[(coordinates >= 0) & (coordinates < size)]
    return len(inside_only), len(np.unique(inside_only))
