"""A step by its commands in NumPy leaves the trainer's bytes, and waits for all that it depends on.

The executor refuses a command that does not wait for what it reads, or that waits for more than there is.
"""

import numpy as np
import pytest

from dataflow import zoo
from dataflow.axes import Axis, AxisPool
from dataflow.machine.executor import execute
from dataflow.machine.timing import Memory
from dataflow.network import INPUT, Add, BatchNorm, Conv, Flatten, GlobalPool, Linear, MaxPool, Network, Relu
from dataflow.rearrange import Concat, Reshape, Slice, Transpose
from dataflow.tokens import Activation, Embed, LayerNorm, MatMul, Select, Softmax
from hw.config import PRESETS, load_config
from hw.ratio import Ratio
from sim.steps.assembled import assemble_step, step_in_numpy
from training import methods
from training.adamw import AdamW
from training.backend import ExactBackend
from training.model import Model
from training.numbers import to_storage
from training.optimiser import Sgd

TINY = PRESETS["tiny"]


def linear(name, source, width, **fields):
    return Linear(name=name, inputs=(source,), out_features=width, **fields)


def conv(name, source, channels, **fields):
    return Conv(name=name, inputs=(source,), out_channels=channels, **({"kernel": 3, "padding": 1} | fields))


PIXELS = (
    conv("stem", INPUT, 6, bias=True),
    BatchNorm(name="norm", inputs=("stem",)),
    Relu(name="on", inputs=("norm",)),
    MaxPool(name="pool", inputs=("on",), kernel=3, stride=2, padding=1),
    conv("left", "pool", 6, stride=2),
    BatchNorm(name="left norm", inputs=("left",)),
    conv("right", "pool", 6, kernel=1, padding=0, stride=2),
    Add(name="sum", inputs=("left norm", "right")),
    Relu(name="both", inputs=("sum",)),
    AxisPool(name="means", inputs=("both",), axes=(Axis(2, 1, 1), Axis(2, 1)), kind="mean"),
    conv("last", "means", 5),
    GlobalPool(name="all", inputs=("last",)),
    linear("head", "all", 4),
)
TOKENS = (
    conv("patch", INPUT, 6, kernel=2, stride=2, padding=0),
    Embed(name="embed", inputs=("patch",)),
    LayerNorm(name="norm", inputs=("embed",)),
    linear("queries", "norm", 8),
    linear("keys", "norm", 8),
    MatMul(name="scores", inputs=("queries", "keys"), transposed=True, scale=0.5),
    Softmax(name="soft", inputs=("scores",)),
    MatMul(name="mix", inputs=("soft", "norm")),
    Add(name="sum", inputs=("mix", "embed")),
    LayerNorm(name="second", inputs=("sum",)),
    Relu(name="on", inputs=("second",)),
    linear("wide", "on", 9),
    Activation(name="act", inputs=("wide",), kind="gelu"),
    Select(name="one", inputs=("act",), index=2),
    linear("head", "one", 4),
)
HEADS = (
    linear("in", INPUT, 12),
    Slice(name="part", inputs=("in",), axis=1, start=4, size=8),
    Reshape(name="split", inputs=("part",), shape=(5, 2, 4)),
    Transpose(name="turned", inputs=("split",), axes=(1, 0, 2)),
    MatMul(name="scores", inputs=("turned", "turned"), transposed=True),
    MatMul(name="mix", inputs=("scores", "turned")),
    Transpose(name="back", inputs=("mix",), axes=(1, 0, 2)),
    Reshape(name="joined", inputs=("back",), shape=(5, 8)),
    linear("project", "joined", 6),
    linear("other", INPUT, 4),
    Concat(name="whole", inputs=("project", "other")),
    Flatten(name="flat", inputs=("whole",)),
    linear("head", "flat", 4),
)
ROWS = (
    linear("in", INPUT, 6),
    BatchNorm(name="norm", inputs=("in",)),
    Relu(name="on", inputs=("norm",)),
    GlobalPool(name="all", inputs=("on",), kind="max"),
    linear("head", "all", 4),
)
NETWORKS = {
    "pixels": Network(name="pixels", input_shape=(8, 8, 3), layers=PIXELS),
    "tokens": Network(name="tokens", input_shape=(4, 6, 3), layers=TOKENS),
    "heads": Network(name="heads", input_shape=(5, 7), layers=HEADS),
    "rows": Network(name="rows", input_shape=(3, 9), layers=ROWS),
    "sparse": zoo.load("cnn"),
}


def trained(network, optimiser, method="bdwp"):
    """A model, and a batch of as many images as asked for."""
    rng = np.random.default_rng(0)
    model = Model(network, ExactBackend(), rng, method=methods.load(method), ratio=Ratio(2, 8))

    def batch(count):
        images = rng.standard_normal((count, *network.input_shape)).astype(np.float32) / 2
        return to_storage(images, TINY.storage_format), rng.integers(0, 4, count)

    return model, optimiser, batch


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_bytes_are_the_trainers(network, count):
    """Two steps, so that masters have velocities and running statistics are their own; a batch norm of few rows, and of one."""
    model, optimiser, batch = trained(network, Sgd())
    for _ in range(2):
        rows = step_in_numpy(TINY, model, optimiser, *batch(count), 0.05)
        assert [row["tensor"] for row in rows if row["bytes_different"]] == []
    learned = {name.replace(".weight", ".master") for name in model.state()}
    assert {row["tensor"].removesuffix(".next") for row in rows} >= learned


@pytest.mark.parametrize("name", ["tokens", "sparse"])
def test_bytes_of_adamw_are_the_trainers(name):
    model, optimiser, batch = trained(NETWORKS[name], AdamW())
    for _ in range(2):
        rows = step_in_numpy(load_config("tiny-adamw"), model, optimiser, *batch(2), 0.003)
        assert [row["tensor"] for row in rows if row["bytes_different"]] == []
    assert sum(row["tensor"].removesuffix(".next").endswith(".moments") for row in rows) == len(dict(model.parameters()))


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_a_step_ends_on_the_machine(network):
    """Its buffers have room for what the loads of each product bring, and no command waits for ever."""
    model, optimiser, _ = trained(network, Sgd())
    made = assemble_step(TINY, model, optimiser, 0.05, 2)
    for commands in (made.forward, made.backward):
        assert execute(TINY, commands, Memory(), 1 << 16).cycles > 0
