"""Cycles that the model takes from the blocks: a pipeline of another depth moves the RTL and the model alike."""

from dataclasses import replace

import pytest
from stream_bench import on_amaranth, on_verilog, run

from dataflow.ir.program import Dataflow
from dataflow.scheduling.array import ArrayUnit
from hw.config import SELECT_LATENCY_CYCLES, TURN_LATENCY_CYCLES, AcceleratorConfig
from hw.engines.pregenerate import Pregenerate
from hw.engines.sore import SORE
from hw.engines.vpu import VPU
from hw.engines.wuve import WUVE
from hw.ratio import Ratio
from sim.rtl.gemm import Gemm
from sim.rtl.products import play_products

DOT = AcceleratorConfig(
    name="dot", rows=1, columns=1, max_group=4, multiply_latency_cycles=1, add_latency_cycles=1,
    vpu_lanes=2, wuve_lanes=2, sore_lanes=2,
)  # fmt: skip
DEEP = replace(DOT, multiply_latency_cycles=3, add_latency_cycles=4)


def test_the_arrays_cycles_follow_its_pipelines():
    """Fewer outputs than the deep adder has stages: its cycles are not those of the shallow one."""
    cycles = {}
    for config in (DOT, DEEP):
        gemms = [Gemm(config=config, m=3, n=1, k=8, ratio=Ratio(2, 4), dataflow=dataflow) for dataflow in Dataflow]
        operands = [gemm.operands() for gemm in gemms]
        cycles[config] = play_products(config, operands).cycles
        assert cycles[config] == ArrayUnit(config, [one.tile(config) for one in operands]).run()
    assert all(deep > shallow for deep, shallow in zip(cycles[DEEP], cycles[DOT], strict=True))


def span(traffic, first, last):
    """Cycles from the first word taken to the last word of the results."""
    return traffic[last].cycles[-1] - traffic[first].cycles[0]


def expected(words, *latencies):
    """The same by the configuration: a word a cycle, and the last one's way."""
    return words - 1 + sum(latencies)


@pytest.mark.parametrize("config, on", [(DOT, on_amaranth), (DEEP, on_amaranth), (DEEP, on_verilog)])
def test_a_pass_of_the_vector_engine(config, on):
    traffic = run(VPU(config), {"i": list(range(30))}, {"o": 30}, inputs={"steps": 0}, on=on)
    assert span(traffic, "i", "o") == expected(30, config.vpu_latency_cycles)


@pytest.mark.parametrize("config", [DOT, DEEP])
def test_an_update(config):
    words = {"i_master": [0] * 30, "i_gradient": [0] * 30}
    traffic = run(WUVE(config), words, {"o": 30}, inputs={"rates": 0})
    assert span(traffic, "i_master", "o") == expected(30, config.wuve_latency_cycles)


@pytest.mark.parametrize("ratio", [Ratio(1, 2), Ratio(2, 4)])
def test_a_selection_by_itself(ratio):
    word = ratio.n << 32 | ratio.m << 35
    traffic = run(SORE(DOT), {"i": [word] * 32}, {"o": 32 // ratio.m * ratio.n})
    assert span(traffic, "i", "o") == expected(32, SELECT_LATENCY_CYCLES, ratio.n - 1)


@pytest.mark.parametrize("config", [DOT, DEEP])
@pytest.mark.parametrize("ratio", [Ratio(1, 2), Ratio(2, 4)])
def test_an_update_that_makes_both_packed_copies(config, ratio):
    """Four blocks of 4 x 4 weights."""
    words = {"i_master": [0] * 32, "i_gradient": [0] * 32}
    packed = 64 * ratio.n // ratio.m
    sinks = {"o_master": 32, "o_forward": packed // 2, "o_backward": packed // 2}
    traffic = run(Pregenerate(config), words, sinks, inputs={"rates": 0, "ratio": ratio.n | ratio.m << 3})
    forward = expected(32, config.forward_copy_latency_cycles, ratio.n - 1)
    assert span(traffic, "i_master", "o_backward") == forward + TURN_LATENCY_CYCLES + config.turned_block_words - 1
    assert span(traffic, "i_master", "o_forward") == forward
    assert span(traffic, "i_master", "o_master") == expected(32, config.wuve_latency_cycles)
