"""A program is assembled whole, or refused by name."""

import pytest

from dataflow import zoo
from dataflow.lower import lower
from dataflow.machine.assemble import ONES, assemble
from dataflow.machine.updates import Rates
from dataflow.network import INPUT, Add, Conv, Flatten, GlobalPool, Linear, Network
from dataflow.program import Stage
from dataflow.techniques import ALL, without
from hw.config import PRESETS
from hw.errors import InputError
from hw.isa.commands import Product
from hw.ratio import Ratio

TINY = PRESETS["tiny"]
BOTH = frozenset({Stage.FORWARD, Stage.INPUT_GRADIENT})
RATES = Rates(unscale=0, weight_decay=0, momentum=0, learning_rate=0)


def assembled(network, techniques=ALL):
    program = lower(network, TINY, batch=2, ratio=Ratio(2, 8), sparse_stages=BOTH, techniques=techniques)
    return assemble(network, program, TINY, RATES)


def products(commands):
    return sum(isinstance(command, Product) for command in commands)


@pytest.mark.parametrize("techniques", [ALL, without("interleave"), without("schedule")])
def test_all_products_are_in_the_program_of_their_half(techniques):
    """Four layers with weights: four forward, and a mean; four weight and four bias gradients, and three input gradients,
    one of them in the four phases of its stride.
    """
    made = assembled(zoo.load("cnn"), techniques)
    assert (products(made.forward), products(made.backward)) == (4 + 1, 4 + 4 + 2 + 4)


def test_selections_by_themselves_are_refused():
    told = (
        r"^layer 'conv2': the accelerator packs weights only while it updates them; "
        r"conv2\.weight_forward is selected by itself, as the technique 'pregenerate' is left out$"
    )
    with pytest.raises(InputError, match=told):
        assembled(zoo.load("cnn"), without("pregenerate"))


def test_ones_are_as_many_as_a_mean_by_itself_has_pixels():
    """Of the images, which two layers read: 7 · 5. All else is one pixel of two images."""
    layers = (
        GlobalPool(name="pool", inputs=(INPUT,)),
        Linear(name="first", inputs=("pool",), out_features=5),
        Conv(name="conv", inputs=(INPUT,), out_channels=8, kernel=1, stride=7),
        Flatten(name="flat", inputs=("conv",)),
        Linear(name="second", inputs=("flat",), out_features=5),
        Add(name="sum", inputs=("first", "second")),
    )
    made = assembled(Network(name="net", input_shape=(7, 5, 4), layers=layers))
    assert made.memory[ONES].shape == (35,)
