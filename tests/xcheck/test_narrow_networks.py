"""The zoo's networks, narrow: a whole step by commands in NumPy leaves the trainer's bytes; on the RTL, with all cycles."""

import numpy as np
import pytest

from dataflow import zoo
from dataflow.machine.executor import execute
from dataflow.machine.timing import Memory
from dataflow.network import INPUT, Add, BatchNorm, Flatten, Linear, Network
from dataflow.tokens import LayerNorm
from hw.config import PRESETS
from hw.ratio import Ratio
from sim.steps.assembled import assemble_step, step_in_numpy
from sim.steps.whole_step import step_on_rtl
from training import methods
from training.backend import ExactBackend
from training.data import random_data
from training.model import Model
from training.optimiser import Sgd

TINY, SPARSE = PRESETS["tiny"], Ratio(2, 8)


def step(name, run, method="bdwp", ratio=SPARSE):
    """A step of two images."""
    network = zoo.load(name)
    model = Model(network, ExactBackend(), np.random.default_rng(0), method=methods.load(method), ratio=ratio)
    data = random_data(network.input_shape, network.shapes[network.layers[-1].name][-1], 0)
    images = data.train_images[:2].astype(np.float16)
    return run(TINY, model, Sgd(), images, data.train_labels[:2], 0.05)


@pytest.mark.parametrize("name", ["resnet9", "resnet18", "resnet50", "vgg19", "vit"])
@pytest.mark.parametrize("method, ratio", [("bdwp", SPARSE), ("bdwp", Ratio(2, 4)), ("dense", Ratio(1, 1))])
def test_bytes_are_the_trainers(name, method, ratio):
    rows = step(f"{name}/32", step_in_numpy, method, ratio)
    assert not [row for row in rows if row["bytes_different"]]


@pytest.mark.parametrize("norm", [BatchNorm, LayerNorm, None])
def test_what_is_flattened_keeps_its_channels(norm):
    """A sample is tokens until it is flattened; the gradient comes as one row a sample, and is one of channels again."""
    layers = [Linear(name="in", inputs=(INPUT,), out_features=6)]
    layers += [norm(name="norm", inputs=("in",)), Add(name="sum", inputs=("norm", "in"))] if norm else []
    layers += [Flatten(name="flat", inputs=(layers[-1].name,)), Linear(name="out", inputs=("flat",), out_features=7)]
    network = Network(name="flattened", input_shape=(3, 6), layers=tuple(layers))
    model = Model(network, ExactBackend(), np.random.default_rng(0), method=methods.load("bdwp"), ratio=SPARSE)
    rng = np.random.default_rng(1)
    images, labels = rng.standard_normal((3, 3, 6)).astype(np.float16), rng.integers(0, 7, 3)
    assembled = assemble_step(TINY, model, Sgd(), 0.05, 3)
    assert not [row for row in step_in_numpy(TINY, model, Sgd(), images, labels, 0.05) if row["bytes_different"]]
    for program in (assembled.forward, assembled.backward):
        assert execute(TINY, program, Memory(), 1 << 16).cycles > 0, "it ends"


def test_bytes_and_cycles_of_the_transformer_on_the_rtl():
    done = step("vit/64", step_on_rtl)
    assert done.different == 0
    assert all(program.counted == program.predicted for program in done.programs)
