"""A program is assembled whole, or refused by name."""

import re
from dataclasses import replace

import pytest

from dataflow import zoo
from dataflow.compile.assemble import assemble
from dataflow.compile.updates import Rates
from dataflow.ir.program import Stage
from dataflow.ir.techniques import ALL, without
from dataflow.lowering.lower import lower
from dataflow.machine.executor import execute
from dataflow.machine.timing import Memory as PortMemory
from dataflow.network import INPUT, Add, BatchNorm, Conv, Flatten, GlobalPool, Linear, MaxPool, Network, Relu
from dataflow.rearrange import Gap
from dataflow.tokens import LayerNorm, Softmax
from hw.config import PRESETS
from hw.isa.bits import PassOption, takes_pairs, takes_third
from hw.isa.commands import Load, Pass, Product, Source, Store
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
    """Four layers with weights: four forward; four weight gradients, and three input gradients, one of them in the four
    phases of its stride. The mean and the bias gradients are reductions.
    """
    made = assembled(zoo.load("cnn"), techniques)
    assert (products(made.forward), products(made.backward)) == (4, 4 + 2 + 4)
    sums = [[isinstance(step, Pass) and step.groups > 0 for step in half] for half in (made.forward, made.backward)]
    assert [sum(half) for half in sums] == [1, 4]


def test_a_mean_by_itself_sums_the_pixels_of_each_image():
    """Of the images, which two layers read: 7 · 5 terms of a word of four channels for each of two images, side by side.

    A sum in turn needs sixteen words side by side: these two pass eight times.
    """
    layers = (
        GlobalPool(name="pool", inputs=(INPUT,)),
        Linear(name="first", inputs=("pool",), out_features=5),
        Conv(name="conv", inputs=(INPUT,), out_channels=8, kernel=1, stride=7),
        Flatten(name="flat", inputs=("conv",)),
        Linear(name="second", inputs=("flat",), out_features=5),
        Add(name="sum", inputs=("first", "second")),
    )
    made = assembled(Network(name="net", input_shape=(7, 5, 4), layers=layers))
    sums = [step for step in made.forward if isinstance(step, Pass) and step.groups]
    assert [(step.words, step.groups, step.terms, step.results) for step in sums] == [(8 * 70, 16, 35, 16)]


def test_what_is_not_counted_between_layers_is_there():
    """A gap's result is read, and its source's gradient, though nothing writes them; products are those of each layer alone."""
    first = Linear(name="first", inputs=(INPUT,), out_features=12)
    second = Conv(name="second", inputs=("pool",), out_channels=8, kernel=3)
    shapes = {INPUT: (3, 8), "gap": (6, 5, 4)}
    layers = (
        first,
        Gap(name="gap", inputs=("first",), shape=shapes["gap"]),
        MaxPool(name="pool", inputs=("gap",), kernel=2, stride=1),
        second,
    )
    made = assembled(Network(name="net", input_shape=shapes[INPUT], layers=layers))
    places = {(name, tuple(made.memory[name].shape)) for name in ("gap.output", "gap.input_gradient", "first.output")}
    assert places == {("gap.output", (2, 6, 5, 4)), ("gap.input_gradient", (2, 3, 12)), ("first.output", (2, 3, 12))}

    def rounds(*halves):
        return sorted(one.rounds * one.outer * one.middle for half in halves for one in half if isinstance(one, Product))

    alone = [assembled(Network(name="first", input_shape=shapes[INPUT], layers=(first,)))]
    pool = replace(layers[2], inputs=("same",))
    same = Conv(name="same", inputs=(INPUT,), out_channels=4, kernel=1)
    alone.append(assembled(Network(name="second", input_shape=shapes["gap"], layers=(same, pool, second))))
    of_same = [assembled(Network(name="same", input_shape=shapes["gap"], layers=(same,)))]
    both = sorted(
        [*rounds(made.forward, made.backward), *rounds(*(half for one in of_same for half in (one.forward, one.backward)))]
    )
    assert both == rounds(*(half for one in alone for half in (one.forward, one.backward)))
    for half in (made.forward, made.backward):
        assert execute(TINY, half, PortMemory(), 1 << 16).cycles > 0


def test_many_channels_are_summed_some_at_a_time():
    """The bias gradient of 300 outputs on 4 lanes: 64 words of channels, then 11, of two images each."""
    layers = (Linear(name="only", inputs=(INPUT,), out_features=300),)
    made = assembled(Network(name="net", input_shape=(3,), layers=layers))
    sums = [step for step in made.backward if isinstance(step, Pass) and step.groups]
    assert [(step.words, step.groups, step.terms, step.results) for step in sums] == [(128, 64, 2, 64), (22, 11, 2, 11)]


def _takes_factors(step):
    return takes_pairs(step.steps, step.options) or takes_third(step.steps)


