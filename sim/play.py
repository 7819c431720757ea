"""The cocotb testbench that plays a program on the array: reset, start, wait; the player module does the rest."""

import os

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge, SimTimeoutError, with_timeout

PERIOD_NS = 10


@cocotb.test
async def play(dut: cocotb.handle.HierarchyObject) -> None:
    """Every command ends, within the cycles that the environment allows."""
    limit = int(os.environ["NMTRAIN_CYCLE_LIMIT"])
    dut.rst.value = 1
    Clock(dut.clk, PERIOD_NS, "ns", impl="gpi").start()
    await ClockCycles(dut.clk, 2)
    await FallingEdge(dut.clk)
    dut.rst.value = 0
    try:
        await with_timeout(RisingEdge(dut.done), limit * PERIOD_NS, "ns")
    except SimTimeoutError:
        raise AssertionError(f"the array is not done after {limit} cycles") from None
