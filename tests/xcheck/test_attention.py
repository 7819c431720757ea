"""Products of two activations, heads and samples as loops of their commands; parts and orders of tensors in place."""

import numpy as np
import pytest

from dataflow.network import INPUT, Add, Flatten, Linear, Network, Relu
from dataflow.rearrange import Concat, Reshape, Slice, Transpose
from dataflow.tokens import MatMul
from hw.config import PRESETS
from hw.isa.commands import Product
from sim.steps.assembled import assemble_step, step_in_numpy
from sim.steps.whole_step import step_on_rtl
from training.backend import ExactBackend
from training.model import Model
from training.numbers import to_storage
from training.optimiser import Sgd

TINY = PRESETS["tiny"]


def attention(tokens, heads, width, *, transposed=True):
    """Queries, keys and values of all heads from one layer, their products, and heads side by side again."""
    layers = [Linear(name="qkv", inputs=(INPUT,), out_features=3 * width)]
    for place, name in enumerate(("query", "key", "value")):
        turns = (1, 2, 0) if name == "key" and not transposed else (1, 0, 2)
        layers += [
            Slice(name=f"{name}.all", inputs=("qkv",), axis=1, start=place * width, size=width),
            Reshape(name=f"{name}.split", inputs=(f"{name}.all",), shape=(tokens, heads, width // heads)),
            Transpose(name=name, inputs=(f"{name}.split",), axes=turns),
        ]
    layers += [
        MatMul(name="scores", inputs=("query", "key"), transposed=transposed),
        MatMul(name="mix", inputs=("scores", "value")),
        Transpose(name="tokens", inputs=("mix",), axes=(1, 0, 2)),
        Reshape(name="joined", inputs=("tokens",), shape=(tokens, width)),
        Linear(name="project", inputs=("joined",), out_features=width),
    ]
    return ended(layers, (tokens, 6))


def ended(layers, shape):
    head = Flatten(name="flat", inputs=(layers[-1].name,)), Linear(name="head", inputs=("flat",), out_features=5)
    return Network(name="attention", input_shape=shape, layers=(*layers, *head))


def step(network, batch=2, run=step_in_numpy):
    """A training step."""
    rng = np.random.default_rng(0)
    model = Model(network, ExactBackend(), rng)
    images = to_storage(rng.standard_normal((batch, *network.input_shape)).astype(np.float32) / 4, TINY.storage_format)
    return run(TINY, model, Sgd(), images, rng.integers(0, 5, batch), 0.05)


def different(rows):
    """Tensors that are not the trainer's."""
    return [row["tensor"] for row in rows if row["bytes_different"]]


@pytest.mark.parametrize("transposed", [True, False])
@pytest.mark.parametrize("tokens, heads, width", [(5, 2, 16), (21, 3, 12), (1, 1, 4), (18, 2, 40)])
def test_bytes_are_the_trainers(tokens, heads, width, transposed):
    """Tokens that fill no tile, and that are several tiles of columns and of rows."""
    assert not different(step(attention(tokens, heads, width, transposed=transposed), 3))


def test_bytes_and_cycles_on_the_rtl():
    done = step(attention(18, 2, 8), run=step_on_rtl)
    assert done.different == 0
    assert all(program.counted == program.predicted for program in done.programs)


def test_commands_do_not_depend_on_the_batch():
    model = Model(attention(18, 2, 8), ExactBackend(), np.random.default_rng(0))
    few, many = (assemble_step(TINY, model, Sgd(), 0.05, batch) for batch in (1, 64))
    assert [len(part) for part in (few.forward, few.backward)] == [len(part) for part in (many.forward, many.backward)]
    assert sum(isinstance(command, Product) for command in many.forward) == 5


PARTS = [
    Linear(name="a", inputs=(INPUT,), out_features=6), Linear(name="b", inputs=(INPUT,), out_features=10),
    Relu(name="on", inputs=("b",)), Concat(name="both", inputs=("a", "on"), axis=-1),
    Linear(name="mixed", inputs=("both",), out_features=16),
]  # fmt: skip


def test_parts_are_written_where_they_belong():
    middle = Slice(name="middle", inputs=("mixed",), axis=1, start=3, size=8)
    last = [Linear(name="c", inputs=("middle",), out_features=16), Add(name="sum", inputs=("c", "mixed"))]
    for layers in ([*PARTS], [*PARTS, middle, *last]):
        assert not different(step(ended(layers, (4, 7))))
