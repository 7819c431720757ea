"""More cocotb tests of `test_kit`: on a register slice with AXI-Stream names, and on it when it is dead."""

import cocotb
from cocotb.triggers import ClockCycles, FallingEdge

from sim.kit import AXI_STREAM, Names, StreamMonitor, StreamSink, StreamSource, reset, within


@cocotb.test
async def reset_twice(dut):
    """One clock, as before; what was inside is gone."""
    source, sink = (kind(dut, name, names=AXI_STREAM) for kind, name in ((StreamSource, "s_axis"), (StreamSink, "m_axis")))
    monitor = StreamMonitor(dut, "m_axis", names=AXI_STREAM)
    for words in ([1, 2, 3], [4, 5]):
        await reset(dut, names=AXI_STREAM)
        await source.start(words)
        assert await sink.take(len(words)) == words
    assert monitor.words == [1, 2, 3, 4, 5]
    assert monitor.cycles[:3] == [1, 2, 3] and monitor.cycles[3:] == [1, 2], "counted from the end of each reset"
    start = cocotb.utils.get_sim_time("step")
    await ClockCycles(dut.aclk, 10)
    assert cocotb.utils.get_sim_time("step") - start in (20, 19, 21), "ten cycles of one clock"


@cocotb.test
async def dead_sink(dut):
    """Nothing is offered, so that nothing comes."""
    sink = StreamSink(dut, "m_axis", names=AXI_STREAM)
    dut.s_axis_tvalid.value = 0
    await reset(dut, names=AXI_STREAM)
    await sink.wait(3, limit_cycles=50)


@cocotb.test
async def dead_source(dut):
    """Nothing is taken behind, so that in front nothing is, either, when it is full."""
    source = StreamSource(dut, "s_axis", names=AXI_STREAM, limit_cycles=50)
    dut.m_axis_tready.value = 0
    await reset(dut, names=AXI_STREAM)
    await source.start([1, 2, 3])


@cocotb.test
async def dead_trigger(dut):
    await reset(dut, names=AXI_STREAM)
    dut.s_axis_tvalid.value = 0
    await within(FallingEdge(dut.m_axis_tvalid), 30, dut.aclk, "m_axis_tvalid falls")


@cocotb.test
async def wrong_names(dut):
    StreamSink(dut, "m_axis", names=Names(clock="aclk", reset="aresetn", payload="_x", valid="_y", ready="_z"))
