"""The cocotb test of `test_abuse`: what a host should not do, by an AXI model that is not ours; each kind has its due end."""

import os
from random import Random

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from foreign_bench import RAM_BYTES, WINDOW, settle
from test_sat import COUNT, GOOD, copy

from hw.accelerator.control import TAKEN
from hw.isa.commands import Halt
from hw.isa.encoding import encode
from hw.isa.registers import OFFSETS, REGISTERS, ErrorCode

IDLE, RUNNING, DONE, ERROR, RESETTING, REFUSED = 1, 2, 4, 8, 32, 64
START, RESET, CLEAR = 1, 2, 4
LIMIT = 20_000
"""Cycles that anything may take."""
PLACE, SOURCE, TARGET = 0x2000, 0x10, 0x800
GOOD_BYTES = encode(GOOD)
SLOW = encode(copy(SOURCE, TARGET)[:3] * 3 + [Halt()])
STUCK = encode(GOOD[1:])
SETTINGS = {
    "window_base_low": WINDOW,
    "window_base_high": 0,
    "window_bytes": RAM_BYTES - WINDOW,
    "window_bytes_high": 0,
    "program_address": PLACE,
    "program_address_high": 0,
    "watchdog_cycles": 2000,
    "interrupt_enable": 1,
}
WRONG = {
    "window_base_low": (4, 2048, WINDOW + 1, WINDOW + 4095),
    "window_bytes": (1, 2, 3, 0x5001),
    "program_address": (1, 2, 3, PLACE + 2),
    "program_bytes": (0, 1, 2, 3, len(GOOD_BYTES) + 1, len(GOOD_BYTES) + 2),
}


