"""The cocotb tests of `test_foreign`: the accelerator among AXI models that are not ours, as host and as memory."""

import itertools
import json
import logging
import os
from pathlib import Path
from random import Random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRam

from hw.config import PRESETS
from hw.isa.registers import OFFSETS, REGISTERS, after_reset

WINDOW = 0x8000
RAM_BYTES = 0x20000
PAUSES = float(os.environ.get("PAUSES", "0"))
"""In what share of cycles each of the ten channels waits."""


LIMIT = int(os.environ.get("LIMIT", "20000"))
"""Cycles that a program may take."""


def at_random(seed):
    random = Random(seed)
    return (random.random() < PAUSES for _ in itertools.count())


async def settle(dut):
    """A clock, a reset, and the models at both ports."""
    logging.getLogger(f"cocotb.{dut._name}").setLevel(logging.WARNING)
    Clock(dut.clk, 2, unit="step").start()
    host = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), dut.clk, dut.rst)
    ram = AxiRam(AxiBus.from_prefix(dut, "m_axi"), dut.clk, dut.rst, size=RAM_BYTES)
    channels = [(side.write_if, name) for side in (host, ram) for name in ("aw", "w", "b")]
    channels += [(side.read_if, name) for side in (host, ram) for name in ("ar", "r")]
    for seed, (part, name) in enumerate(channels):
        getattr(part, f"{name}_channel").set_pause_generator(at_random(seed))
    dut.rst.value = 1
    await ClockCycles(dut.clk, 4)
    dut.rst.value = 0
    await RisingEdge(dut.clk)
    return host, ram


@cocotb.test
async def programs(dut):
    """Each leaves in memory what NumPy says."""
    host, ram = await settle(dut)
    plan = json.loads(Path("plan.json").read_text())
    ram.write(WINDOW, Path("memory.bin").read_bytes())
    settings = {"window_base_low": WINDOW, "window_bytes": RAM_BYTES - WINDOW, "interrupt_enable": 1}
    for name, value in settings.items():
        await host.write_dword(OFFSETS[name], value)
    for number, program in enumerate(plan):
        for name, value in program.items():
            await host.write_dword(OFFSETS[name], value)
        await host.write_dword(OFFSETS["control"], 1)
        await with_timeout(RisingEdge(dut.irq), 2 * LIMIT, "step")
        status, code = [await host.read_dword(OFFSETS[name]) for name in ("status", "error_code")]
        assert (status, code) == (5, 0)
        expected = Path(f"after_{number}.bin").read_bytes()
        assert ram.read(WINDOW, len(expected)) == expected


@cocotb.test
async def bytes_of_registers(dut):
    """Writes of any bytes change these and no others; reads of any bytes give them; what is no register answers 0."""
    host, _ = await settle(dut)
    random, config = Random(0), PRESETS["tiny"]
    held = bytearray(0x1000)
    for name, value in after_reset(config).items():
        held[OFFSETS[name] : OFFSETS[name] + 4] = value.to_bytes(4, "little")
    writable = {OFFSETS[one.name] // 4 for one in REGISTERS if one.writable and one.name != "control"}
    places = [*OFFSETS.values(), max(OFFSETS.values()) + 4, 0x7FC, 0xFF0]
    for _ in range(150):
        address, count = random.choice(places) + random.randrange(4), random.choice([1, 2, 3, 4, 7])
        written = random.randbytes(count)
        if OFFSETS["control"] not in range(address - 3, address + count):
            answer = await host.write(address, written)
            assert answer.resp == 0, "writes are answered OKAY, those to what holds nothing, too"
            for place, byte in enumerate(written, address):
                if place // 4 in writable:
                    held[place] = byte
        address, count = random.choice(places) + random.randrange(4), random.choice([1, 2, 3, 4, 7])
        answer = await host.read(address, count)
        assert answer.resp == 0
        assert answer.data == held[address : address + count], hex(address)


@cocotb.test
async def accesses_at_once(dut):
    """Reads and writes that wait for each other are each answered, in order."""
    host, _ = await settle(dut)
    version = after_reset(PRESETS["tiny"])["version"].to_bytes(4, "little")
    for number in range(20):
        writes = [host.init_write(OFFSETS[name], bytes([number] * 4)) for name in ("window_bytes", "program_bytes")]
        reads = [host.init_read(OFFSETS[name], 4) for name in ("identity", "version", "identity")]
        for event in (*writes, *reads):
            await event.wait()
        assert [event.data.data for event in reads] == [b"RTMN", version, b"RTMN"]
        assert await host.read_dword(OFFSETS["program_bytes"]) == number * 0x01010101
