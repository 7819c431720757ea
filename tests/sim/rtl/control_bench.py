"""The cocotb tests of `test_control`: what a host may do to the accelerator's registers, and when."""

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, FallingEdge, First, RisingEdge, Timer
from test_sat import COUNT, GOOD, copy

from hw.isa.commands import Halt
from hw.isa.encoding import encode
from hw.isa.registers import OFFSETS, WATCHDOG_CYCLES, ErrorCode
from sim.harness.run_programs import DUMPED, Registers
from sim.kit import PERIOD, reset
from sim.rtl.sat import MEMORY_BASE, MEMORY_BYTES

IDLE, RUNNING, DONE, ERROR, RESETTING, REFUSED = 1, 2, 4, 8, 32, 64
"""Bits of `status`."""
START, RESET, CLEAR = 1, 2, 4
"""Bits of `control`."""
PROGRAMS = {"good": encode(GOOD), "stuck": encode([*GOOD[1:]]), "slow": encode(copy(0x10, 0x800)[:3] * 8 + [Halt()])}
PLACES = {name: 0x1000 * (number + 1) for number, name in enumerate(PROGRAMS)}
LIMIT = 20_000


def image():
    """The memory at first: numbers, and the programs."""
    memory = np.arange(MEMORY_BYTES // 2, dtype=np.uint16).view(np.uint8)
    for name, program in PROGRAMS.items():
        memory[PLACES[name] : PLACES[name] + len(program)] = np.frombuffer(program, np.uint8)
    return memory


class Host(Registers):
    """Registers, and what a host does with them."""

    def __init__(self, dut):
        super().__init__(dut)
        dut.load.value = dut.dump.value = dut.part_first.value = 0
        dut.faulty_read.value = dut.faulty_write.value = -1

    async def settle(self, **settings):
        """A design after its reset, with a window, and with these settings."""
        await reset(self.dut)
        await self.part("load", MEMORY_BYTES)
        window = {
            "window_base_low": MEMORY_BASE & 0xFFFFFFFF,
            "window_base_high": MEMORY_BASE >> 32,
            "window_bytes": MEMORY_BYTES,
        }
        for name, value in (window | {"interrupt_enable": 1} | settings).items():
            await self.write(name, value)

    async def choose(self, name):
        """Point to a program."""
        await self.write("program_address", PLACES[name])
        await self.write("program_bytes", len(PROGRAMS[name]))

    async def start(self, name):
        await self.choose(name)
        await self.write("control", START)

    async def end(self):
        """Wait for the interrupt; the status."""
        if not int(self.dut.interrupted.value):
            await First(RisingEdge(self.dut.interrupted), Timer(PERIOD * LIMIT, "step"))
        assert int(self.dut.interrupted.value), f"no interrupt for {LIMIT} cycles"
        await FallingEdge(self.dut.clk)
        return await self.read("status")

    async def recover(self):
        """Reset by the register; the status afterwards."""
        await self.write("control", RESET)
        while await self.read("status") & RESETTING:
            pass
        return await self.read("status")

    async def memory(self):
        """The first bytes of the memory."""
        await self.part("dump", 0x1000)
        return np.fromfile(DUMPED, np.uint8)

    async def part(self, which, count):
        """Take the memory's first bytes from the file, or write them there."""
        self.dut.part_bytes.value = count
        getattr(self.dut, which).value = 1
        await FallingEdge(self.dut.clk)
        getattr(self.dut, which).value = 0


def copied(memory):
    """Whether `GOOD` has done its work, and nothing else was done."""
    expected = image()[:0x1000]
    expected[0x800 : 0x800 + 2 * COUNT] = expected[0x10 : 0x10 + 2 * COUNT]
    return np.array_equal(memory, expected)


@cocotb.test
async def settings_are_taken_at_start(dut):
    """All of them are changed while a program runs; it ends as if they had not been, and they are for the next start."""
    host = Host(dut)
    await host.settle()
    changes = {"window_base_low": 1, "window_base_high": 9, "window_bytes": 3, "program_address": 2, "program_bytes": 1}
    changes["watchdog_cycles"] = 1
    await host.start("slow")
    for name, value in changes.items():
        await host.write(name, value)
    assert await host.read("status") == RUNNING, "the changes came in time"
    assert await host.end() == IDLE | DONE
    assert copied(await host.memory())
    assert {name: await host.read(name) for name in changes} == changes
    await host.write("control", START)
    assert await host.end() & ERROR


@cocotb.test
async def settings_that_cannot_be_are_errors(dut):
    """By the offset of the register; nothing is read or written, and a right start follows a reset."""
    host = Host(dut)
    await host.settle()
    await host.choose("good")
    wrong = {
        "window_base_low": (4, 2048, MEMORY_BASE + 1 & 0xFFFFFFFF), "window_bytes": (MEMORY_BYTES - 1, 2),
        "program_address": (1, 0x1002), "program_address_high": (1 << 8, 1 << 31),
        "program_bytes": (0, 1, 2, 3, len(PROGRAMS["good"]) + 2, 4 << 24),
    }  # fmt: skip
    for name, values in wrong.items():
        right = await host.read(name)
        for value in values:
            await host.write(name, value)
            await host.write("control", START)
            assert await host.end() == ERROR, (name, value)
            told = [await host.read(f"error_{part}") for part in ("code", "unit", "address", "command")]
            assert told == [ErrorCode.ILLEGAL_SETTING, 0, OFFSETS[name], 0], (name, value)
            assert await host.read("read_beats_low") == 0
            assert await host.recover() == IDLE
        await host.write(name, right)
    await host.write("control", START)
    assert await host.end() == IDLE | DONE
    assert copied(await host.memory())


@cocotb.test
async def the_watchdog_is_on(dut):
    """After a reset of the pin; a limit stops what is stuck in as many cycles, and 0 has it wait for ever."""
    host = Host(dut)
    await host.settle()
    assert await host.read("watchdog_cycles") == WATCHDOG_CYCLES
    for limit in (1, 500):
        await host.write("watchdog_cycles", limit)
        await host.start("stuck")
        assert await host.end() == ERROR
        assert await host.read("error_code") == ErrorCode.NO_PROGRESS
        assert await host.read("cycles_low") < 400 + limit
        await host.recover()
        assert await host.read("watchdog_cycles") == limit
    await host.write("watchdog_cycles", 0)
    await host.start("stuck")
    await ClockCycles(dut.clk, 3000)
    await FallingEdge(dut.clk)
    assert await host.read("status") == RUNNING
    assert await host.recover() == IDLE


@cocotb.test
async def what_lasts_and_what_does_not(dut):
    """The table of docs/accelerator.md, row by row."""
    host = Host(dut)
    await host.settle(watchdog_cycles=300)

    async def state():
        await FallingEdge(dut.clk)
        counted = bool(await host.read("cycles_low"))
        return await host.read("status"), await host.read("error_code"), await host.read("interrupt_status"), counted

    async def refused():
        await host.write("control", START)
        return await host.read("status") & REFUSED

    assert await state() == (IDLE, 0, 0, False)
    await host.start("good")
    assert await refused(), "a program is running"
    assert await host.end() == IDLE | DONE | REFUSED
    assert await state() == (IDLE | DONE | REFUSED, 0, 1, True)
    await host.write("control", CLEAR)
    assert await state() == (IDLE | DONE, 0, 0, True)
    assert not int(dut.interrupted.value)
    await host.start("good")
    assert await host.end() == IDLE | DONE
    await host.start("good")
    assert not int(dut.interrupted.value), "a start takes the interrupt back"
    assert (await state())[0] == RUNNING
    assert await host.end() == IDLE | DONE
    await host.start("stuck")
    assert await host.end() == ERROR
    assert await refused(), "an error stands"
    assert await state() == (ERROR | REFUSED, ErrorCode.NO_PROGRESS, 1, True)
    await host.write("control", CLEAR)
    assert await state() == (ERROR, ErrorCode.NO_PROGRESS, 0, True)
    await refused()
    assert await host.recover() == IDLE
    assert await state() == (IDLE, 0, 0, True)
    await host.start("slow")
    await host.write("control", RESET)
    assert await refused(), "a reset is under way"
    while await host.read("status") & RESETTING:
        pass
    await host.start("good")
    assert await host.end() == IDLE | DONE
    await host.write("control", RESET)
    assert not await host.recover() & DONE
    assert await state() == (IDLE, 0, 0, True)
    assert await host.read("watchdog_cycles") == 300
