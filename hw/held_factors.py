"""Factors of a pass that are kept on the chip: a bias goes along with the rows of a result and is the same for each column."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.isa.microarchitecture import HELD_WORDS
from hw.ram import place_ram

FACTOR_BITS = 64
ADDRESS_BITS = (HELD_WORDS - 1).bit_length()

HELD = data.StructLayout({"words": ADDRESS_BITS + 1, "block": ADDRESS_BITS + 1, "columns": 32, "column_tile": 32})
"""How factors are used again, see `HeldFactors`; no words: each is used once."""


class HeldFactors(wiring.Component):
    """Takes `words` words, and gives them as the columns of a result want them, tile by tile.

    ::

        for each tile of columns:                               i ──┬───────────────► o    in the first tile's first column
            for each block of words, of a tile of rows:             └─► memory ─┐
                for each column of the tile: its words                          └───► o    afterwards

    Parameters
    ----------
    config : AcceleratorConfig
        `vpu_lanes`.

    Members
    -------
    begin : In(1)
        For a cycle before the first word: a pass begins.
    held : In(HELD)
        Words in all, up to `hw.isa.microarchitecture.HELD_WORDS`, and of a block; columns of the result, of a tile. The last
        block and the last tile have what is left. It holds while words pass.
    i, o : In, Out(stream of 64 × vpu_lanes)
        Words as they come, and as they are used.

    Attributes
    ----------
    latency_cycles, interval_cycles : int
        Cycles from a word to its first use, 0, and from use to use: 1.
    """

    latency_cycles = 0
    interval_cycles = 1

    def __init__(self, config: AcceleratorConfig) -> None:
        self.lanes = config.vpu_lanes
        words = stream.Signature(data.ArrayLayout(FACTOR_BITS, self.lanes))
        super().__init__({"begin": In(1), "held": In(HELD), "i": In(words), "o": Out(words)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        memory = place_ram(m, platform, "words", HELD_WORDS, self.lanes, FACTOR_BITS)
        place, base, following = Signal(ADDRESS_BITS), Signal(ADDRESS_BITS), Signal(ADDRESS_BITS)
        column, columns_left = Signal(32), Signal(32)
        first_tile, newest, is_newest = Signal(), Signal.like(Value.cast(self.i.payload)), Signal()
        fresh, used = Signal(), Signal()
        holds, incoming = self.held.words != 0, Value.cast(self.i.payload)
        kept = Mux(is_newest, newest, memory.read_data)
        m.d.comb += [
            fresh.eq(~holds | first_tile & (column == 0)),
            used.eq(self.o.valid & self.o.ready),
            self.o.valid.eq(Mux(fresh, self.i.valid, 1)),
            self.i.ready.eq(fresh & self.o.ready),
            Value.cast(self.o.payload).eq(Mux(fresh, incoming, kept)),
            following.eq(place),
            memory.read_address.eq(following),
            memory.write_address.eq(place),
            memory.write_data.eq(incoming),
            memory.write_parts.eq((fresh & used).replicate(self.lanes)),
        ]
        # What is written in the cycle in which it is read comes out a cycle later.
        m.d.sync += [newest.eq(incoming), is_newest.eq(fresh & used & (following == place))]
        m.d.sync += place.eq(following)
        with m.If(self.begin):
            m.d.sync += [place.eq(0), base.eq(0), column.eq(0), first_tile.eq(1), columns_left.eq(self.held.columns)]
        with m.Elif(used & holds):
            self._advance(m, place, base, following, (column, columns_left, first_tile))
        return m

    def _advance(self, m: Module, place: Signal, base: Signal, following: Signal, loops: tuple[Signal, Signal, Signal]) -> None:
        """The next word: of the block, of the block again for the next column, of the next block, or all from the start."""
        column, columns_left, first_tile = loops
        ends = (place + 1 == base + self.held.block) | (place + 1 == self.held.words)
        last = (column + 1 == self.held.column_tile) | (column + 1 == columns_left)
        m.d.comb += following.eq(Mux(ends, base, place + 1))
        with m.If(ends):
            m.d.sync += column.eq(column + 1)
        with m.If(ends & last):
            m.d.sync += [column.eq(0), base.eq(place + 1)]
            m.d.comb += following.eq(place + 1)
            with m.If(place + 1 == self.held.words):
                m.d.comb += following.eq(0)
                m.d.sync += [base.eq(0), first_tile.eq(0), columns_left.eq(columns_left - self.held.column_tile)]