class Host:
    """The accelerator's registers, and its memory."""

    def __init__(self, dut, axi, ram):
        self.dut, self.axi, self.ram = dut, axi, ram
        self.memory = np.arange(RAM_BYTES // 2, dtype=np.uint16).view(np.uint8)
        self.held = {}  # what was written last, where it is known

    async def write(self, name, value):
        self.held[name] = value
        await self.axi.write_dword(OFFSETS[name], value)

    async def read(self, name):
        return await self.axi.read_dword(OFFSETS[name])

    async def fresh(self, program):
        """All settings as they should be, an image, and a program in it."""
        self.image = self.memory.copy()
        self.image[WINDOW + PLACE : WINDOW + PLACE + len(program)] = np.frombuffer(program, np.uint8)
        self.ram.write(0, self.image.tobytes())
        for name, value in {**SETTINGS, "program_bytes": len(program)}.items():
            if self.held.get(name) != value:
                await self.write(name, value)

    async def end(self):
        """Wait for the interrupt; the status."""
        if not int(self.dut.irq.value):
            await with_timeout(RisingEdge(self.dut.irq), 2 * LIMIT, "step")
        return await self.read("status")

    async def recover(self):
        await self.write("control", RESET)
        while (status := await self.read("status")) & RESETTING:
            pass
        return status

    def untouched(self, copied):
        """Whether memory is as it was, but for what the program copies, where it has come to that."""
        now = np.frombuffer(self.ram.read(0, RAM_BYTES), np.uint8)
        due = self.image.copy()
        target = slice(WINDOW + TARGET, WINDOW + TARGET + 2 * COUNT)
        due[target] = due[WINDOW + SOURCE : WINDOW + SOURCE + 2 * COUNT] if copied else now[target]
        return np.array_equal(now, due)

    async def good(self):
        """A right program runs."""
        await self.fresh(GOOD_BYTES)
        await self.write("control", START)
        assert await self.end() == IDLE | DONE
        assert self.untouched(copied=True)

    async def stops(self, code, address=None):
        """It has ended with an error, which has this name; what it says is the same until a reset, and then all is well."""
        assert await self.end() & ~REFUSED == ERROR
        assert await self.read("error_code") == code
        assert address is None or await self.read("error_address") == address
        assert self.untouched(copied=False)
        assert await self.recover() == IDLE
        await self.good()

    async def ends(self, refused=False):
        """It ends as if nothing had been."""
        assert await self.end() == IDLE | DONE | (REFUSED if refused else 0)
        assert self.untouched(copied=True)


def kinds():
    """What is done, by name: a coroutine of the host and a source of numbers."""
    for name, values in WRONG.items():
        for value in values:
            yield f"{name} = {value:#x}", setting(name, value)
    for name in TAKEN:
        yield f"{name} is written in a run", in_a_run(name, 4)
        yield f"bytes of {name} are written in a run", in_a_run(name, 1)
    for register in REGISTERS:
        if not register.writable:
            yield f"{register.name} is written", in_a_run(register.name, 4)
    for address in (0xB8, 0x100, 0x7FC, 0xFF8):
        yield f"{address:#x} is written", in_a_run(address, 4)
    for bits in range(8):
        yield f"control = {bits} at rest", at_rest(bits)
        yield f"control = {bits} in a run", while_running(bits)
        yield f"control = {bits} after an error", after_an_error(bits)
    for byte in (1, 2, 3):
        yield f"byte {byte} of control is written", in_a_run(OFFSETS["control"] + byte, 1)
    for words in range(1, len(GOOD_BYTES) // 4, 9):
        yield f"a program ends after {words} words", cut(words)
        yield f"word {words} of a program is noise", noise(words)
    for name, value in (
        ("program_address", RAM_BYTES),
        ("program_address_high", 1),
        ("window_bytes", 0x2000),
        ("window_bytes", 4),
    ):
        yield f"the program is outside: {name} = {value:#x}", outside(name, value)
    for limit in (1, 2, 100):
        yield f"a watchdog of {limit}", watched(limit)
    yield "no watchdog", unwatched
    yield "all registers are read in a run", read_all


def setting(name, value):
    async def act(host, random):
        await host.fresh(GOOD_BYTES)
        await host.write(name, value)
        await host.write("control", START)
        await host.stops(ErrorCode.ILLEGAL_SETTING, OFFSETS[name])

    return act


def in_a_run(place, count):
    async def act(host, random):
        await host.fresh(SLOW)
        before = await host.axi.read_dword(OFFSETS["identity"])
        await host.write("control", START)
        await ClockCycles(host.dut.clk, random.randrange(200))
        address = OFFSETS.get(place, place) + (random.randrange(4) if count == 1 and place in OFFSETS else 0)
        await host.axi.write(address, random.randbytes(count))
        host.held.clear()
        await host.ends()
        assert await host.axi.read_dword(OFFSETS["identity"]) == before

    return act


def at_rest(bits):
    async def act(host, random):
        await host.fresh(GOOD_BYTES)
        await host.write("control", CLEAR)
        before = await host.read("status")
        await host.write("control", bits)
        if bits & START and not bits & RESET:
            await host.ends()
            return
        while await host.read("status") & RESETTING:
            pass
        after = await host.read("status")
        assert after & (RUNNING | ERROR) == 0
        assert bits & RESET or after == before
        assert host.untouched(copied=False)
        await host.good()

    return act


def while_running(bits):
    async def act(host, random):
        await host.fresh(SLOW)
        await host.write("control", START)
        await ClockCycles(host.dut.clk, random.randrange(200))
        await host.write("control", bits)
        if not bits & RESET:
            await host.ends(refused=bits & (START | CLEAR) == START or bits == START | CLEAR)
            return
        while (status := await host.read("status")) & RESETTING:
            pass
        assert status & (RUNNING | ERROR | DONE) == 0
        assert host.untouched(copied=False)
        await host.good()

    return act


def after_an_error(bits):
    async def act(host, random):
        await host.fresh(GOOD_BYTES)
        await host.write("program_bytes", 6)
        await host.write("control", START)
        assert await host.end() & ERROR
        await host.write("control", bits)
        if bits & RESET:
            while (status := await host.read("status")) & RESETTING:
                pass
            assert status & (RUNNING | ERROR | DONE) == 0
        else:
            assert await host.read("status") & (RUNNING | ERROR) == ERROR
            assert await host.read("error_code") == ErrorCode.ILLEGAL_SETTING
            assert await host.recover() == IDLE
        await host.good()

    return act


def cut(words):
    async def act(host, random):
        await host.fresh(GOOD_BYTES)
        await host.write("program_bytes", 4 * words)
        await host.write("control", START)
        await host.stops(ErrorCode.NO_HALT)

    return act


def noise(word):
    """A header is refused; of fields some have no meaning here, and then it ends."""

    async def act(host, random):
        program = bytearray(GOOD_BYTES)
        program[4 * word : 4 * word + 4] = random.randbytes(3) + b"\xff"
        await host.fresh(bytes(program))
        await host.write("control", START)
        status = await host.end()
        if status & ERROR:
            assert await host.read("error_code") in {*ErrorCode} - {ErrorCode.NONE}
            assert await host.recover() == IDLE
        else:
            assert status == IDLE | DONE
        await host.good()

    return act


def outside(name, value):
    async def act(host, random):
        await host.fresh(GOOD_BYTES)
        await host.write(name, value)
        await host.write("control", START)
        await host.stops(ErrorCode.OUTSIDE_WINDOW)

    return act


def watched(limit):
    async def act(host, random):
        await host.fresh(STUCK)
        await host.write("watchdog_cycles", limit)
        await host.write("control", START)
        await host.stops(ErrorCode.NO_PROGRESS)

    return act


async def unwatched(host, random):
    await host.fresh(STUCK)
    await host.write("watchdog_cycles", 0)
    await host.write("control", START)
    await ClockCycles(host.dut.clk, 3000)
    assert await host.read("status") == RUNNING
    assert await host.recover() == IDLE
    await host.good()


async def read_all(host, random):
    await host.fresh(SLOW)
    await host.write("control", START)
    events = [host.axi.init_read(random.choice([*OFFSETS.values()]) + random.randrange(4), 1) for _ in range(40)]
    for event in events:
        await event.wait()
        assert event.data.resp == 0
    await host.ends()


KINDS = dict(kinds())


@cocotb.test
async def abuse(dut):
    """Kinds, one after the other, with as many seeds as are asked for; a fault says which."""
    host = Host(dut, *await settle(dut))
    await host.good()
    for seed in range(int(os.environ.get("SEEDS", "1"))):
        for name, act in list(KINDS.items())[:: int(os.environ.get("EVERY", "1"))]:
            try:
                await act(host, Random(f"{name} {seed}"))
            except Exception as fault:
                raise AssertionError(f"{name}, seed {seed}: {fault!r}") from fault
