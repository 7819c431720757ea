"""Lanes of reductions with their partial results."""

from typing import NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.engines.reductions.lane import PARTIAL, ReductionLane
from hw.engines.reductions.rows import Rows
from hw.formats import BINARY32, lowest_bits
from hw.isa.reductions import (
    ACCUMULATOR_WORDS,
    MOST_GROUPS,
    PARTIAL_SUMS,
    PLACE_BITS,
    ROW_SUMS,
    lanes_summed,
    partial_sums,
    result_cycles,
)
from hw.parts.delay_line import delay
from hw.parts.modules import place
from hw.parts.ram import place_ram

ADDRESS_BITS = (ACCUMULATOR_WORDS - 1).bit_length()
LEVELS = PARTIAL_SUMS.bit_length() - 1


def sizes_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Of maxima, else sums; whether there is one partial result of each; whether lanes are put together, too; words of
    channels, 1 to `hw.isa.reductions.MOST_GROUPS`, from 16 on where `in_turn` is set, or of rows, as many as lanes; of
    them, those that come together for a tile of terms, and terms of a tile, see `hw.engines.held_factors.HeldFactors`; terms of
    each, from 1 on; lanes of a row's last word that count; whether there are partial results of the terms before, and whether
    the reduction goes on with other terms later, the number of these ones a multiple of sixteen.
    """
    return data.StructLayout(
        {
            "largest": 1,
            "in_turn": 1,
            "across": 1,
            "groups": MOST_GROUPS.bit_length(),
            "block": MOST_GROUPS.bit_length(),
            "terms": config.count_bits,
            "tile": config.count_bits,
            "last_lanes": ROW_SUMS.bit_length(),
            "begun": 1,
            "goes_on": 1,
        }
    )


class _Fold(NamedTuple):
    """Registers of the folding: how far apart two words are, the first one behind the partial results, where it is."""

    half: Signal
    end: Signal
    low: Signal
    second: Signal


class ReductionUnit(wiring.Component):
    """Sums, or maxima with their places, of each lane and word of channels over all terms.

    A term is `groups` words, one of each word of channels. Term i goes to partial result i mod 16, in ascending order; then
    result j + 8 is added to j, j + 4 to j, j + 2 and j + 1, as far as there are terms. With `in_turn` all of them go to partial
    result 0, and nothing is folded. The results are a term's words again, and what follows is the next reduction.

    `across` lanes the words of a term are of different rows. Element i of a row goes to partial result i mod 32: that of
    its lane, in one of as many words as that takes. A tree of lanes puts these together::

        words 0 of all rows;  words 1 of all rows;  …  ─► partial results of each row ─► tree ─► a word: lane n is row n

    Parameters
    ----------
    config : AcceleratorConfig
        `vpu_lanes`; at most 14 cycles of `add_latency_cycles`, so that a partial sum is written before its next term.

    Members
    -------
    sizes : In(sizes_layout)
        They hold from the first word taken to the last result.
    i : In(stream of 32 × vpu_lanes)
        The terms, binary32.
    o : Out(stream of PARTIAL × vpu_lanes)
        The results.

    Attributes
    ----------
    latency_cycles : int
        Cycles from the last word of terms to the first result, where all of them are sixteen and each is a word.
    interval_cycles : int
        Cycles from word to word of terms, and of results: 1.
    """

    interval_cycles = 1

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.latency_cycles = result_cycles(1, PARTIAL_SUMS, config.vector_latency_cycles)
        lanes = config.vpu_lanes
        super().__init__(
            {
                "sizes": In(sizes_layout(config)),
                "i": In(stream.Signature(data.ArrayLayout(BINARY32.width, lanes))),
                "o": Out(stream.Signature(data.ArrayLayout(PARTIAL, lanes))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes, depth = self.config.vpu_lanes, self.config.vector_latency_cycles + 1
        memory = place_ram(m, platform, "partials", ACCUMULATOR_WORDS, lanes, PARTIAL.size)
        busy = Signal(depth)  # words that are on their way back to the memory
        issue, address, first = Signal(), Signal(ADDRESS_BITS), Signal()
        terms = Signal(data.ArrayLayout(PARTIAL, lanes), reset_less=True)
        m.d.sync += busy.eq(Cat(issue, busy))
        m.d.comb += [
            memory.write_address.eq(delay(m, Const(1), address, depth, "address")),
            memory.write_parts.eq(busy[-1].replicate(lanes)),
        ]
        begun = delay(m, Const(1), first, 1, "first")
        for number in range(lanes):
            lane = place(m, platform, lambda: ReductionLane(self.config), module="reduction_lane", name=f"lane_{number}")
            bits = slice(number * PARTIAL.size, (number + 1) * PARTIAL.size)
            m.d.comb += [
                lane.largest.eq(self.sizes.largest),
                lane.first.eq(begun),
                lane.term.eq(terms[number]),
                Value.cast(lane.partial).eq(memory.read_data[bits]),
                memory.write_data[bits].eq(lane.o),
            ]
        rows = Rows(m, platform, self.config, self.sizes.largest, memory.read_data)
        m.d.comb += Value.cast(self.o.payload).eq(Mux(self.sizes.across, rows.results, memory.read_data))
        fold = _Fold(Signal(ADDRESS_BITS + 1), Signal(ADDRESS_BITS + 1), Signal(ADDRESS_BITS), Signal())
        given = Signal(ADDRESS_BITS)
        with m.If(self.sizes.across):
            m.d.comb += [self.o.valid.eq(rows.there), rows.taken.eq(self.o.ready)]
        with m.FSM():
            with m.State("take"):
                m.d.comb += memory.read_address.eq(address)
                self._take(m, fold, issue, address, first, terms)
            with m.State("wait"), m.If(~busy.any()):
                m.d.sync += [fold.low.eq(0), fold.half.eq(fold.half >> 1)]
                with m.If(fold.half < self.sizes.groups):
                    m.next = "read"
                    with m.If(self.sizes.across):
                        m.next = "rows"
                with m.Elif(fold.half < fold.end):
                    m.d.sync += fold.half.eq(fold.half)
                    m.next = "fold"
            with m.State("fold"):
                high = fold.low + fold.half
                m.d.comb += [
                    memory.read_address.eq(Mux(fold.second, fold.low, high)),
                    address.eq(fold.low),
                    issue.eq(fold.second),
                ]
                m.d.sync += [fold.second.eq(~fold.second), Value.cast(terms).eq(memory.read_data)]
                with m.If(fold.second):
                    m.d.sync += fold.low.eq(fold.low + 1)
                    with m.If(high + 1 == fold.end):
                        m.d.sync += [fold.end.eq(fold.half), fold.half.eq(fold.half >> 1)]
                        m.next = "wait"
            with m.State("rows"):
                m.d.comb += [memory.read_address.eq(given), rows.reads.eq((given != 0) | ~rows.busy)]
                with m.If(rows.reads):
                    m.d.sync += given.eq(given + 1)
                    with m.If(given == lanes - 1):
                        m.d.sync += given.eq(0)
                        m.next = "take"
            with m.State("read"):
                m.d.comb += memory.read_address.eq(given)
                m.next = "give"
            with m.State("give"):
                m.d.comb += [memory.read_address.eq(given + self.o.ready), self.o.valid.eq(1)]
                with m.If(self.o.ready):
                    m.d.sync += given.eq(given + 1)
                    with m.If(given + 1 == self.sizes.groups):
                        m.d.sync += given.eq(0)
                        m.next = "take"
        return m

    def _take(self, m: Module, fold: _Fold, issue: Signal, address: Signal, first: Signal, terms: Signal) -> None:
        """Terms as they come; the partial result of each comes out of the memory a cycle later."""
        term, slot = Signal(self.sizes.terms.shape()), Signal(ADDRESS_BITS)  # and its first word of partial results
        base, word, column = (Signal(self.sizes[name].shape(), name=name) for name in ("groups", "block", "tile"))
        tile_term, tile_slot = Signal.like(term), Signal.like(slot)  # with which the tile begins
        m.d.comb += [self.i.ready.eq(1), issue.eq(self.i.valid), address.eq(slot + base + word)]
        lanes, in_turn, across = self.config.vpu_lanes, self.sizes.in_turn, self.sizes.across
        summed, words = lanes_summed(lanes), partial_sums(lanes, in_turn=False, across=True)
        m.d.comb += first.eq(~self.sizes.begun & (term < Mux(in_turn, 1, Mux(across, words, PARTIAL_SUMS))))
        halves = Mux(across, lanes * words // 2, Cat(Const(0, LEVELS - 1), self.sizes.groups))
        last_term, lane_bits = term + 1 == self.sizes.terms, summed.bit_length() - 1
        nothing = Mux(self.sizes.largest, lowest_bits(BINARY32), 0)
        for number in range(lanes):
            left_out = across & (Const(int(number >= summed), 1) | last_term & (number >= self.sizes.last_lanes))
            place = Mux(across, Cat(Const(number % summed, lane_bits), term[: PLACE_BITS - lane_bits]), term[:PLACE_BITS])
            m.d.sync += terms[number].as_value().eq(Cat(Mux(left_out, nothing, self.i.payload[number]), place))
        again = Mux(across, Cat(Const(1, 1), term[: words.bit_length() - 1]).all(), term[:LEVELS].all())
        following = Mux(in_turn | again, 0, slot + self.sizes.groups)
        block_ends = base + word + 1 == self.sizes.groups
        term_ends = block_ends | (word + 1 == self.sizes.block)
        tile_ends = (column + 1 == self.sizes.tile) | last_term
        with m.If(self.i.valid):
            m.d.sync += word.eq(word + 1)
            with m.If(first):
                m.d.sync += fold.end.eq(address + 1)
            with m.If(term_ends):
                m.d.sync += [word.eq(0), term.eq(term + 1), slot.eq(following), column.eq(column + 1)]
                with m.If(tile_ends):
                    m.d.sync += [column.eq(0), base.eq(base + self.sizes.block), term.eq(tile_term), slot.eq(tile_slot)]
                    with m.If(block_ends):
                        m.d.sync += [base.eq(0), term.eq(term + 1), slot.eq(following)]
                        m.d.sync += [tile_term.eq(term + 1), tile_slot.eq(following)]
                        with m.If(last_term):
                            m.d.sync += [term.eq(0), slot.eq(0), tile_term.eq(0), tile_slot.eq(0)]
                            with m.If(~self.sizes.goes_on):
                                m.d.sync += fold.half.eq(Mux(in_turn, 0, halves))
                                m.next = "wait"
