"""Counted footprints equal those of the materialised view."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dataflow.footprint import accesses, blocks, touched
from dataflow.program import Loop, MatrixView
from dataflow.views import gather

loops = st.lists(st.builds(Loop, st.integers(1, 4), st.integers(0, 2), st.integers(-2, 3)), max_size=4).map(tuple)


@given(
    shape=st.tuples(*[st.integers(1, 5)] * 3),
    origin=st.tuples(*[st.integers(-2, 3)] * 3),
    rows=loops,
    columns=loops,
)
def test_footprint_is_what_the_view_reads(shape, origin, rows, columns):
    view = MatrixView("x", origin, rows, columns)
    seen = gather(view, 1 + np.arange(np.prod(shape)).reshape(shape))
    assert accesses(view, shape) == np.count_nonzero(seen)
    assert touched(view, shape) == len(set(seen[seen != 0].tolist()))


@given(
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4)),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    place=st.integers(0, 2),
    size=st.integers(1, 5),
)
def test_blocks_are_what_their_rows_touch(sizes, kernel, stride, padding, place, size):
    """Windows of a (batch, row, column, channel) tensor, cut along one of the loops over output positions."""
    shape = (sizes[0], sizes[1] + 2, sizes[2] + 1, 2)
    rows = tuple(Loop(count, axis, 1 if axis == 0 else stride) for axis, count in enumerate(sizes))
    columns = (Loop(kernel, 1), Loop(kernel, 2), Loop(2, 3))
    view = MatrixView("x", (0, -padding, -padding, 0), rows, columns)
    seen = gather(view, 1 + np.arange(np.prod(shape)).reshape(shape))
    inner = int(np.prod(sizes[place + 1 :]))
    counts = []
    for outer in np.split(seen, int(np.prod(sizes[:place]))):
        for start in range(0, len(outer), size * inner):
            part = outer[start : start + size * inner]
            counts.append(len(set(part[part != 0].tolist())))
    found = blocks(view, shape, place, size)
    assert (found.count, found.total) == (len(counts), sum(counts))
    assert found.elements >= max(counts)
