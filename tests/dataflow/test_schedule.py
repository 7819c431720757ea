"""Blocks fit, orders are those of least traffic, small cases derived by hand."""

from contextlib import suppress
from dataclasses import replace

import pytest

from dataflow.interleave import splits
from dataflow.lower import lower
from dataflow.network import INPUT, Linear, Network
from dataflow.pins import SPLITS, Choice
from dataflow.program import Dataflow, Region, Stage
from dataflow.schedule import schedule, schedules
from hw.config import PRESETS
from hw.errors import InputError
from hw.ratio import DENSE, Ratio

TINY = PRESETS["tiny"]


def forward(config, inputs, outputs, batch, ratio=DENSE):
    """The forward product of one linear layer, scheduled in tiles of 2 x 2 slots and halves of the buffers."""
    layers = (Linear(name="l", inputs=(INPUT,), out_features=outputs),)
    network = Network(name="net", input_shape=(inputs,), layers=layers)
    stages = frozenset() if ratio.is_dense else frozenset({Stage.FORWARD})
    pins = {("l", Stage.FORWARD): Choice(Dataflow.OUTPUT_STATIONARY, (2, 2), split=2)}
    given = {"sparse_stages": stages, "prune_first": True, "prune_last": True, "pins": pins}
    program = lower(network, config, batch=batch, ratio=ratio, **given)
    return schedule(config, program.products[0], program.regions)


def buffers(w2e, n2s):
    return replace(TINY, w2e_buffer_bytes=w2e, n2s_buffer_bytes=n2s)


def test_all_that_fits_is_read_once():
    plan = forward(TINY, 64, 64, 64)
    assert (plan.weight_reads, plan.activation_reads) == (1, 1)
    assert plan.load_bytes == 2 * 2 * 64 * 64
    assert plan.units == 8 * 8  # 8 x 8 outputs a tile: 4 x 4 USPEs with 2 x 2 slots
    assert plan.first_bytes == 2 * 2 * 8 * 64
    assert plan.steps == 8 * 8 * 64 * 4


def test_a_packed_weight_carries_its_index():
    plan = forward(TINY, 64, 64, 64, Ratio(2, 8))
    assert plan.load_bytes == 64 * 16 * (16 + 3) // 8 + 2 * 64 * 64


@pytest.mark.parametrize(
    ("w2e", "n2s", "order", "weight_reads", "activation_reads"),
    [
        # 64 outputs x 256 inputs x 64 samples: each operand 32 KiB, a tile's rows or columns 4 KiB
        (8 * 1024, 8 * 1024, "keep activations", 8, 1),  # one tile of each: eight passes over the other, either way
        (8 * 1024, 16 * 1024, "keep activations", 4, 1),  # two tile columns stay
        (16 * 1024, 8 * 1024, "keep weights", 1, 4),
        (2 * 1024, 16 * 1024, "keep activations", 8, 1),  # weights pass by in parts, for a single column
        (2 * 1024, 2 * 1024, "stream", 8, 8),  # no tile's reduction fits
        (64 * 1024, 8 * 1024, "keep activations", 1, 1),
    ],
)
def test_order_of_least_traffic(w2e, n2s, order, weight_reads, activation_reads):
    plan = forward(buffers(w2e, n2s), 256, 64, 64)
    assert (plan.weight_reads, plan.activation_reads) == (weight_reads, activation_reads)
    assert plan.order == order


def test_a_long_reduction_moves_in_parts_of_half_a_buffer():
    plan = forward(buffers(2 * 1024, 2 * 1024), 256, 8, 8)
    assert plan.units == 4  # 4 KiB of each operand through 1 KiB halves
    assert plan.first_bytes == 2 * 1024


def test_buffers_that_hold_no_tile_are_refused():
    with pytest.raises(InputError, match=r"^output_buffer_bytes of tiny must be at least 512, two tiles of sums, not 256$"):
        forward(replace(TINY, output_buffer_bytes=256), 64, 64, 64)
    with pytest.raises(InputError, match="too small for l, forward: one of 2 shares of each must hold one group"):
        forward(buffers(16, 16), 64, 64, 64)


def choices(config, inputs, outputs, batch):
    """What is chosen freely for the forward product."""
    layers = (Linear(name="l", inputs=(INPUT,), out_features=outputs),)
    program = lower(Network(name="net", input_shape=(inputs,), layers=layers), config, batch=batch)
    return program.products[0], schedule(config, program.products[0], program.regions)


def test_small_tiles_are_loaded_further_ahead_than_one():
    """A tile of 16 steps does not hide 100 cycles of latency: more shares let more of them be on their way."""
    config = replace(TINY, dram_latency_cycles=100)
    product, plan = choices(config, 4, 64, 64)
    assert product.split > 2
    halves = schedule(config, replace(product, split=2), regions(product))
    assert halves.stall_cycles > plan.stall_cycles


def test_no_choice_is_predicted_to_be_faster():
    """Against every combination, by brute force."""
    config = replace(TINY, w2e_buffer_bytes=4096, n2s_buffer_bytes=2048, dram_channel_bytes_per_second=1e9)
    product, plan = choices(config, 96, 40, 24)
    shapes = regions(product)
    found = []
    for mapped in (
        *(replace(product, dataflow=Dataflow.OUTPUT_STATIONARY, interleave=split) for split in splits(config)),
        replace(product, dataflow=Dataflow.WEIGHT_STATIONARY),
    ):
        for split in SPLITS:
            with suppress(InputError):
                found += [other.rank for other in schedules(config, replace(mapped, split=split), shapes)]
    assert plan.rank[:2] == min(found)[:2]
    assert len(set(found)) > 10


def regions(product):
    """The regions that a linear layer's product reads."""
    m, k = product.weights.shape
    shapes = {"weight": (k, m), "input": (product.n, k)}
    return {f"l.{name}": Region(f"l.{name}", shape, "storage", "l") for name, shape in shapes.items()}