def test_factors_of_a_layer_are_read_once():
    """A bias of 10 outputs on 4 lanes: 3 words, for any batch; and of a batch norm in its 2 passes, 16 pixels each."""
    layers = (
        Conv(name="conv", inputs=(INPUT,), out_channels=10, kernel=1, bias=True),
        BatchNorm(name="norm", inputs=("conv",)),
        GlobalPool(name="pool", inputs=("norm",)),
        Linear(name="last", inputs=("pool",), out_features=2),
    )
    made = assembled(Network(name="net", input_shape=(4, 4, 3), layers=layers))
    held = [(step.words, step.held) for step in made.forward if isinstance(step, Pass) and step.held and step.words > 3]
    assert held == [(2 * 16 * 3, 3)] * 3  # the bias, what is squared, the output
    loads = [load.walk.u_size for load in made.forward if isinstance(load, Load) and load.source is Source.FACTORS]
    assert max(loads) == 10
    without = [step for step in made.forward if isinstance(step, Pass) and not _takes_factors(step)]
    assert without
    assert not any(step.held for step in without)


def test_the_first_sums_of_a_batch_norm_leave_beside_what_they_sum_up():
    """Of a drain, of 32 pixels; of a gradient that two branches add up, in a pass over memory of whole words."""
    layers = (
        Conv(name="first", inputs=(INPUT,), out_channels=12, kernel=1),
        BatchNorm(name="norm", inputs=("first",)),
        Relu(name="on", inputs=("norm",)),
        Conv(name="left", inputs=("on",), out_channels=12, kernel=3, padding=1),
        Add(name="sum", inputs=("left", "on")),
        GlobalPool(name="pool", inputs=("sum",)),
        Linear(name="last", inputs=("pool",), out_features=2),
    )
    made = assembled(Network(name="net", input_shape=(4, 4, 3), layers=layers))
    for half, reductions in ((made.forward, 2), (made.backward, 2)):
        steps = [step for step in half if isinstance(step, Pass) and step.groups]
        beside = [step for step in steps if step.options & PassOption.BESIDE]
        assert [(step.words, step.groups, step.terms, step.results) for step in beside] == [(32 * 3, 3, 32, 3)]
        others = [step for step in steps if step not in beside and step.terms == 32]
        assert len(others) == reductions - 1  # centred squares; Σ x g


def test_running_statistics_are_written_where_the_step_is_not_skipped():
    layers = (
        Linear(name="first", inputs=(INPUT,), out_features=4),
        BatchNorm(name="norm", inputs=("first",)),
        Linear(name="last", inputs=("norm",), out_features=2),
    )
    made = assembled(Network(name="net", input_shape=(3,), layers=layers))
    kept = {made.memory[f"norm.{kind}"].offset for kind in ("mean", "variance", "scale", "shift")}
    stores = [step for half in (made.forward, made.backward) for step in half if isinstance(step, Store)]
    assert {store.walk.base for store in stores if store.conditional} >= kept
    assert not kept & {store.walk.base for store in stores if not store.conditional}


def test_the_commands_of_rows_do_not_grow_with_the_batch():
    """2,560 rows are blocks of as many as there are lanes, in 16 parts at most of each operation; so are 40,960."""
    layers = (
        Linear(name="first", inputs=(INPUT,), out_features=6),
        LayerNorm(name="norm", inputs=("first",)),
        Linear(name="second", inputs=("norm",), out_features=6),
        Softmax(name="soft", inputs=("second",)),
        Linear(name="last", inputs=("soft",), out_features=2),
    )
    counts = []
    for batch in (2560, 40960):
        network = Network(name="net", input_shape=(3,), layers=layers)
        made = assemble(network, lower(network, TINY, batch=batch), TINY, RATES)
        counts.append([sum(isinstance(step, Pass) for step in half) for half in (made.forward, made.backward)])
        sums = [step for step in made.forward if isinstance(step, Pass) and step.groups]
        assert {(step.groups, step.terms) for step in sums} == {(4, 2)}  # six channels, a row in two words
        assert sum(step.results for step in sums) == 4 * batch // 4
        counts[-1].append(len(sums))
    assert all(some <= 16 * 19 for half in counts for some in half)  # sums, two vectors, seven passes; sums, five; three
    assert abs(counts[0][2] - counts[1][2]) <= 2 * 2 * (16 - 2)


def test_a_weight_gradient_goes_on_beside_the_passes_behind_its_layer():
    """Its product stands in front of the passes of the batch norm before it, what takes its sums between them and behind."""
    layers = (
        Conv(name="first", inputs=(INPUT,), out_channels=8, kernel=1),
        BatchNorm(name="norm", inputs=("first",)),
        Conv(name="second", inputs=("norm",), out_channels=8, kernel=3, padding=1),
        Flatten(name="flat", inputs=("second",)),
        Linear(name="out", inputs=("flat",), out_features=4),
    )
    network = Network(name="one", input_shape=(4, 4, 8), layers=layers)
    made = assemble(network, lower(network, TINY, batch=64), TINY, RATES)
    kinds = []  # a letter for each product, pass over sums, and pass from memory
    for command in made.backward:
        if isinstance(command, Product):
            kinds.append("X")
        elif isinstance(command, Pass):
            kinds.append("s" if command.options & PassOption.FROM_SUMS else "p")
    order = "".join(kinds)
    # Both gradients of out, the second with a bias; both of second, the last around the norm's passes; that of first.
    assert re.fullmatch(r"XsXps+XsX(p+s){2,}p+s+Xsp+", order)
    assert execute(TINY, made.backward, PortMemory()).cycles > 0
