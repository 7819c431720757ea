"""Pools of any windows as commands: bytes of the trainer's, on NumPy's executor, and of one on the RTL."""

from dataclasses import replace

import numpy as np
import pytest

from dataflow.axes import Axis, AxisPool
from dataflow.network import INPUT, Conv, GlobalPool, Linear, MaxPool, Network
from hw.config import PRESETS
from hw.errors import InputError
from sim.steps.assembled import step_in_numpy
from sim.steps.whole_step import step_on_rtl
from training.backend import ExactBackend
from training.model import Model
from training.numbers import to_storage
from training.optimiser import Sgd

TINY = PRESETS["tiny"]
BATCH = 2


def tower(pool, shape, channels):
    """A convolution in front of the pool, so that it has a gradient; a global maximum and a classifier behind it."""
    stem = Conv(name="stem", inputs=(INPUT,), out_channels=channels, kernel=3, padding=1, bias=True)
    head = GlobalPool(name="all", inputs=("pool",), kind="max"), Linear(name="head", inputs=("all",), out_features=5)
    return Network(name="pooled", input_shape=shape, layers=(stem, pool, *head))


def step(network, config=TINY, images=None, run=step_in_numpy):
    """A training step."""
    rng, storage = np.random.default_rng(0), config.storage_format
    model = Model(network, ExactBackend(storage), rng)
    drawn = rng.standard_normal((BATCH, *network.input_shape)).astype(np.float32) if images is None else images
    return run(config, model, Sgd(), to_storage(drawn, storage), np.array([1, 4]), 0.05)


def different(rows):
    """Tensors that are not the trainer's."""
    return [row["tensor"] for row in rows if row["bytes_different"]]


def largest(kernel, stride, padding):
    return MaxPool(name="pool", inputs=("stem",), kernel=kernel, stride=stride, padding=padding)


def over_axes(kind, *axes, ceil=False):
    return AxisPool(name="pool", inputs=("stem",), axes=axes, kind=kind, ceil=ceil)


POOLS = {
    "resnet": largest(3, 2, 1),
    "vgg": largest(2, 2, 0),
    "every pixel": largest(3, 1, 1),
    "pixels in no window": largest(2, 3, 0),
    "padded means": over_axes("mean", Axis(3, 2, 1, 1), Axis(2, 1)),
    "means": over_axes("mean", Axis(2, 2), Axis(3, 3)),
    "means that hang over": over_axes("mean", Axis(3, 2), Axis(2, 3), ceil=True),
    "dilated means": over_axes("mean", Axis(2, 2, dilation=2), Axis(3, 3, 0, 2, 2)),
    "dilated maxima": over_axes("max", Axis(2, 1, 1, dilation=2), Axis(3, 2, 2, 2, 2)),
}


@pytest.mark.parametrize("channels", [3, 8, 300])
@pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)
def test_bytes_are_the_trainers(pool, channels):
    """Of fewer channels than lanes, of whole words, and of more than a reduction takes at once."""
    assert not different(step(tower(pool, (7, 8, 2), channels)))


@pytest.mark.parametrize("storage", ["bfloat16", "float8_e4m3fn"])
def test_other_formats(storage):
    """The lowest number of one of them is no infinity."""
    assert not different(step(tower(POOLS["resnet"], (5, 5, 4), 8), replace(TINY, storage=storage)))


def test_ties_zeros_and_what_is_not_finite():
    images = np.zeros((BATCH, 6, 6, 4), np.float32)
    images[0, 2, 3, 1], images[0, 4, 4, 0], images[1, 1, 1] = np.nan, np.inf, -np.inf
    assert not different(step(tower(POOLS["resnet"], (6, 6, 4), 8), images=images))


def test_bytes_and_cycles_on_the_rtl():
    done = step(tower(POOLS["resnet"], (6, 6, 3), 8), run=step_on_rtl)
    assert done.different == 0
    assert all(program.counted == program.predicted for program in done.programs)


def test_a_window_of_no_pixel_has_no_mean():
    pool = over_axes("mean", Axis(2, 2, 2), Axis(1))
    with pytest.raises(InputError, match="layer 'pool': a window has no pixel of the image, so that it has no mean"):
        step(tower(pool, (4, 4, 2), 8))
