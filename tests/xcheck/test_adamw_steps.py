"""Whole steps with AdamW: the trainer's bytes by commands in NumPy; on the RTL, with all cycles and counters."""

import numpy as np
import pytest

from dataflow import zoo
from dataflow.compile.memory import MOMENTS, NEXT
from dataflow.compile.updates import at_rates
from hw.config import load_config
from hw.errors import InputError
from hw.isa.commands import Halt, Update
from hw.ratio import Ratio
from sim.steps.assembled import assemble_step, rates_of, step_in_numpy
from sim.steps.whole_step import StepsOnRtl
from training import methods
from training.adamw import AdamW
from training.backend import ExactBackend
from training.data import random_data
from training.loss_scale import LossScale
from training.machine.executor import Executor
from training.model import Model

CONFIG = load_config("tiny-adamw")
RATE, SPARSE = 0.003, Ratio(2, 8)


def model_of(name, method="bdwp", ratio=SPARSE):
    return Model(zoo.load(name), ExactBackend(), np.random.default_rng(0), method=methods.load(method), ratio=ratio)


def batches(model, count, size=2):
    """Random images and labels of the network's shape."""
    network = model.network
    data = random_data(network.input_shape, network.shapes[network.layers[-1].name][-1], 0)
    parts = [slice(size * number, size * (number + 1)) for number in range(count)]
    return [(data.train_images[part].astype(np.float16), data.train_labels[part]) for part in parts]


@pytest.mark.parametrize("method, ratio", [("bdwp", SPARSE), ("dense", Ratio(1, 1))])
@pytest.mark.parametrize("name", ["mlp", "resnet9/32", "vit/32"])
def test_bytes_are_the_trainers(name, method, ratio):
    """Three steps, whose rates differ; masters, moments and copies of all layers, their places exchanged or not."""
    model, optimiser = model_of(name, method, ratio), AdamW()
    for number, batch in enumerate(batches(model, 3)):
        rows = step_in_numpy(CONFIG, model, optimiser, *batch, RATE)
        assert not [row for row in rows if row["bytes_different"]]
        kept = [row["tensor"] for row in rows if row["tensor"].removesuffix(NEXT).endswith(MOMENTS)]
        assert len(kept) == len(dict(model.parameters())) == len(optimiser.moments)
        assert optimiser.steps == number + 1


@pytest.mark.parametrize("name, method", [("mlp", "bdwp"), ("vit/64", "bdwp"), ("vit/64", "dense")])
def test_bytes_and_cycles_on_the_rtl(name, method):
    model, optimiser = model_of(name, method, SPARSE if method == "bdwp" else Ratio(1, 1)), AdamW()
    with StepsOnRtl(CONFIG, model, optimiser, 2) as steps:
        for batch in batches(model, 2):
            done = steps.step(*batch, RATE)
            assert (done.different, steps.difference) == (0, "")
            assert done.agrees
    assert optimiser.steps == 2


def test_an_overflow_leaves_weights_and_moments_and_does_not_count():
    model, optimiser = model_of("resnet9/32"), AdamW(loss_scale=LossScale(2.0**24))
    with StepsOnRtl(CONFIG, model, optimiser, 2) as steps:
        first, second = batches(model, 2)
        skipped = steps.step(*first, RATE)
        assert skipped.agrees and skipped.programs[1].outcome.overflow
        assert optimiser.steps == 0 and optimiser.moments == {}
        optimiser.loss_scale = LossScale(64.0)
        updated = steps.step(*second, RATE)
        assert updated.agrees and not updated.programs[1].outcome.overflow
        assert optimiser.steps == 1


def test_programs_of_steps_differ_in_rates_alone():
    model, optimiser = model_of("vit/64"), AdamW()
    first = assemble_step(CONFIG, model, optimiser, RATE, 2).backward
    optimiser.steps = 6
    seventh = assemble_step(CONFIG, model, optimiser, RATE, 2).backward
    assert seventh != first
    assert at_rates(first, rates_of(optimiser, RATE)) == seventh


def test_without_the_field_it_is_refused():
    with pytest.raises(InputError, match="tiny has no AdamW; a preset with -adamw behind its name has"):
        assemble_step(load_config("tiny"), model_of("mlp"), AdamW(), RATE, 2)


def test_moments_are_an_illegal_field_without_it():
    with pytest.raises(InputError, match=r"^command 0, UPDATE: moments must be in 0\.\.0, not 1$"):
        Executor(load_config("tiny"), np.zeros(64, np.uint8)).run([Update(moments=1), Halt()])
