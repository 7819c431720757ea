"""Readers and writers together: what one walk reads another writes, through the port, to a memory that keeps them waiting."""

from random import Random

import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from axi_memory import AxiMemory
from test_walker import as_init, random_walk
from walk_oracle import elements

from hw.config import AcceleratorConfig
from hw.dma.port import FAULT, Port, master_members
from hw.dma.reader import Reader
from hw.dma.writer import Writer
from hw.isa.commands import LOOPS, Loop, Walk
from hw.parts.layouts import walk_layout

BASE = 0x1_0000_3000
SIZE = 1 << 16
LANES = 4


class Copy(wiring.Component):
    """Two readers and two writers: reader n feeds writer n."""

    def __init__(self, config):
        self.config = config
        walk = stream.Signature(walk_layout(config))
        walks = {f"{name}_{number}": In(walk) for name in ("read", "write") for number in range(2)}
        flags = {name: Out(1) for name in ("idle", "outside", "illegal")}
        faults = {"read_fault": Out(FAULT), "write_fault": Out(FAULT)}
        super().__init__({**walks, **flags, **faults, "complete": Out(2), "halt": In(1), **master_members(config)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.port = port = Port(self.config, range(2), range(2))
        parts = []
        for number in range(2):
            m.submodules[f"reader_{number}"] = reader = Reader(self.config, LANES, 64, words=True)
            m.submodules[f"writer_{number}"] = writer = Writer(self.config, LANES, 64)
            wiring.connect(m, wiring.flipped(getattr(self, f"read_{number}")), reader.i)
            wiring.connect(m, wiring.flipped(getattr(self, f"write_{number}")), writer.i)
            wiring.connect(m, reader.o, writer.words)
            for name, own in (("ar", reader.ar), ("r", reader.r), ("aw", writer.aw), ("w", writer.w)):
                wiring.connect(m, own, getattr(port, f"{name}_{number}"))
            m.d.comb += [part.halt.eq(self.halt) for part in (reader, writer)]
            m.d.comb += [writer.b.eq(getattr(port, f"b_{number}")), self.complete[number].eq(writer.complete)]
            parts += [reader, writer]
        m.d.comb += [part.window.eq(SIZE) for part in parts]
        m.d.comb += [port.base.eq(BASE), self.read_fault.eq(port.read_fault), self.write_fault.eq(port.write_fault)]
        for name in master_members(self.config):
            own, outer = getattr(port, name), getattr(self, name)
            m.d.comb += outer.eq(own) if self.signature.members[name].flow is Out else own.eq(outer)
        idle, outside, illegal = 1, 0, 0
        for part in parts:
            idle, outside, illegal = idle & part.idle, outside | part.outside, illegal | part.illegal
        m.d.comb += [self.idle.eq(idle & port.idle), self.outside.eq(outside), self.illegal.eq(illegal)]
        return m


def play(config, walks, content, *, cycles=30000, **options):
    """Run (name, walk) commands until all is quiet; the faults that were seen."""
    dut, seen = Copy(config), []
    memory = AxiMemory(dut, content, base=BASE, **options)

    def feeder(name, these):
        async def feed(ctx):
            port = getattr(dut, name)
            for walk in these:
                ctx.set(port.payload, as_init(walk))
                ctx.set(port.valid, 1)
                while not (await ctx.tick().sample(port.ready))[2]:
                    pass
                ctx.set(port.valid, 0)

        return feed

    async def watch(ctx):
        quiet = 0
        for _ in range(cycles):
            _, _, idle, outside, illegal, read, write = await ctx.tick().sample(
                dut.idle, dut.outside, dut.illegal, dut.read_fault, dut.write_fault
            )
            quiet = quiet + 1 if idle else 0
            if outside or illegal:
                seen.append("outside" if outside else "illegal")
            seen.extend((kind, fault.stream, fault.address) for kind, fault in (("r", read), ("w", write)) if fault.valid)
            if quiet > 20:
                return
        raise AssertionError("not idle in time")

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    for name in {name for name, _ in walks}:
        simulator.add_testbench(feeder(name, [walk for other, walk in walks if other == name]))
    simulator.add_testbench(memory.serve, background=True)
    simulator.add_testbench(watch)
    simulator.run()
    return seen, memory


def flat(base, size_log2, count):
    return Walk(base=base, size_log2=size_log2, boundary=LANES, u_size=count, u_tile=count,
                u=(Loop(count=count), *(Loop(),) * (LOOPS - 1)))  # fmt: skip


def words_of(walk, content):
    """The words of lanes that a walk reads, as numbers."""
    size, word, words = 1 << walk.size_log2, [], []
    found = list(elements(walk))
    for place, element in enumerate(found):
        at = element.address
        word.append(0 if element.outside else int.from_bytes(content[at : at + size], "little"))
        following = found[place + 1] if place + 1 < len(found) else None
        if len(word) == LANES or following is None or following.u <= element.u or following.block != element.block:
            words.append([*word, *[0] * (LANES - len(word))])
            word = []
    return words


@pytest.mark.parametrize("bits", [64, 128, 512])
@pytest.mark.parametrize("seed", range(6))
def test_what_walks_read_is_written(bits, seed):
    from dataclasses import replace

    random = Random(100 * bits + seed)
    content = bytearray(random.randbytes(SIZE))
    config = AcceleratorConfig(name="c", rows=2, columns=2, axi_data_bits=bits, axi_burst_beats=4, axi_fifo_beats=8)
    expected, commands, place, channels = bytearray(content), [], 1 << 15, {"aw"}
    for number in range(2):
        for _ in range(3):
            walk = replace(random_walk(random), boundary=LANES)
            words = words_of(walk, content)
            channels |= {"ar"} if any(not element.outside for element in elements(walk)) else set()
            size = 1 << walk.size_log2
            target = place + random.randrange(8) * size
            count = len(words) * LANES - random.randrange(LANES)
            commands += [(f"read_{number}", walk), (f"write_{number}", flat(target, walk.size_log2, count))]
            whole = b"".join(value.to_bytes(size, "little") for word in words for value in word)
            expected[target : target + count * size] = whole[: count * size]
            place += -(-(count * size + 64) // 64) * 64
    seen, memory = play(config, commands, content, seed=seed)
    assert seen == []
    assert content == expected
    assert {channel for channel, _, _ in memory.bursts} == channels


def test_bursts_are_as_long_as_they_may_be():
    config = AcceleratorConfig(name="c", rows=2, columns=2, axi_burst_beats=16)
    content = bytearray(Random(1).randbytes(SIZE))
    walks = [("read_0", flat(0xF80, 1, 300)), ("write_0", flat(0x8000, 1, 300))]
    seen, memory = play(config, walks, content, stall=0)
    assert seen == []
    assert content[0x8000 : 0x8000 + 600] == content[0xF80 : 0xF80 + 600]
    reads = [beats for channel, _, beats in memory.bursts if channel == "ar"]
    assert reads == [16, 16, 16, 16, 11]  # 128 bytes up to the page's end are one burst of 16


def test_faults_are_told_where_they_are():
    config = AcceleratorConfig(name="c", rows=2, columns=2)
    content = bytearray(SIZE)
    walks = [("read_1", flat(0x100, 1, 8)), ("write_1", flat(0x8000, 1, 8))]
    assert play(config, walks, content, bad=range(0x100, 0x108))[0] == [("r", 1, 0x100)]
    assert play(config, walks, content, bad=range(0x8000, 0x8008))[0] == [("w", 1, 0x8000)]
