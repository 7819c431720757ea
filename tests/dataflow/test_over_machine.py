"""What an estimate is worth is measured on the machine, with the step's own commands."""

from dataclasses import replace

import pytest

from dataflow import zoo
from dataflow.axes import Combine
from dataflow.bounds import bounds
from dataflow.lower import lower
from dataflow.machine.assemble import assemble
from dataflow.machine.executor import execute
from dataflow.machine.units.port import Memory
from dataflow.machine.updates import Rates
from dataflow.model import run
from dataflow.network import INPUT, Conv, Network
from dataflow.over_machine import LONGEST_CYCLES, over_machine, sentence
from dataflow.program import Stage
from hw.config import PRESETS
from hw.ratio import Ratio

TINY, SMALL = PRESETS["tiny"], PRESETS["small"]
BOTH = frozenset({Stage.FORWARD, Stage.INPUT_GRADIENT})
GIVEN = {"ratio": Ratio(2, 8), "sparse_stages": BOTH}


def program(network, config, batch, **more):
    return lower(network, config, batch=batch, **GIVEN, **more)


@pytest.mark.parametrize(
    ("name", "config", "asked", "batch"), [("mlp", TINY, 3, 3), ("mlp", SMALL, 512, 8), ("cnn", SMALL, 512, 8)]
)
def test_the_ratio_is_the_models_cycles_over_the_machines(name, config, asked, batch):
    """At the batch that was asked for, but at most 8; what no executor can beat, the machine does not."""
    network = zoo.load(name)
    step = program(network, config, batch)
    made = assemble(network, step, config, Rates(unscale=0, weight_decay=0, momentum=0, learning_rate=0))
    cycles = sum(execute(config, half, Memory(config.dram_latency_cycles, 1)).cycles for half in (made.forward, made.backward))
    estimated = run(step, config).cycles
    found = over_machine(network, program(network, config, asked), config)
    assert found == {"batch": batch, "estimated_cycles": estimated, "machine_cycles": cycles, "ratio": estimated / cycles}
    assert max(bounds(step, config).values()) <= cycles
    assert f"{found['ratio']:.2f} of the {cycles:,} that the accelerator takes" in sentence(found)


def test_the_batch_is_halved_until_the_machine_runs_it_in_seconds():
    network = zoo.load("cnn")
    found = over_machine(network, program(network, TINY, 64), TINY)
    assert found["estimated_cycles"] <= LONGEST_CYCLES < run(program(network, TINY, 2 * found["batch"]), TINY).cycles
    assert found["batch"] in (1, 2, 4)


def test_a_slower_memory_is_the_machines_too():
    """0.8 GB/s at 200 MHz are 4 bytes a cycle, of 16 that the port moves both ways: a beat in four cycles."""
    slow = replace(TINY, dram_channel_bytes_per_second=0.8e9)
    network = zoo.load("mlp")
    fast = over_machine(network, program(network, TINY, 1), TINY)
    found = over_machine(network, program(network, slow, 1), slow)
    assert found["machine_cycles"] > 1.5 * fast["machine_cycles"]


@pytest.mark.parametrize(
    ("network", "config", "reason"),
    [
        ("gated", PRESETS["vcu1525"], "layer 'gate', forward: the accelerator cannot do 'multiply'"),
        ("mlp", replace(TINY, rows=3), "rows must be a multiple of vpu_lanes in the whole accelerator, not 3 and 4"),
        ("wide", TINY, "cycles, too many to run each of them here"),
    ],
)
def test_without_a_machine_the_report_says_why(network, config, reason):
    conv = Conv(name="conv", inputs=(INPUT,), out_channels=64, kernel=3)
    gate = Combine(name="gate", inputs=("conv", "conv"), kind="multiply")
    layers = {"wide": (conv,), "gated": (conv, gate)}.get(network)
    network = Network(name=network, input_shape=(64, 64, 16), layers=layers) if layers else zoo.load(network)
    found = over_machine(network, program(network, config, 2), config)
    assert reason in found["reason"]
    assert sentence(found).startswith("Estimated, and compared with no machine: ")
