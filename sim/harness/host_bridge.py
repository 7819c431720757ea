"""The cocotb test that lets a host, another process, have the accelerator's ports; see `hw.export.packaging.nmtrain_host`."""

import os
import socket
import struct
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, First, RisingEdge, Timer
from cocotbext.axi import AxiBus, AxiRam

from sim.harness.run_programs import Registers
from sim.kit import PERIOD, reset

SOCKET, BYTES = "host.socket", "MEMORY_BYTES"
"""Where it listens, in the working folder; the variable that says how long the memory is."""


@cocotb.test
async def bridge(dut: Any) -> None:  # noqa: ANN401
    """Answer a host's requests, one after the other; time passes while one is answered."""
    ram = AxiRam(AxiBus.from_prefix(dut, "m_axi"), dut.clk, dut.rst, size=int(os.environ[BYTES]))
    registers = Registers(dut)
    dut.s_axi_wstrb.value = 0xF
    await reset(dut)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(SOCKET)
        listening.listen(1)
        while True:
            host, _ = listening.accept()
            with host:
                if await serve(dut, host, ram, registers):
                    return


async def serve(dut: Any, host: socket.socket, ram: AxiRam, registers: Registers) -> bool:  # noqa: ANN401
    """Answer until the host goes; whether it asked to end the simulation."""
    with host.makefile("rb") as requests:
        while request := requests.read(17):
            kind, address, number = struct.unpack("<cQQ", request)
            answer, data = 0, b""
            if kind == b"r":
                answer = await registers.read_at(address)
            elif kind == b"w":
                await registers.write_at(address, number)
            elif kind == b"R":
                answer, data = number, ram.read(address, number)
            elif kind == b"W":
                ram.write(address, requests.read(number))
            elif kind == b"t":
                await First(RisingEdge(dut.irq), Timer(PERIOD * number, "step"))
                await FallingEdge(dut.clk)
            host.sendall(struct.pack("<Q", answer) + data)
            if kind == b"q":
                return True
    return False
