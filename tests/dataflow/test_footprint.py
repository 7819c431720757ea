"""Counted footprints equal those of the materialised view."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dataflow.footprint import accesses, touched
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
