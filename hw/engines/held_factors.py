"""Factors of a pass that are kept on the chip: of channels, used again for every pixel, or of rows, for all of a row."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.formats import BINARY32
from hw.isa.microarchitecture import HELD_WORDS
from hw.parts.ram import place_ram

NUMBER = BINARY32.width
PAIR_BITS = 2 * NUMBER
ADDRESS_BITS = (HELD_WORDS - 1).bit_length()

FACTORS = data.StructLayout({"shift": NUMBER, "scale": NUMBER, "third": NUMBER})
"""b, a and c of an element."""


def held_layout(config: AcceleratorConfig) -> data.StructLayout:
    """How factors are used, see `HeldFactors`.

    No words: each is used once, as it comes, its first number as c, too; `uses` does not count.
    """
    return data.StructLayout(
        {
            "words": ADDRESS_BITS + 1,
            "uses": 32,
            "pairs": 1,
            "third": 1,
            "by_row": 1,
            "times": 32,
            "block": 16,
            "columns": config.count_bits,
            "column_tile": config.count_bits,
        }
    )


class HeldFactors(wiring.Component):
    """Takes words of factors, and then gives them over and over.

    ::

        i ──► memory ──┬─► o     by channel: for each tile of columns, for each block of words (a tile of rows), for each
                       │                     column of the tile: the words of the block; then all of it again
                       └─► o     by row: one lane's numbers in all lanes, `block` times; behind the last lane the first
                                 one again, `times` in all, or new ones

    Parameters
    ----------
    config : AcceleratorConfig
        `vpu_lanes`.

    Members
    -------
    begin : In(1)
        For a cycle before the first word: a pass begins.
    held : In(held_layout)
        It holds while words pass. `uses` are the words given after `begin`. `words`, up to
        `hw.isa.microarchitecture.HELD_WORDS`, are taken of b and a if there are `pairs`, then of c if there is a `third`; by
        row it is one. The last block and the last tile of columns have what is left.
    i : In(stream of 64 × vpu_lanes)
        b, above it a; or c.
    o : Out(stream of FACTORS × vpu_lanes)
        As they are used.

    Attributes
    ----------
    latency_cycles, interval_cycles : int
        Cycles from the last word taken to its first use, and from use to use: 1. Without `words` the latency is 0.
    """

    latency_cycles = 2
    interval_cycles = 1

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config, self.lanes = config, config.vpu_lanes
        words, used = (stream.Signature(data.ArrayLayout(shape, self.lanes)) for shape in (PAIR_BITS, FACTORS))
        super().__init__({"begin": In(1), "held": In(held_layout(config)), "i": In(words), "o": Out(used)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes, held = range(self.lanes), self.held
        memory = place_ram(m, platform, "held_words", HELD_WORDS, 3 * self.lanes, NUMBER)
        place, following = Signal(ADDRESS_BITS), Signal(ADDRESS_BITS)
        missing_pairs, missing_third, primed, again = Signal(), Signal(), Signal(), Signal()
        holds, filling, lane = held.words != 0, missing_pairs | missing_third, Signal(max(1, (self.lanes - 1).bit_length()))
        filled, used, uses_left = Signal(), Signal(), Signal(32)
        m.d.comb += [
            self.i.ready.eq(Mux(holds, filling & (uses_left != 0), self.o.ready)),
            self.o.valid.eq(Mux(holds, primed & (uses_left != 0), self.i.valid)),
            filled.eq(holds & self.i.ready & self.i.valid),
            used.eq(holds & self.o.valid & self.o.ready),
            following.eq(place),
            memory.read_address.eq(following),
            memory.write_address.eq(place),
            memory.write_data.eq(Cat(Cat(pair, pair[:NUMBER]) for pair in self.i.payload)),
            memory.write_parts.eq(Cat(Cat((filled & missing_pairs).replicate(2), filled & ~missing_pairs) for _ in lanes)),
        ]
        kept = data.View(data.ArrayLayout(FACTORS, self.lanes), memory.read_data)
        for number in lanes:
            of_row, of_channel = Value.cast(kept[lane]), Value.cast(kept[number])
            chosen, pair = Mux(held.by_row, of_row, of_channel), self.i.payload[number]
            m.d.comb += Value.cast(self.o.payload[number]).eq(Mux(holds, chosen, Cat(pair, pair[:NUMBER])))
        m.d.sync += [
            place.eq(following),
            uses_left.eq(Mux(self.begin, held.uses, uses_left - used)),
            primed.eq(holds & ~filling & ~again),
        ]
        last = place + 1 == held.words
        with m.If(filled):
            m.d.comb += following.eq(Mux(last, 0, place + 1))
            with m.If(last):
                m.d.sync += [missing_pairs.eq(0), missing_third.eq(missing_pairs & held.third)]
        renewed = self._advance(m, place, following, lane, used)
        m.d.comb += again.eq(self.begin | used & renewed)
        with m.If(self.begin):
            m.d.comb += following.eq(0)
        with m.If(again):
            m.d.sync += [missing_pairs.eq(held.pairs), missing_third.eq(~held.pairs & held.third)]
        return m

    def _advance(self, m: Module, place: Signal, following: Signal, lane: Signal, used: Signal) -> Value:
        """What comes next; whether that would be factors of other rows."""
        held = self.held
        base, word, time = Signal(ADDRESS_BITS), Signal(held.block.shape()), Signal(held.times.shape())
        column, columns_left = Signal(self.config.count_bits), Signal(self.config.count_bits)
        ends = (place + 1 == base + held.block) | (place + 1 == held.words)
        last = (column + 1 == held.column_tile) | (column + 1 == columns_left)
        row_ends = word + 1 == held.block
        lanes_end = held.by_row & row_ends & (lane == self.lanes - 1)
        renewed = lanes_end & (time + 1 >= held.times)
        with m.If(used & held.by_row):
            m.d.sync += [word.eq(Mux(row_ends, 0, word + 1)), lane.eq(Mux(lanes_end, 0, lane + row_ends))]
            m.d.sync += time.eq(Mux(renewed, 0, time + lanes_end))
        with m.Elif(used):
            m.d.comb += following.eq(Mux(ends, base, place + 1))
            m.d.sync += column.eq(column + ends)
            with m.If(ends & last):
                m.d.sync += [column.eq(0), base.eq(place + 1)]
                m.d.comb += following.eq(place + 1)
                with m.If(place + 1 == held.words):
                    more = columns_left > held.column_tile
                    m.d.comb += following.eq(0)
                    m.d.sync += [base.eq(0), columns_left.eq(Mux(more, columns_left - held.column_tile, held.columns))]
        with m.If(self.begin):
            m.d.sync += [base.eq(0), word.eq(0), lane.eq(0), time.eq(0), column.eq(0), columns_left.eq(held.columns)]
        return renewed
