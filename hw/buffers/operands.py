"""Operand buffers: what loads bring in any order, side by side for the array."""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.dma.reader import elements_layout
from hw.dma.walker import between
from hw.isa.commands import Load
from hw.isa.operands import chunk_elements, chunk_words, is_skewed
from hw.parts.layouts import bound_layout
from hw.parts.ram import place_ram
from hw.parts.selection import rotate


def placement_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Where a load's elements go, see `hw.isa.commands.Load`."""
    names = ("across", "group", "shares", "share_words", "line_words", "word_step", "base", "beside", "spread")
    layout = bound_layout(config, Load)
    return data.StructLayout({name: layout[name].shape for name in names})


def addresses_layout(lines: int, words: int) -> data.ArrayLayout:
    """An address for each bank of a buffer."""
    return data.ArrayLayout(max(1, (words - 1).bit_length()), lines)


def log2_or_none(number: int) -> int | None:
    """The exponent of a power of two; None of what is none."""
    return number.bit_length() - 1 if number & (number - 1) == 0 else None


class OperandBuffer(wiring.Component):
    """A bank for each line of the array, of words of G elements; filled chunk by chunk, read a word of all banks at a time.

    ::

        chunk ─ rotate ─┬─► bank 0 ────┬─► o        across: elements of a chunk go to banks side by side, into one place
                        └─► bank L-1 ──┘            along: to places side by side of words side by side, a bank each
                                                    spread: of several banks, the same of each

    Where word w of line l stands is said in `hw.isa.operands`: in bank (l + w) mod L, or, of a number of lines that is
    no power of two and where groups are spread, in bank l.

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
    i_load : In(stream of placement_layout)
        A load, within `hw.isa.bounds`. It is taken when all shares of the one before have been freed; beside it, of the one
        before that.
    i : In(stream of elements_layout)
        Its chunks.
    full : Out(1)
        For a cycle: a block is in the buffer.
    free : In(8)
        So many blocks are not needed any more.
    addresses, o : In(address bits × lines), Out(element_bits × G × lines)
        The words of the cycle before's addresses, one of each bank.
    beyond : Out(1)
        For a cycle: an element's place was not in the buffer, or a chunk went beyond the banks, or the group. It was dropped.
    idle, waits_free : Out(1)
        No load is inside; a block waits for its share.
    """

    def __init__(
        self, config: AcceleratorConfig, lines: int, words: int, element_bits: int, memory_bits: int, *, spreads: bool
    ) -> None:
        self.config = config
        self.lines, self.words, self.element_bits, self.memory_bits = lines, words, element_bits, memory_bits
        self.line_bits = log2_or_none(lines) if spreads else None
        self.skewed, self.pieces, self.elements = is_skewed(lines), chunk_words(config, lines), chunk_elements(config, lines)
        group = config.max_group
        flags = {name: Out(1) for name in ("full", "beyond", "idle", "waits_free")}
        super().__init__(
            {
                "i_load": In(stream.Signature(placement_layout(config))),
                "i": In(stream.Signature(elements_layout(config, memory_bits, self.elements))),
                "free": In(8),
                "addresses": In(addresses_layout(lines, words)),
                "o": Out(data.ArrayLayout(data.ArrayLayout(element_bits, group), lines)),
                **flags,
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        load, active, chunk = Signal(placement_layout(self.config)), Signal(), self.i.payload
        occupied, before = (
            Signal(self.config.count_bits),
            Signal(self.config.count_bits),
        )  # shares in use, of this load and of the one before
        share, base = Signal(self.config.count_bits), Signal(self.config.count_bits)
        begun = Signal()  # the block that the next chunk belongs to has its share
        take, ends = Signal(), Signal()
        claims = active & self.i.valid & ~begun & (occupied < load.shares)
        m.d.comb += [
            self.i_load.ready.eq(~active & (before == 0) & ((occupied == 0) | self.i_load.payload.beside[0])),
            take.eq(active & self.i.valid & begun),
            self.i.ready.eq(take),
            ends.eq(take & chunk.end_of_block),
            self.idle.eq(~active & (occupied == 0) & (before == 0)),
            self.waits_free.eq(active & self.i.valid & ~begun & ~claims),
        ]
        in_use, frees_before = Signal(self.config.count_bits), before != 0
        m.d.comb += in_use.eq(occupied + claims - Mux(frees_before, 0, self.free))
        m.d.sync += [occupied.eq(in_use), before.eq(before - Mux(frees_before, self.free, 0))]
        with m.If(claims):
            m.d.sync += begun.eq(1)
        with m.If(ends):
            m.d.sync += [begun.eq(0), share.eq(share + 1), base.eq(base + load.share_words)]
            with m.If(share + 1 == load.shares):
                m.d.sync += [share.eq(0), base.eq(load.base)]
            with m.If(chunk.last):
                m.d.sync += active.eq(0)
        with m.If(self.i_load.valid & self.i_load.ready):
            m.d.sync += [load.eq(self.i_load.payload), active.eq(1), share.eq(0), base.eq(self.i_load.payload.base)]
            m.d.sync += [occupied.eq(0), before.eq(in_use)]

        spot = self._place(m, load, take)
        self._write(m, platform, load, take, ends, base, spot)
        return m

    def _place(self, m: Module, load: data.View, take: Value) -> "_Spot":
        """Where the chunk's first element belongs: line and position by counters, as no chunk says them."""
        chunk, group, lines = self.i.payload, load.group, self.lines
        at_bank, at_line, at_lane, at_word = (
            Signal(16),
            Signal(self.config.count_bits),
            Signal(16),
            Signal(self.config.count_bits),
        )
        bank, line, lane, word = (Signal.like(at, name=f"place_{at.name}") for at in (at_bank, at_line, at_lane, at_word))
        begins, first, spread = chunk.u == 0, (chunk.u == 0) & (chunk.v == 0), self._spread(load)

        def counted(
            position: tuple[Value, Value], count: Value | int, full: Value | int, step: Value | int
        ) -> tuple[Value, Value]:
            """Small and large part of a position, so many on."""
            small, large = position
            wraps = small + count == full
            return Mux(wraps, 0, small + count), Mux(wraps, large + step, large)

        offset, at_offset = (
            Signal(self.config.count_bits),
            Signal(self.config.count_bits),
        )  # of the word: as many steps as words
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
                after = at_offset + Mux(at_lane + 1 == group, load.word_step, 0)
                m.d.comb += offset.eq(Mux(begins, Mux(first, 0, after) if across else 0, at_offset))
        moved_banks = counted((bank, line), chunk.count, lines, load.line_words)
        moved_lanes = self._along(load, counted((lane, word), chunk.count, group, step), lane + chunk.count, word)
        with m.If(take):
            for targets, placed, moved, moves in (
                (banks, (bank, line), moved_banks, load.across[0]),
                (lanes, (lane, word), moved_lanes, ~load.across[0]),
            ):
                for target, stays, goes in zip(targets, placed, moved, strict=True):
                    m.d.sync += target.eq(Mux(moves, goes, stays))
            m.d.sync += at_offset.eq(offset + Mux(load.across[0], 0, self._steps(load, moved_lanes[1] - word)))
        return _Spot(bank, line, lane, word, offset)

    def _steps(self, load: data.View, words: Value) -> Value:
        """What so many words, at most as many as pieces, add to an address."""
        return words[: self.pieces.bit_length()] * load.word_step

    def _along(self, load: data.View, moved: tuple[Value, Value], lanes: Value, word: Value) -> tuple[Value, Value]:
        """Lane and word behind a chunk: `moved`, but where it goes on in the next words, which it can where words are full."""
        if self.pieces == 1:
            return moved
        bits = (self.config.max_group - 1).bit_length()
        return tuple(
            Mux(self._joined(load), on, one) for on, one in zip((lanes[:bits], word + (lanes >> bits)), moved, strict=True)
        )

    def _joined(self, load: data.View) -> Value:
        """Whether a chunk along a line can fill several words."""
        return (load.group == self.config.max_group) & (self._spread(load) == 0)

    def _spread(self, load: data.View) -> Value:
        """Banks that each group goes to, 0 for the line's own."""
        return Const(0) if self.line_bits is None else load.spread

    def _write(
        self, m: Module, platform: object, load: data.View, take: Value, ends: Value, base: Value, spot: "_Spot"
    ) -> None:
        """A cycle later: rotated elements to the banks and lanes that they are for.

        Of the words that a chunk can fill, word w is piece ``w % pieces``; position ``piece * G + lane`` says where an element
        stands among them. The rest of the last word is cleared, so that of what is not loaded nothing is left in it.
        """
        chunk, group, spread, pieces = self.i.payload, self.config.max_group, self._spread(load), self.pieces
        lines = self.lines
        across, spreads = load.across[0] & (spread == 0), spread != 0
        count = chunk.count
        piece = Const(0) if pieces == 1 else Mux(spreads, 0, spot.word[: (pieces - 1).bit_length()])
        offset, first = self._first(m, spot, spread, across, piece)
        position = Signal(range(self.elements))
        m.d.comb += position.eq(spot.lane + piece * group)
        turned = self._turned(across, first, position)
        crosses = Mux(across, spot.bank + count > lines, spot.lane + count > load.group)
        if pieces > 1:
            crosses = crosses & ~(~across & self._joined(load) & (position + count <= self.elements))
        more = (spot.lane + count - 1)[(group - 1).bit_length() :]
        fits = (base + spot.line + offset + Mux(across | spreads, 0, self._steps(load, more)) < self.words) & ~crosses
        span = Mux(spreads, spread, Mux(across, count, pieces))
        end = position + Mux(across, 1, count)
        word_end = Cat(Const(0, (group - 1).bit_length()), ((end - 1) >> (group - 1).bit_length()) + 1)
        write, ended, along = Signal(), Signal(), Signal()
        in_banks, in_lanes, filled = Signal(lines), Signal(self.elements), Signal(self.elements)
        at, step = Signal(self.config.count_bits), Signal(self.config.count_bits)
        held = [Signal(self.element_bits, name=f"turned_{number}") for number in range(self.elements)]
        m.d.sync += [
            write.eq(take & fits),
            self.beyond.eq(take & ~fits),
            ended.eq(ends),
            self.full.eq(ended),
            at.eq(base + spot.line + offset - self._steps(load, piece)),
            step.eq(load.word_step),
            along.eq(~across),
            in_banks.eq(Cat(self._within(number, first, span) for number in range(lines))),
            in_lanes.eq(Cat(between(position, number, word_end) for number in range(self.elements))),
            filled.eq(Cat(between(position, number, end) for number in range(self.elements))),
            *(target.eq(value) for target, value in zip(held, turned, strict=True)),
        ]
        parts, exists = Cat(held), Cat(bit.replicate(self.element_bits) for bit in filled)
        given = [Signal(self.config.count_bits, name=f"at_{number}") for number in range(pieces)]
        m.d.comb += [address.eq(at + number * step) for number, address in enumerate(given)]
        ones = self._pieces(m, Mux(spreads, 0, Mux(across, piece, -spot.bank)), ~(across | spreads))
        width = group * self.element_bits
        for number in range(lines):
            ultra = self.config.ultra_ram
            memory = place_ram(m, platform, f"bank_{number}", self.words, group, self.element_bits, ultra=ultra)
            one = ones[number]
            m.d.comb += [
                memory.write_address.eq(_chosen(given, one)),
                memory.write_parts.eq(in_lanes.word_select(one, group) & (write & in_banks[number]).replicate(group)),
                memory.write_data.eq(
                    Mux(along, parts.word_select(one, width), held[number % self.elements].replicate(group))
                    & exists.word_select(one, width)
                ),
                memory.read_address.eq(self.addresses[number]),
                Value.cast(self.o[number]).eq(memory.read_data),
            ]

    def _pieces(self, m: Module, first: Value, counts: Value) -> list[Value]:
        """A cycle later, for each bank which piece it takes: the first one's, counting on from bank to bank where `counts`."""
        bits = (self.pieces - 1).bit_length()
        if not bits:
            return [Const(0)] * self.lines
        of_bank_0, counted = Signal(bits, name="first_piece"), Signal(name="pieces_count")
        m.d.sync += [of_bank_0.eq(first), counted.eq(counts)]
        return [(of_bank_0 + Mux(counted, number % self.pieces, 0))[:bits] for number in range(self.lines)]

    def _first(self, m: Module, spot: "_Spot", spread: Value, across: Value, piece: Value) -> tuple[Signal, Signal]:
        """What the chunk's first word adds to the address, and the bank of its first element, or of piece 0."""
        offset, first = Signal(self.config.count_bits), Signal(range(max(2, self.lines)))
        m.d.comb += offset.eq(spot.offset)
        if self.lines > 1:
            m.d.comb += first.eq(spot.bank + spot.word - Mux(across, 0, piece) if self.skewed else spot.bank)
        if self.line_bits is not None:
            with m.If(spread != 0):
                m.d.comb += [offset.eq(spot.word >> self.line_bits), first.eq(spot.word[: self.line_bits])]
        return offset, first

    def _within(self, number: int, first: Value, span: Value) -> Value:
        """Whether a bank is one of `span` from the first on; skewed, the last bank is followed by the first."""
        if not self.skewed:
            return between(first, number, first + span)
        bits = (self.lines - 1).bit_length()
        return (number - first)[:bits] < span if bits else Const(1)

    def _turned(self, across: Value, first: Value, position: Value) -> list[Value]:
        """The chunk's elements, each where its bank, or its position, says."""
        elements = [self.i.payload.elements[number][: self.element_bits] for number in range(self.elements)]
        if self.skewed and self.lines < self.elements:
            elements = [Mux(across, elements[number % self.lines], one) for number, one in enumerate(elements)]
        places = Mux(across, first, position)
        return rotate(elements, (-places)[: (self.elements - 1).bit_length()])


@dataclass(frozen=True)
class _Spot:
    """Line and position of an element: the line modulo the banks, and what it adds to the address; of the position lane, word,
    and what this adds.
    """

    bank: Value
    line: Value
    lane: Value
    word: Value
    offset: Value


def _chosen(values: Sequence[Signal], number: Signal) -> Value:
    """One of a power of two of values."""
    return Cat(values).word_select(number, len(values[0])) if len(values) > 1 else values[0]
