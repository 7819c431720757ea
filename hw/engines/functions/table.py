"""The table of all functions."""

from amaranth.hdl import Module, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.isa.functions import ONE, WIDTHS, table

ADDRESS_BITS = ONE.bit_length()


class FunctionTable(wiring.Component):
    """The segments of all functions, one read a cycle.

    Members
    -------
    en : In(1)
        Clock enable.
    address : In(11)
        A segment.
    o : Out(72)
        The `hw.isa.functions.Segment.word` of the enabled cycle before.
    """

    def __init__(self) -> None:
        super().__init__({"en": In(1), "address": In(ADDRESS_BITS), "o": Out(sum(WIDTHS))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words = [segment.word for segment in table()]
        m.submodules.memory = memory = Memory(shape=sum(WIDTHS), depth=1 << ADDRESS_BITS, init=words)
        read = memory.read_port()
        m.d.comb += [read.en.eq(self.en), read.addr.eq(self.address), self.o.eq(read.data)]
        return m


def split_segment(word: Value) -> list[Value]:
    """c0, c1, c2, signed, and s."""
    parts, position = [], 0
    for width in WIDTHS:
        parts.append(word[position : position + width])
        position += width
    return [*(part.as_signed() for part in parts[:-1]), parts[-1]]
