"""The zoo's networks, narrow: a whole step by commands in NumPy leaves the trainer's bytes; on the RTL, with all cycles."""

import numpy as np
import pytest

from dataflow import zoo
from hw.config import PRESETS
from hw.ratio import Ratio
from sim.whole_step import step_in_numpy, step_on_rtl
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


def test_bytes_and_cycles_of_the_transformer_on_the_rtl():
    done = step("vit/64", step_on_rtl)
    assert done.different == 0
    assert all(program.counted == program.predicted for program in done.programs)
