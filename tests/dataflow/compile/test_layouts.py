"""Views of tensors: where NumPy finds the same elements."""

import numpy as np
import pytest

from dataflow import zoo
from dataflow.compile.layouts import Layout, Layouts
from dataflow.network import INPUT, Conv, Network
from dataflow.rearrange import Concat, Reshape, Transpose
from dataflow.tokens import Select
from hw.errors import InputError

HEADS, TOKENS, WIDTH = 8, 65, 512


def read(layout, memory):
    """The elements of the first sample."""
    bytes_of = memory.itemsize
    return np.lib.stride_tricks.as_strided(
        memory[layout.first :], layout.shape, [step * bytes_of for step in layout.steps], writeable=False
    )


def test_heads_of_a_transformer_are_read_and_written_in_place():
    layouts = Layouts(zoo.load("vit"))
    name = "block1.attention"
    memory = np.arange(TOKENS * 3 * WIDTH)
    for place, part in enumerate(("query", "key", "value")):
        found = layouts.view(f"{name}.qkv", f"{name}.{part}")
        thirds = memory.reshape(TOKENS, 3, HEADS, WIDTH // HEADS)[:, place].swapaxes(0, 1)
        np.testing.assert_array_equal(read(found, memory), thirds)
        assert found.sample == TOKENS * 3 * WIDTH
    joined, mixed = (layouts.view(f"{name}.mix", f"{name}.{part}") for part in ("joined", "mix"))
    assert joined.is_plain and not mixed.is_plain
    memory = memory[: TOKENS * WIDTH]
    np.testing.assert_array_equal(read(mixed, memory), memory.reshape(TOKENS, HEADS, -1).swapaxes(0, 1))
    assert layouts.view(f"{name}.project", f"{name}.project").is_plain
    first = layouts.view("block6.mlp.add", "class")
    assert first == Layout(0, (WIDTH,), (1,), TOKENS * WIDTH)


def network(*layers, shape=(4, 6, 2)):
    return Layouts(Network(name="seen", input_shape=shape, layers=layers))


def test_parts_of_a_concatenation_are_in_it():
    parts = [Conv(name=name, inputs=(INPUT,), out_channels=count, kernel=1) for name, count in (("a", 2), ("b", 3))]
    layouts = network(*parts, Concat(name="both", inputs=("a", "b"), axis=-1), Select(name="row", inputs=("both",), index=1))
    memory = np.arange(4 * 6 * 5)
    np.testing.assert_array_equal(read(layouts.view("both", "b"), memory), memory.reshape(4, 6, 5)[..., 2:])
    np.testing.assert_array_equal(read(layouts.view("both", "row"), memory), memory.reshape(4, 6, 5)[1])


def test_what_has_no_fixed_steps_is_refused():
    turned = Transpose(name="turned", inputs=(INPUT,), axes=(1, 0, 2))
    both = Reshape(name="one", inputs=("turned",), shape=(48,)), Reshape(name="other", inputs=(INPUT,), shape=(24, 2))
    layouts = network(turned, *both)
    with pytest.raises(InputError, match="layer 'one': its elements have no fixed steps in what 'input' makes"):
        layouts.view(INPUT, "one")
    stem = Conv(name="stem", inputs=(INPUT,), out_channels=2, kernel=1)
    with pytest.raises(InputError, match="layer 'stem': its elements have no fixed steps in what 'input' makes"):
        network(stem).view(INPUT, "stem")
