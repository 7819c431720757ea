"""Operand buffers: what loads bring in any order, side by side for the array."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.dma.reader import elements_layout
from hw.isa.checks import COUNT_BITS
from hw.parts.layouts import is_count
from hw.ram import place_ram
from hw.transpose import rotate

PLACEMENT = data.StructLayout(
    {"across": 16, "group": 16, "shares": 32, "share_words": 32, "line_words": 32, "spread": 16},
)
"""Where a load's elements go, see `hw.isa.commands.Load`."""

ADDRESS_BITS = COUNT_BITS


def addresses_layout(lines: int, words: int) -> data.ArrayLayout:
    """An address for each bank of a buffer."""
    return data.ArrayLayout(max(1, (words - 1).bit_length()), lines)


def log2_or_none(number: int) -> int | None:
    """The exponent of a power of two; None of what is none."""
    return number.bit_length() - 1 if number & (number - 1) == 0 else None


class OperandBuffer(wiring.Component):
    """A bank for each line of the array, of words of G elements; filled element by element, read a word of all banks at a time.

    ::

        chunk ─ rotate ─┬─► bank 0 ────┬─► o        across: elements of a chunk go to banks side by side, into one place
                        └─► bank L-1 ──┘            along: to places side by side of one bank
                                                    spread: of several banks, the same of each

    Parameters
    ----------
    config : AcceleratorConfig
        `max_group`, G.
    lines : int
        Rows or columns of the array.
    words : int
        Of each bank.
    element_bits : int
        Width of an element in the buffer.
    memory_bits : int
        Width of an element of a chunk, at least `element_bits`; the upper bits are dropped.
    spreads : bool
        Whether groups can go to several banks, see `hw.isa.commands.Load`; only with a power of two of lines.

    Members
    -------
    i_load : In(stream of PLACEMENT)
        A load. It is taken when all shares of the one before have been freed.
    i : In(stream of elements_layout)
        Its chunks.
    full : Out(1)
        For a cycle: a block is in the buffer.
    free : In(1)
        A block is not needed any more.
    addresses, o : In(address bits × lines), Out(element_bits × G × lines)
        The words of the cycle before's addresses, one of each bank.
    beyond : Out(1)
        For a cycle: an element's place was not in the buffer, or a chunk went beyond the banks, or the group. It was dropped.
    illegal : Out(1)
        For a cycle: a load cannot be, see `hw.isa.checks`.
    idle, waits_free : Out(1)
        No load is inside; a block waits for its share.
    """

    def __init__(
        self, config: AcceleratorConfig, lines: int, words: int, element_bits: int, memory_bits: int, *, spreads: bool
    ) -> None:
        self.config = config
        self.lines, self.words, self.element_bits, self.memory_bits = lines, words, element_bits, memory_bits
        self.line_bits = log2_or_none(lines) if spreads else None
        group = config.max_group
        flags = {name: Out(1) for name in ("full", "beyond", "illegal", "idle", "waits_free")}
        super().__init__(
            {
                "i_load": In(stream.Signature(PLACEMENT)),
                "i": In(stream.Signature(elements_layout(memory_bits, group))),
                "free": In(1),
                "addresses": In(addresses_layout(lines, words)),
                "o": Out(data.ArrayLayout(data.ArrayLayout(element_bits, group), lines)),
                **flags,
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        load, active, checking, chunk = Signal(PLACEMENT), Signal(), Signal(), self.i.payload
        occupied, share, base = Signal(ADDRESS_BITS), Signal(ADDRESS_BITS), Signal(ADDRESS_BITS)
        begun = Signal()  # the block that the next chunk belongs to has its share
        take, ends = Signal(), Signal()
        claims = active & self.i.valid & ~begun & (occupied < load.shares)
        m.d.comb += [
            self.i_load.ready.eq(~active & (occupied == 0)),
            take.eq(active & self.i.valid & begun),
            self.i.ready.eq(take),
            ends.eq(take & chunk.end_of_block),
            self.idle.eq(~active & (occupied == 0)),
            self.waits_free.eq(active & self.i.valid & ~begun & ~claims),
            self.illegal.eq(checking & ~self._is_legal(load)),
        ]
        m.d.sync += checking.eq(self.i_load.valid & self.i_load.ready)
        m.d.sync += occupied.eq(occupied + claims - self.free)
        with m.If(claims):
            m.d.sync += begun.eq(1)
        with m.If(ends):
            m.d.sync += [begun.eq(0), share.eq(share + 1), base.eq(base + load.share_words)]
            with m.If(share + 1 == load.shares):
                m.d.sync += [share.eq(0), base.eq(0)]
            with m.If(chunk.last):
                m.d.sync += active.eq(0)
        with m.If(self.i_load.valid & self.i_load.ready):
            m.d.sync += [load.eq(self.i_load.payload), active.eq(1), share.eq(0), base.eq(0)]

        bank, lane, word = self._place(m, load, take)
        self._write(m, platform, load, take, ends, base + word, bank, lane)
        return m

    def _is_legal(self, load: data.View) -> Value:
        """Whether there is a share, and the group is one of a word's elements."""
        words = Cat(load.share_words[ADDRESS_BITS:], load.line_words[ADDRESS_BITS:])
        return is_count(load.shares) & ~words.any() & (load.group != 0) & (load.group <= self.config.max_group)

    def _place(self, m: Module, load: data.View, take: Value) -> tuple[Signal, Signal, Signal]:
        """Bank, lane and word in the share of the chunk's first element."""
        chunk, group, lines = self.i.payload, load.group, self.lines
        at_bank, at_line, at_lane, at_word = Signal(16), Signal(ADDRESS_BITS), Signal(16), Signal(ADDRESS_BITS)
        bank, line, lane, word = (Signal.like(at, name=f"place_{at.name}") for at in (at_bank, at_line, at_lane, at_word))
        begins, first, spread = chunk.u == 0, (chunk.u == 0) & (chunk.v == 0), self._spread(load)

        def counted(
            position: tuple[Value, Value], count: Value | int, full: Value | int, step: Value | int
        ) -> tuple[Value, Value]:
            """Small and large part of a position, so many on."""
            small, large = position
            wraps = small + count == full
            return Mux(wraps, 0, small + count), Mux(wraps, large + step, large)

        # Spread, every line has words of its own, and words are counted in banks.
        lines, step = Mux(spread != 0, 1, lines), Mux(spread != 0, spread, 1)
        banks, lanes = (at_bank, at_line), (at_lane, at_word)
        next_banks, next_lanes = counted(banks, 1, lines, load.line_words), counted(lanes, 1, group, step)
        for across in (0, 1):
            with m.If(load.across[0] == across):
                along, other, following = (banks, lanes, next_lanes) if across else (lanes, banks, next_banks)
                placed, placed_other = ((bank, line), (lane, word)) if across else ((lane, word), (bank, line))
                for target, held in zip(placed, along, strict=True):
                    m.d.comb += target.eq(Mux(begins, 0, held))
                for target, held, after in zip(placed_other, other, following, strict=True):
                    m.d.comb += target.eq(Mux(first, 0, Mux(begins, after, held)))
        moved_banks = counted((bank, line), chunk.count, lines, load.line_words)
        moved_lanes = counted((lane, word), chunk.count, group, step)
        with m.If(take):
            for targets, placed, moved, moves in (
                (banks, (bank, line), moved_banks, load.across[0]),
                (lanes, (lane, word), moved_lanes, ~load.across[0]),
            ):
                for target, stays, goes in zip(targets, placed, moved, strict=True):
                    m.d.sync += target.eq(Mux(moves, goes, stays))
        whole, first_bank = Signal(ADDRESS_BITS), Signal.like(bank)
        m.d.comb += [whole.eq(line + word), first_bank.eq(bank)]
        if self.line_bits is not None:
            with m.If(spread != 0):
                m.d.comb += [whole.eq(line + (word >> self.line_bits)), first_bank.eq(word[: self.line_bits])]
        return first_bank, lane, whole

    def _spread(self, load: data.View) -> Value:
        """Banks that each group goes to, 0 for the line's own."""
        return Const(0) if self.line_bits is None else load.spread

    def _write(
        self,
        m: Module,
        platform: object,
        load: data.View,
        take: Value,
        ends: Value,
        address: Value,
        bank: Signal,
        lane: Signal,
    ) -> None:
        """A cycle later: rotated elements to the banks and lanes that they are for."""
        chunk, group, spread = self.i.payload, self.config.max_group, self._spread(load)
        across = load.across[0] & (spread == 0)
        bits = (group - 1).bit_length()
        first = Mux(across, bank, lane)
        elements = [chunk.elements[number][: self.element_bits] for number in range(group)]
        turned = rotate(elements, (-first)[:bits])
        write, position, ended = Signal(), Signal(ADDRESS_BITS), Signal()
        in_banks, in_lanes = Signal(self.lines), Signal(group)
        held, along = [Signal(self.element_bits, name=f"turned_{number}") for number in range(group)], Signal()
        count = chunk.count
        crosses = Mux(across, bank + count > self.lines, lane + count > load.group)
        fits = (address < self.words) & ~crosses
        banks = Mux(spread != 0, spread, Mux(across, count, 1))
        m.d.sync += [
            write.eq(take & fits),
            self.beyond.eq(take & ~fits),
            ended.eq(ends),
            self.full.eq(ended),
            position.eq(address),
            along.eq(~across),
            in_banks.eq(Cat((number >= bank) & (number < bank + banks) for number in range(self.lines))),
            in_lanes.eq(Cat((number >= lane) & (number < lane + Mux(across, 1, count)) for number in range(group))),
            *(target.eq(value) for target, value in zip(held, turned, strict=True)),
        ]
        for number in range(self.lines):
            memory = place_ram(m, platform, f"bank_{number}", self.words, group, self.element_bits)
            m.d.comb += [
                memory.write_address.eq(position),
                memory.write_parts.eq(in_lanes & (write & in_banks[number]).replicate(group)),
                memory.write_data.eq(Cat(Mux(along, held[slot], held[number % group]) for slot in range(group))),
                memory.read_address.eq(self.addresses[number]),
                Value.cast(self.o[number]).eq(memory.read_data),
            ]
