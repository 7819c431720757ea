"""Bounds are never above the machine, and need nothing that runs."""

from dataclasses import replace
from random import Random

import pytest

from dataflow import zoo
from dataflow.analysis.bounds import bounds, touched
from dataflow.analysis.exact import run_on_machine
from dataflow.ir.program import Dataflow, Loop, MatrixView, Stage
from dataflow.lowering.lower import lower
from hw.config import PRESETS
from hw.ratio import DENSE, Ratio
from sim.stress.random_steps import RATIOS, draw

BOTH = frozenset({Stage.FORWARD, Stage.INPUT_GRADIENT})
TINY = PRESETS["tiny"]


def check(network, program, config):
    """No resource alone takes longer than the step; what its unit did took no less than its bound."""
    result, least = run_on_machine(network, program, config), bounds(program, config)
    assert all(result.cycles >= cycles for cycles in least.values()), least
    assert result.busy["array"] >= max(least[name] for name in ("array", "w2e", "n2s")), least
    assert result.busy["vector"] + result.busy["update"] >= least["vector"] + least["update"], (least, result.busy)
    assert result.busy["memory"] >= least["memory"], (least, result.busy)


@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet50/32", "vgg19/32", "vit/16"])
@pytest.mark.parametrize("ratio", [DENSE, Ratio(2, 8)], ids=str)
def test_never_above_the_machine(name, ratio):
    network = zoo.load(name)
    check(network, lower(network, TINY, batch=2, ratio=ratio, sparse_stages=BOTH), TINY)


@pytest.mark.parametrize("seed", range(24))
def test_never_above_the_machine_for_networks_and_accelerators_of_any_kind(seed):
    random, drawn = Random(seed), draw(seed)
    config = replace(
        drawn.config, dram_channels=random.choice([1, 2, 4]), axi_data_bits=random.choice([64, 128, 512]),
        axi_burst_beats=random.choice([4, 16]), dram_latency_cycles=random.randint(1, 80),
    )  # fmt: skip
    config = replace(config, dram_channel_bytes_per_second=config.port_bytes_per_second / random.choice([1, 2, 5]))
    options = {"ratio": random.choice(RATIOS), "sparse_stages": random.choice([BOTH, frozenset()])}
    network = drawn.model.network
    check(network, lower(network, config, batch=random.randint(1, 5), **options), config)


def test_the_array_is_its_work_over_its_rate():
    """64 x 64, 64 x 64 and 64 x 10 weights, batch 8; the first layer has no input gradient."""
    program = lower(zoo.load("mlp"), TINY, batch=8)
    macs = 8 * (3 * (64 * 64 * 2 + 640) - 64 * 64)
    assert bounds(program, TINY)["array"] == macs // 16
    sums = 8 * (64 + 64 + 10) + 8 * (64 + 64) + 64 * 64 * 2 + 640
    assert bounds(program, TINY)["vector"] == sums // 4
    parameters = 2 * (64 * 64 + 64) + 650
    assert bounds(program, TINY)["update"] == -(-(64 * 64 + 64) // 4) * 2 + -(-650 // 4)
    assert parameters == zoo.load("mlp").parameters
    assert {product.dataflow for product in program.products} <= set(Dataflow)


def test_shared_elements_are_counted_once():
    """Windows of three in a row of five, one before its beginning: all five; every second one of the windows: two."""
    windows = MatrixView("x", (-1,), (Loop(5, 0),), (Loop(3, 0),))
    assert touched(windows, (5,)) == 5
    assert touched(MatrixView("x", (0,), (Loop(2, 0, 3),), (Loop(1, 0),)), (5,)) == 2
