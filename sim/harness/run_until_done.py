"""The cocotb test of a harness that runs by itself: start the clock and wait for ``done``."""

from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge


@cocotb.test()
async def run_until_done(dut: Any) -> None:  # noqa: ANN401 (a handle has the attributes of the design)
    """Take as long as the harness does."""
    Clock(dut.clk, 2, unit="step").start()
    await RisingEdge(dut.done)
