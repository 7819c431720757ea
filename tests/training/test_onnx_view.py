"""How a tensor of a file looks at a layer, by small cases whose axes can be followed."""

import numpy as np
import pytest

from training.exchange.onnx_view import BATCH, ONE, View

BATCHES = 5


def made(shape, *steps):
    """The view of a layer's tensor after reshapes, given as lists, and transpositions, given as tuples; and NumPy's numbers."""
    view, numbers = View.of("layer", shape, BATCHES), np.arange(BATCHES * int(np.prod(shape))).reshape(BATCHES, *shape)
    for step in steps:
        turned = isinstance(step, tuple)
        numbers = numbers.transpose(step) if turned else numbers.reshape(step)
        view = view.transposed(step) if turned else view.reshaped(step)
        assert view is None or view.shape == numbers.shape
    return view, numbers


def sample(view, shape):
    """What the steps of a view make of a sample of its layer."""
    layer = np.arange(int(np.prod(shape))).reshape(shape)
    for step in view.steps(shape):
        layer = layer.transpose(step[1]) if step[0] == "order" else layer.reshape(step)
    return layer


@pytest.mark.parametrize(
    "shape, steps",
    [
        ((6,), ([5, 2, 3], (0, 2, 1))),  # split, and turned
        ((6,), ([5, 3, 2], (0, 2, 1))),
        ((12,), ([5, 2, 2, 3], (0, 3, 2, 1))),  # split twice
        ((12,), ([5, 2, 2, 3], (0, 2, 1, 3))),
        ((4, 6), ([5, 4, 2, 3], (0, 2, 1, 3))),  # as heads are
        ((4, 6), ([5, 4, 2, 3], (0, 2, 3, 1), [5, 6, 4])),
        ((4, 6), ([5, 24], [5, 2, 12])),  # across an axis's end
        ((4, 6), ((0, 2, 1), [5, 24])),
        ((3, 1, 2), ([5, 6], [5, 1, 3, 2], (0, 3, 1, 2))),
        ((4, 6), ([5, 4, 6, 1], (3, 0, 2, 1))),
        ((4, 6), ((1, 0, 2), (2, 1, 0))),  # the batch in the middle
    ],
)
def test_the_steps_of_a_view_make_a_sample_as_numpy_does(shape, steps):
    view, numbers = made(shape, *steps)
    place = next(axis for axis in range(numbers.ndim) if view.has_batch(axis))
    first = np.moveaxis(numbers, place, 0)[0]
    assert sample(view, shape).reshape(first.shape).tolist() == first.tolist()


@pytest.mark.parametrize(
    "shape, steps",
    [
        ((4,), ((1, 0), [20])),
        ((6,), ([10, 3],)),
        ((4,), ([20], [4, 5])),
        ((4, 6), ([5, 5, 5],)),
        ((4, 6), ([5, 24], [5, 3, 8])),
    ],
)
def test_what_would_tear_samples_or_axes_apart_is_no_view(shape, steps):
    view = View.of("layer", shape, BATCHES)
    for step in steps:
        view = view.transposed(step) if isinstance(step, tuple) else view.reshaped(step)
    if view is not None:  # of samples that stand inside of an axis
        assert not view.samples_first and view.has_batch(0)


def test_heads_may_be_joined_with_samples_and_parted_again():
    """As of tokens first: (T, B, heads · D) to (T, B · heads, D) to (B · heads, T, D)."""
    view, _ = made((4, 6), (1, 0, 2), [4, 5 * 2, 3], (1, 0, 2))
    assert view.axes == (((BATCH, 5), ((1, 0), 2)), (((0,), 4),), (((1, 1), 3),))
    assert view.has_batch(0) and not view.has_batch(1) and not view.samples_first
    assert list(view.runs()) == [(((1, 0), 2),), (((0,), 4),), (((1, 1), 3),)]
    assert sample(view, (4, 6)).tolist() == np.arange(24).reshape(4, 2, 3).transpose(1, 0, 2).tolist()
    again = view.of_runs("heads")
    assert again.axes == (((BATCH, 5), ((0,), 2)), (((1,), 4),), (((2,), 3),))
    assert list(again.steps((2, 4, 3))) == []


def test_leading_axes_are_all_but_two_without_the_batch_of_one():
    view, _ = made((4, 6), [5, 4, 2, 3], (0, 2, 1, 3))
    assert view.lead(5) == (((BATCH, 5),), (((1, 0), 2),))
    single = View.of("layer", (2, 4, 3), 1)
    assert single.lead(1) == ((((0,), 2),),)
    assert single.lead(2) == (((BATCH, 1),), (((0,), 2),))


def test_an_axis_of_one_that_the_layer_does_not_have_is_its_own():
    view, _ = made((4,), [5, 1, 4])
    assert view.axes == (((BATCH, 5),), ((ONE, 1),), (((0,), 4),))
    assert view.samples_first and list(view.runs()) == [((ONE, 1),), (((0,), 4),)]
