"""How much of a region a view touches, without walking it: the axes of a view are independent of each other."""

from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Blocks:
    """A view's rows cut into blocks that are held one at a time.

    Parameters
    ----------
    rows : int
        Rows of the view in a block; the last of a loop may have fewer.
    count : int
        Blocks.
    elements : int
        Different elements of the largest block.
    total : int
        Different elements of every block, added up: what shared elements of neighbouring blocks are moved again for.
    """

    rows: int
    count: int
    elements: int
    total: int


def blocks(view: MatrixView, shape: tuple[int, ...], place: int, size: int) -> Blocks:
    """Blocks of `size` iterations of loop `place` of the rows, one iteration of those outside it, all of those inside.

    Every reduction is held as a whole; no two loops outside `place` may share an axis, which no view of a layer does.
    """
    outer, cut, inner = view.rows[:place], view.rows[place], view.rows[place + 1 :]
    most, total = 1, 1
    for axis, length in enumerate(shape):
        held = tuple(loop for loop in (*inner, *view.columns) if loop.axis == axis)
        steps = tuple(loop for loop in outer if loop.axis == axis)
        if cut.axis == axis:
            parts = _parts(view.origin[axis], cut, size, held, length)
        elif steps:
            parts = _parts(view.origin[axis], steps[0], 1, held, length)
        else:
            parts = (_count(view.origin[axis], held, length)[1],) * 2
        most, total = most * parts[0], total * parts[1]
    count = prod(loop.size for loop in outer) * -(-cut.size // size)
    return Blocks(min(size, cut.size) * prod(loop.size for loop in inner), count, most, total)


@lru_cache(maxsize=4096)
def _parts(origin: int, loop: Loop, size: int, held: tuple[Loop, ...], length: int) -> tuple[int, int]:
    """Most, and sum of, different coordinates in parts of `size` iterations of `loop`."""
    if not held and loop.step == 1 and origin == 0 and loop.size <= length:
        return min(size, loop.size), loop.size
    counts = [
        _count(origin + start * loop.step, (Loop(min(size, loop.size - start), loop.axis, loop.step), *held), length)[1]
        for start in range(0, loop.size, size)
    ]
    return max(counts), sum(counts)


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
