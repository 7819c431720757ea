"""Views on small arrays whose result can be seen."""

import numpy as np
import pytest

from dataflow.ir.program import Loop, MatrixView
from dataflow.ir.views import gather, scatter


def test_window_reads_zero_outside():
    view = MatrixView("x", (-1,), (Loop(3, 0),), (Loop(3, 0),))
    assert gather(view, np.array([1, 2, 3])).tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 0]]


def test_negative_steps_and_digits_outermost_first():
    view = MatrixView("x", (0, 2), (Loop(2, 0),), (Loop(2, 1, -2), Loop(2, 0)))
    array = np.arange(6).reshape(2, 3)
    # columns: (axis 1, axis 0) digits (0,0) (0,1) (1,0) (1,1); row 1 leaves the region where axis 0 reaches 2
    assert gather(view, array).tolist() == [[2, 5, 0, 3], [5, 0, 3, 0]]


def test_scatter_drops_what_is_outside_and_leaves_the_rest():
    array = np.full((2, 4), 9)
    scatter(MatrixView("x", (0, 1), (Loop(2, 0),), (Loop(3, 1, 2),)), array, np.arange(6).reshape(2, 3))
    assert array.tolist() == [[9, 0, 9, 1], [9, 3, 9, 4]]


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64])
def test_dtype_is_kept(dtype):
    view = MatrixView("x", (0,), (Loop(2, 0),), (Loop(1, 0),))
    assert gather(view, np.ones(2, dtype)).dtype == dtype


def test_scatter_needs_the_array_itself_not_a_copy():
    array = np.zeros((4, 4))[:, :2]
    with pytest.raises(ValueError, match="copy"):
        scatter(MatrixView("x", (0, 0), (Loop(1, 0),), (Loop(1, 1),)), array, np.ones((1, 1)))


def test_some_columns_and_rows_are_those_of_the_whole():
    """Of a 3x3 window with 4 channels as columns, and of the pixels as rows; what begins or ends within a loop is none."""
    image = np.arange(5 * 6 * 4).reshape(5, 6, 4)
    pixels, window = (Loop(3, 0), Loop(4, 1)), (Loop(3, 0), Loop(3, 1), Loop(4, 2))
    view = MatrixView("x", (-1, -1, 0), pixels, window)
    whole = gather(view, image)
    for start, count in ((0, 36), (12, 12), (12, 24), (0, 8), (8, 4), (16, 8), (29, 3), (35, 1)):
        assert np.array_equal(gather(view.of_columns(start, count), image), whole[:, start : start + count]), (start, count)
    assert [view.of_columns(*some) for some in ((0, 16), (2, 4), (8, 8), (30, 4))] == [None] * 4
    assert np.array_equal(gather(view.of_rows(8, 4), image), whole[8:])
    assert view.of_rows(6, 4) is None
