"""The cocotb test that runs programs on the accelerator, one after the other, by its registers; runs inside the simulation."""

import json
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, First, ReadOnly, RisingEdge, Timer

from hw.isa.registers import COUNTERS, IDENTITY, OFFSETS
from sim.kit import PERIOD, reset

PLAN, OUTCOME = "plan.json", "outcome.json"
RUNNING, ERROR, RESETTING = 2, 8, 32
"""Bits of the status register."""


class Registers:
    """The AXI4-Lite slave of the top module, a register at a time."""

    def __init__(self, dut: Any) -> None:  # noqa: ANN401 (a handle has the attributes of the design)
        self.dut = dut
        for name in ("awvalid", "wvalid", "arvalid"):
            getattr(dut, f"s_axi_{name}").value = 0
        dut.s_axi_bready.value = dut.s_axi_rready.value = 1

    async def write(self, name: str, value: int) -> None:
        """Write a register."""
        await self.write_at(OFFSETS[name], value)

    async def write_at(self, offset: int, value: int) -> None:
        """Write the register at an offset."""
        dut = self.dut
        dut.s_axi_awaddr.value, dut.s_axi_wdata.value = offset, value
        dut.s_axi_awvalid.value = dut.s_axi_wvalid.value = 1
        await FallingEdge(dut.clk)  # both are always taken when no write is under way
        dut.s_axi_awvalid.value = dut.s_axi_wvalid.value = 0
        await self._until(dut.s_axi_bvalid)

    async def read(self, name: str) -> int:
        """Read a register."""
        return await self.read_at(OFFSETS[name])

    async def read_at(self, offset: int) -> int:
        """Read the register at an offset."""
        dut = self.dut
        dut.s_axi_araddr.value, dut.s_axi_arvalid.value = offset, 1
        await FallingEdge(dut.clk)
        dut.s_axi_arvalid.value = 0
        await ReadOnly()
        value = int(dut.s_axi_rdata.value)
        await FallingEdge(dut.clk)
        return value

    async def check(self, written: dict[str, int]) -> None:
        """Every register can be read, those that were written hold it, and behind the last one there is nothing."""
        values = {name: await self.read(name) for name in OFFSETS}
        assert values["identity"] == IDENTITY
        assert {name: values[name] for name in written} == written
        assert await self.read_at(max(OFFSETS.values()) + 4) == 0

    async def _until(self, signal: Any) -> None:  # noqa: ANN401
        while not int(signal.value):
            await FallingEdge(self.dut.clk)
        await FallingEdge(self.dut.clk)


@cocotb.test()
async def run_programs(dut: Any) -> None:  # noqa: ANN401
    """Run what the plan says; leave the registers after each program, and a dump of the memory."""
    plan = json.loads(Path(PLAN).read_text())
    dut.dump.value = 0
    dut.dump_bytes.value = plan["dump_bytes"]
    registers = Registers(dut)
    await reset(dut)
    for name, value in plan["registers"].items():
        await registers.write(name, value)
    await registers.write("interrupt_enable", 1)
    await registers.check(plan["registers"])
    outcomes = []
    for program in plan["programs"]:
        for name in ("faulty_read", "faulty_write", "fault"):
            getattr(dut, name).value = program[name]
        await registers.write("program_address", program["address"])
        await registers.write("program_bytes", program["bytes"])
        await registers.write("control", 1)
        if not int(dut.interrupted.value):
            limit = program["abort_cycles"] or plan["cycle_limit"]
            await First(RisingEdge(dut.interrupted), Timer(PERIOD * limit, "step"))
            assert program["abort_cycles"] or int(dut.interrupted.value), f"no interrupt for {limit} cycles"
        await FallingEdge(dut.clk)
        names = ["status", "error_code", "error_unit", "error_address", "error_command"]
        outcome = {name: await registers.read(name) for name in names}
        for name in COUNTERS:
            outcome[name] = await registers.read(f"{name}_low") | await registers.read(f"{name}_high") << 32
        for name in ("transfers", "faulty", "faulty_stream", "faulty_address"):
            outcome[name] = int(getattr(dut, name).value)
        outcomes.append(outcome)
        await registers.write("control", 4 | (2 if outcome["status"] & (ERROR | RUNNING) else 0))
        while await registers.read("status") & RESETTING:
            pass
        dut.dump.value = 1
        await FallingEdge(dut.clk)
        dut.dump.value = 0
    assert int(dut.violations.value) == 0, "AXI's rules were broken, see the messages above"
    Path(OUTCOME).write_text(json.dumps(outcomes))
