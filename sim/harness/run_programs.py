"""The cocotb test in which a simulated accelerator waits for a host, another process, and does as it is asked.

Requests and answers are lines of JSON on a socket, see `REQUESTS`. Time stands still between them.
"""

import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, First, ReadOnly, RisingEdge, Timer

from hw.isa.registers import COUNTERS, IDENTITY, OFFSETS
from sim.kit import PERIOD, reset

SOCKET, LOADED, DUMPED = "host.socket", "load.bin", "dump.bin"
"""In the working folder: where it listens, and what a part of the memory comes from and goes to."""

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
    """Do what the host asks for until it goes."""
    dut.load.value = dut.dump.value = 0
    registers = Registers(dut)
    await reset(dut)
    await FallingEdge(dut.clk)  # a register is between, see sat_bench.sv
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(SOCKET)
        listening.listen(1)
        host, _ = listening.accept()
    with host, host.makefile("rw", encoding="ascii") as lines:
        for line in lines:
            request = json.loads(line)
            answer = await REQUESTS[request.pop("do")](dut, registers, **request)
            lines.write(json.dumps(answer) + "\n")
            lines.flush()
    assert int(dut.violations.value) == 0, "AXI's rules were broken, see the messages above"


async def _set_up(dut: Any, registers: Registers, values: dict[str, int]) -> None:  # noqa: ANN401 (see above)
    """Write registers, and check what all of them then hold."""
    for name, value in values.items():
        await registers.write(name, value)
    await registers.write("interrupt_enable", 1)
    await registers.check(values)


async def _move(dut: Any, which: str, first: int, count: int) -> None:  # noqa: ANN401
    """Take a part of the memory from its file, or write it there; whole beats."""
    dut.part_first.value, dut.part_bytes.value = first, count
    getattr(dut, which).value = 1
    await FallingEdge(dut.clk)
    getattr(dut, which).value = 0


async def _load(dut: Any, registers: Registers, first: int, count: int) -> None:  # noqa: ANN401
    await _move(dut, "load", first, count)


async def _dump(dut: Any, registers: Registers, first: int, count: int) -> None:  # noqa: ANN401
    await _move(dut, "dump", first, count)


async def _run(
    dut: Any,  # noqa: ANN401
    registers: Registers,
    address: int,
    length: int,
    cycle_limit: int,
    abort_cycles: int,
    faults: dict[str, int],
) -> dict[str, int]:
    """Run a program; its registers afterwards, and what the memory saw. Limits are in cycles."""
    for name, value in faults.items():
        getattr(dut, name).value = value
    await registers.write("program_address", address)
    await registers.write("program_bytes", length)
    await registers.write("control", 1)
    if not int(dut.interrupted.value):
        limit = abort_cycles or cycle_limit
        await First(RisingEdge(dut.interrupted), Timer(PERIOD * limit, "step"))
        assert abort_cycles or int(dut.interrupted.value), f"no interrupt for {limit} cycles"
    await FallingEdge(dut.clk)
    outcome = {name: await registers.read(name) for name in ("status", "error_code", "error_unit", "error_address")}
    outcome["error_command"] = await registers.read("error_command")
    for name in COUNTERS:
        outcome[name] = await registers.read(f"{name}_low") | await registers.read(f"{name}_high") << 32
    for name in ("transfers", "faulty", "faulty_stream", "faulty_address"):
        outcome[name] = int(getattr(dut, name).value)
    await registers.write("control", 4 | (2 if outcome["status"] & (ERROR | RUNNING) else 0))
    while await registers.read("status") & RESETTING:
        pass
    return outcome


REQUESTS: dict[str, Callable[..., Awaitable[Any]]] = {"set_up": _set_up, "load": _load, "dump": _dump, "run": _run}
"""What a request's ``do`` may be; its other entries are the arguments."""
