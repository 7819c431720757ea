"""Activations and embedded tokens as commands: bytes of the trainer's, on NumPy's executor and on the RTL."""

import numpy as np
import pytest

from dataflow.network import INPUT, Conv, Linear, Network, Relu
from dataflow.tokens import Activation, Embed, Select
from hw.config import PRESETS
from hw.isa.functions import ACTIVATIONS
from sim.steps.assembled import step_in_numpy
from sim.steps.whole_step import step_on_rtl
from training.backend import ExactBackend
from training.model import Model
from training.numbers import to_storage
from training.optimiser import Sgd

TINY = PRESETS["tiny"]


def network(kind, *, early=False):
    """Patches as tokens, an activation before or behind them, and a token that is classified."""
    patch = Conv(name="patch", inputs=(INPUT,), out_channels=6, kernel=2, stride=2, bias=True)
    before = [Relu(name="on", inputs=("patch",)), Activation(name="act", inputs=("on",), kind=kind)] if early else []
    embed = Embed(name="embed", inputs=("act" if early else "patch",))
    mixed = Linear(name="mixed", inputs=("embed",), out_features=6)
    behind = [] if early else [Activation(name="act", inputs=("mixed",), kind=kind)]
    chosen = Select(name="one", inputs=("mixed" if early else "act",), index=2)
    head = Linear(name="head", inputs=("one",), out_features=5)
    return Network(name="tokens", input_shape=(4, 6, 3), layers=(patch, *before, embed, mixed, *behind, chosen, head))


def step(found, run=step_in_numpy, batch=3):
    """A training step."""
    rng = np.random.default_rng(0)
    model = Model(found, ExactBackend(), rng)
    images = to_storage(rng.standard_normal((batch, *found.input_shape)).astype(np.float32), TINY.storage_format)
    return run(TINY, model, Sgd(), images, rng.integers(0, 5, batch), 0.05)


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_bytes_are_the_trainers(kind, early):
    rows = step(network(kind, early=early))
    assert {"embed.token", "embed.position"} <= {row["tensor"] for row in rows}
    assert not [row for row in rows if row["bytes_different"]]


def test_bytes_and_cycles_on_the_rtl():
    done = step(network("gelu"), step_on_rtl)
    assert done.different == 0
    assert all(program.counted == program.predicted for program in done.programs)
