"""Blocks of weights turned, so that lanes and time change places."""

from collections.abc import Iterator

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.config import TURN_LATENCY_CYCLES
from hw.errors import InputError
from hw.parts.selection import rotate


def check_lanes(lanes: int, size: int) -> None:
    """Raise `InputError` unless blocks of `size` can be turned on this many lanes."""
    for name, count in (("lanes", lanes), ("size", size)):
        if count < 2 or count & (count - 1):
            raise InputError(f"{name} must be a power of two from 2 on, not {count}")


class Transpose(wiring.Component):
    """Turns blocks of M × M elements: what came side by side leaves one after another, and the other way round.

    The block stands in as many memories as there are lanes, element (row, column) in memory (row + column) mod P. A word of a
    column and a word of a row then both touch each memory once, and a rotation brings lanes and memories together. While one
    block is read the next is written.

    ::

        i ─ rotate ─┬─► memory 0 ───┬─ rotate ─► o       at 4 lanes, 4 × 4:   i: a0 b0 c0 d0, then a1 b1 c1 d1, ...
                    └─► memory P-1 ─┘                                         o: a0 a1 a2 a3, then b0 b1 b2 b3, ...

    Parameters
    ----------
    width : int
        Bits of an element.
    size : int
        M, a power of two.
    lanes : int
        P, a power of two. With P above M, P / M blocks stand side by side, M lanes each, and each is turned in itself.

    Members
    -------
    i : In(stream of width × lanes)
        A block with fewer lanes than rows comes in M / P bands: the columns 0 to M - 1 of rows 0 to P - 1, then those of the
        next P rows. Otherwise in M words, its columns.
    o : Out(stream of width × lanes)
        The same with rows and columns exchanged.

    Attributes
    ----------
    block_words : int
        Words of a block: M · M / P, or M where that is more.
    latency_cycles : int
        Cycles from taking a block's last word to offering its first turned one.
    interval_cycles : int
        Cycles from one word to the next: 1.
    """

    latency_cycles = TURN_LATENCY_CYCLES
    interval_cycles = 1

    def __init__(self, width: int, *, size: int, lanes: int) -> None:
        check_lanes(lanes, size)
        self.width = width
        self.size = size
        self.lanes = lanes
        self.block_lanes = min(lanes, size)
        self.block_words = size * size // self.block_lanes
        word = stream.Signature(data.ArrayLayout(width, lanes))
        super().__init__({"i": In(word), "o": Out(word)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        place_bits, line_bits = (self.block_words - 1).bit_length(), (self.block_lanes - 1).bit_length()
        written, read = Signal(place_bits + 1), Signal(place_bits + 1)  # the top bit is the block's half of the memories
        blocks = Signal(range(3))
        put, take = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(blocks != 2),
            self.o.valid.eq(blocks != 0),
            put.eq(self.i.valid & self.i.ready),
            take.eq(self.o.valid & self.o.ready),
        ]
        m.d.sync += [
            written.eq(written + put),
            read.eq(read + take),
            blocks.eq(blocks + (put & written[:-1].all()) - (take & read[:-1].all())),
        ]
        for i, o in zip(self._groups(self.i.payload), self._groups(self.o.payload), strict=True):
            banks = [self._memory(m) for _ in i]
            stored = rotate(i, -written[:line_bits])
            for number, (write, fetch) in enumerate(banks):
                lane = (number - read[:line_bits])[:line_bits]
                m.d.comb += [
                    write.en.eq(put),
                    write.addr.eq(written),
                    write.data.eq(stored[number]),
                    fetch.addr.eq(Cat(self._turned(read[:-1], lane), read[-1])),
                ]
            turned = rotate([fetch.data for _, fetch in banks], read[:line_bits])
            m.d.comb += [lane.eq(value) for lane, value in zip(o, turned, strict=True)]
        return m

    def _turned(self, word: Value, lane: Value) -> Value:
        """Where, in its block, lane `lane` of the turned word `word` was written: in word (band of its row, its column)."""
        row_bits = (self.size - 1).bit_length()
        row, band = word[:row_bits], word[row_bits:]
        return Cat(lane, band, row[len(lane) :])

    def _groups(self, word: data.View) -> Iterator[list[Value]]:
        """The lanes of each of the blocks that stand side by side."""
        for first in range(0, self.lanes, self.block_lanes):
            yield [word[lane] for lane in range(first, first + self.block_lanes)]

    def _memory(self, m: Module) -> tuple:
        """Write and read port of a memory with room for two blocks' share."""
        m.submodules += (memory := Memory(shape=self.width, depth=2 * self.block_words, init=[]))
        return memory.write_port(), memory.read_port(domain="comb")
