"""A cocotb bench to read and copy: readers and writers behind an AXI port, with a memory model of cocotbext-axi.

The design has two readers, each of which feeds a writer; streams of walks say what is read and where it goes. What is read is
drawn until all combinations have been seen, by the coverage of cocotb-coverage.
"""

import itertools
import logging
from dataclasses import dataclass
from random import Random

import cocotb
from cocotb.triggers import ClockCycles, FallingEdge
from cocotb_coverage.coverage import CoverCross, CoverPoint, coverage_db
from cocotbext.axi import AxiBus, AxiRam
from dispatch_bench import TINY, in_bounds

from hw.isa.commands import LOOPS, Loop, Walk
from hw.parts.layouts import walk_layout
from sim.kit import StreamSource, at_random, check_words, reset

LANES, BEAT_BYTES, RAM_BYTES, BASE = 4, 8, 1 << 16, 0x3000
"""As the design has them; its addresses count from `BASE`, of which the model sees the low bits."""
SOURCES, TARGETS = 0x0, 0x4000


@dataclass(frozen=True)
class Transfer:
    """Elements that stand side by side, and where they go."""

    size_log2: int
    count: int
    source: int
    target: int

    @property
    def size(self):
        return self.count << self.size_log2

    def walk(self, base):
        """The walk as a number, its fields as wide as the design has them."""
        loops = (Loop(count=self.count), *(Loop(),) * (LOOPS - 1))
        walk = Walk(base=base, size_log2=self.size_log2, boundary=LANES, u_size=self.count, u_tile=self.count, u=loops)
        return in_bounds(walk_layout(TINY), walk)


def length(transfer):
    """Whether it is within a beat, within a burst, or longer."""
    beats = transfer.size / BEAT_BYTES
    return "beat" if beats <= 1 else "burst" if beats <= 16 else "bursts"


@CoverPoint("dma.size", xf=lambda transfer: transfer.size_log2, bins=[0, 1, 2, 3])
@CoverPoint("dma.length", xf=length, bins=["beat", "burst", "bursts"])
@CoverPoint("dma.source", xf=lambda transfer: transfer.source % BEAT_BYTES != 0, bins=[False, True])
@CoverPoint("dma.target", xf=lambda transfer: transfer.target % 4096 + transfer.size > 4096, bins=[False, True])
@CoverCross("dma.size_length", items=["dma.size", "dma.length"])
def sample(transfer):
    """Count it."""


def draw(random):
    size_log2 = random.randrange(4)
    count = random.choice((1, 3, random.randrange(5, 60), random.randrange(140, 400)))
    source, target = (start + (random.randrange(0x1800) >> size_log2 << size_log2) for start in (SOURCES, TARGETS))
    return Transfer(size_log2, count, source, target)


@cocotb.test
async def copies(dut):
    random = Random(3)
    logging.getLogger(f"cocotb.{dut._name}").setLevel(logging.WARNING)
    ram = AxiRam(AxiBus.from_prefix(dut, "m_axi"), dut.clk, dut.rst, size=RAM_BYTES)
    channels = [(ram.write_if, name) for name in ("aw", "w", "b")] + [(ram.read_if, name) for name in ("ar", "r")]
    for seed, (side, name) in enumerate(channels):
        getattr(side, f"{name}_channel").set_pause_generator(at_random(0.3, seed=seed))
    reads, writes = (StreamSource(dut, f"{name}_0", pause=at_random(0.2, seed=9)) for name in ("read", "write"))
    for name in ("read_1", "write_1"):
        StreamSource(dut, name)
    dut.halt.value = 0
    await reset(dut)
    for number in itertools.count():
        if coverage_db["dma"].coverage == coverage_db["dma"].size:
            break
        assert number < 200, "what was drawn covers all soon"
        transfer = draw(random)
        sample(transfer)
        content = random.randbytes(RAM_BYTES)
        ram.write(0, content)
        reads.start([transfer.walk(transfer.source)])
        await writes.start([transfer.walk(transfer.target)])
        await quiet(dut)
        due = bytearray(content)
        source, target = BASE + transfer.source, BASE + transfer.target
        due[target : target + transfer.size] = content[source : source + transfer.size]
        check_words(list(ram.read(0, RAM_BYTES)), list(due))


async def quiet(dut, limit_cycles=20_000):
    """Until nothing has been under way for some cycles."""
    still = 0
    for _ in range(limit_cycles):
        await FallingEdge(dut.clk)
        still = still + 1 if int(dut.idle.value) else 0
        assert not int(dut.illegal.value) and not int(dut.outside.value)
        if still == 20:
            return
    raise AssertionError(f"not idle after {limit_cycles} cycles")


@cocotb.test
async def asks_for_nothing_while_halted(dut):
    """No burst is begun; when it goes on, all is done."""
    logging.getLogger(f"cocotb.{dut._name}").setLevel(logging.WARNING)
    ram = AxiRam(AxiBus.from_prefix(dut, "m_axi"), dut.clk, dut.rst, size=RAM_BYTES)
    reads, writes = StreamSource(dut, "read_0"), StreamSource(dut, "write_0")
    for name in ("read_1", "write_1"):
        StreamSource(dut, name)
    dut.halt.value = 1
    await reset(dut)
    transfer = Transfer(1, 40, SOURCES, TARGETS)
    ram.write(0, bytes(range(256)) * (RAM_BYTES // 256))
    reads.start([transfer.walk(transfer.source)])
    writes.start([transfer.walk(transfer.target)])
    for _ in range(100):
        await FallingEdge(dut.clk)
        assert not int(dut.m_axi_arvalid.value)
    dut.halt.value = 0
    await ClockCycles(dut.clk, 10)
    await quiet(dut)
    assert ram.read(BASE + TARGETS, transfer.size) == ram.read(BASE + SOURCES, transfer.size)
