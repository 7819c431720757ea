"""The cocotb test of a harness that runs by itself: start the clock, reset, wait for ``done``."""

import os
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge, SimTimeoutError, with_timeout

PERIOD = 2
"""Simulation steps of a clock cycle."""


@cocotb.test()
async def run_until_done(dut: Any) -> None:  # noqa: ANN401 (a handle has the attributes of the design)
    """The harness is done within the cycles that ``NMTRAIN_CYCLE_LIMIT`` allows, if it is set."""
    Clock(dut.clk, PERIOD, unit="step").start()
    if hasattr(dut, "rst"):
        dut.rst.value = 1
        await ClockCycles(dut.clk, 2)
        await FallingEdge(dut.clk)
        dut.rst.value = 0
    done = RisingEdge(dut.done)
    limit = os.environ.get("NMTRAIN_CYCLE_LIMIT")
    try:
        await (with_timeout(done, int(limit) * PERIOD, "step") if limit else done)
    except SimTimeoutError:
        raise AssertionError(f"not done after {limit} cycles") from None
