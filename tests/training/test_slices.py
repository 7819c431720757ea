"""Gradients of slices are put side by side, and added only where another reader has left something."""

import numpy as np

from dataflow.network import INPUT, Add, Linear, Network
from dataflow.rearrange import Concat, Slice
from training.backend import ExactBackend
from training.layers.module import Pass
from training.model import Model


def backward(*layers):
    """The gradient of the first layer's output, where every gradient that reaches a slice is rounded to -0."""
    network = Network(name="sliced", input_shape=(3,), layers=(Linear(name="stem", inputs=(INPUT,), out_features=4), *layers))
    model = Model(network, ExactBackend(), np.random.default_rng(0))
    model.modules["head"].weight.value[:] = -6e-8
    model.prepare()
    captured = {}
    model.forward(np.ones((2, 3), np.float16), Pass(training=True))
    model.backward(np.full((2, 5), 1e-4, np.float16), Pass(training=True, capture=captured))
    return captured["stem.output_gradient"]


def part(name, start, size):
    return Slice(name=name, inputs=("stem",), axis=0, start=start, size=size)


def head(source):
    return Linear(name="head", inputs=(source,), out_features=5)


def test_parts_that_fill_the_whole_keep_the_sign_of_zeros():
    gradient = backward(part("a", 0, 1), part("b", 1, 3), Concat(name="both", inputs=("b", "a"), axis=0), head("both"))
    assert not gradient.any() and np.signbit(gradient).all()


def test_what_no_part_covers_is_zero():
    gradient = backward(part("a", 1, 2), head("a"))
    assert not gradient.any() and np.signbit(gradient).tolist() == [[False, True, True, False]] * 2


def test_parts_that_meet_are_added():
    gradient = backward(part("a", 0, 3), part("b", 1, 3), Add(name="sum", inputs=("a", "b")), head("sum"))
    assert not gradient.any() and np.signbit(gradient).all()
