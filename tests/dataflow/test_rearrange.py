"""Shapes of layers that move nothing, and what they refuse."""

import pytest

from dataflow.network import INPUT
from dataflow.rearrange import Concat, Gap, Reshape, Slice, Transpose
from hw.errors import InputError


@pytest.mark.parametrize(
    "axis, start, size, shape",
    [(0, 0, 1, (1, 5)), (0, 2, 2, (2, 5)), (0, 0, 4, (4, 5)), (1, 0, 5, (4, 5)), (1, 4, 1, (4, 1)), (1, 3, 2, (4, 2))],
)
def test_a_slice_may_be_any_entries_of_an_axis_up_to_all(axis, start, size, shape):
    assert Slice(name="s", inputs=(INPUT,), axis=axis, start=start, size=size).output_shape((4, 5)) == shape


@pytest.mark.parametrize("axis, start, size", [(2, 0, 1), (-1, 0, 1), (0, -1, 1), (0, 4, 1), (0, 2, 3), (1, 0, 6), (0, 2, -1)])
def test_a_slice_of_what_is_not_there_is_refused(axis, start, size):
    with pytest.raises(InputError, match=f"'s'.*{start + size} entries along axis {axis}"):
        Slice(name="s", inputs=(INPUT,), axis=axis, start=start, size=size).output_shape((4, 5))


def test_a_reshape_has_as_many_elements():
    layer = Reshape(name="r", inputs=(INPUT,), shape=(2, 10))
    assert layer.output_shape((4, 5)) == (2, 10)
    with pytest.raises(InputError, match=r"^layer 'r': \(4, 6\) has not as many elements as \(2, 10\)$"):
        layer.output_shape((4, 6))


def test_a_transposition_has_all_axes_once():
    assert Transpose(name="t", inputs=(INPUT,), axes=(2, 0, 1)).output_shape((3, 4, 5)) == (5, 3, 4)
    for axes in ((0, 1), (0, 1, 1), (1, 2, 3)):
        with pytest.raises(InputError, match=r"^layer 't': axes must be all of 0\.\.2, not "):
            Transpose(name="t", inputs=(INPUT,), axes=axes).output_shape((3, 4, 5))


@pytest.mark.parametrize("axis, shape", [(0, (7, 5)), (-2, (7, 5))])
def test_tensors_are_joined_along_one_axis_and_equal_in_the_others(axis, shape):
    layer = Concat(name="c", inputs=("a", "b"), axis=axis)
    assert layer.output_shape((4, 5), (3, 5)) == shape
    with pytest.raises(InputError, match=r"^layer 'c': Concat along axis 0 needs equal other axes, not "):
        layer.output_shape((4, 5), (4, 6))


def test_the_last_axis_is_joined_unless_told_and_a_gap_makes_what_it_says():
    assert Concat(name="c", inputs=("a", "b", "c")).output_shape((4, 5), (4, 6), (4, 1)) == (4, 12)
    assert Gap(name="g", inputs=("a",), shape=(9,)).output_shape((4, 5)) == (9,)
