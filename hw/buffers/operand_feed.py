"""From an operand buffer to the array: the words of a product's parts, in the order of its steps."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw.array.uspe import delay
from hw.buffers.operands import addresses_layout, log2_or_none
from hw.buffers.windows import MASK
from hw.config import AcceleratorConfig
from hw.isa.microarchitecture import PART_WORDS
from hw.isa.operands import GRID_BITS, MOST_TAPS, TURN_BITS, address_cycles, feed_words, is_skewed, turn_cycles
from hw.parts.selection import rotate

LINE_BITS = 2 * GRID_BITS + 2
"""Width of a number of lines between two pixels of an image, with its sign."""


def window_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Whether a part's words are cut from a ring of lines, `word_step` in a bank; words of a tap, taps of a row of them; lines
    from a column's own to the first tap's, from a tap to the next, and from the last tap of a row to the next row's first.
    Which masks, and whether they are free then.
    """
    return data.StructLayout(
        {
            "cuts": 1,
            "tap_words": config.count_bits,
            "taps_x": MOST_TAPS.bit_length(),
            "start": signed(LINE_BITS),
            "along": signed(LINE_BITS),
            "back": signed(LINE_BITS),
            "mask_set": 1,
            "frees_masks": 1,
        }
    )


def part_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Words to be read of a share, which is at `base` from the first one's `origin` on: for each of `rounds`, `per_word` of
    which use one buffer word, for each column block, for each row block; of activations with one column block, once for
    each buffer word. How many shares are free then, and whether the sum ends. A word of activations, which `group_rounds`
    use, holds groups of `m` of which `n` are kept: the indices of each group count on from those of the one before.

    Where weights stay, for each block of C rounds, the last one filled up with zero weights: C words of weights, or one of
    activations for each of `columns` steps. Column c of the array reads its activations c · add_latency_cycles words behind
    column 0; a part that `flushes` goes on until the last column is through.
    """
    return data.StructLayout(
        {
            "base": config.count_bits,
            "origin": config.count_bits,
            "rounds": config.count_bits,
            "per_word": 8,
            "columns": config.count_bits,
            "rows": 8,
            "line_words": config.count_bits,
            "group_rounds": 8,
            "n": 8,
            "m": 8,
            "frees": 8,
            "stationary": 1,
            "flushes": 1,
            "last": 1,
            "word_step": config.count_bits,
            "window": window_layout(config),
        }
    )


class OperandFeed(wiring.Component):
    """Reads parts from a buffer, a word a cycle.

    ::

        i ─► counters ─► address ─┬─► bank 0 ─┐
               │                  A words later  ├─► turn ─► o    A words later: the way of activations that pass weights;
               │                  ├─► bank 1 ─┘     ▲             otherwise a bank has the address of its line, which in a ring
               │                  A words later …  │             is the next one beyond the tile's first
               └─► masks ──────────────────────────┘             zeros for taps that are not in the image

    Parameters
    ----------
    config : AcceleratorConfig
        `max_group`, and the array's formats.
    lines, words, element_bits : int
        As of the buffer.
    weights : bool
        Whether one element of each bank is a word and blocks are row blocks; otherwise whole groups, in column blocks.

    Members
    -------
    i : In(stream of part_layout)
        What to read.
    addresses, data : Out(address bits × lines), In(element_bits × G × lines)
        Of the buffer.
    o : Out(stream)
        Words for the array.
    free, illegal : Out(8), Out(1)
        For a cycle: so many shares have been read for the last time; a part that is not the last one ended within a group.
    masks_set, masks_slot, masks, masks_free : Out(1), Out(8), In(MASK × lines), Out(1)
        Of activations: of `hw.buffers.windows.WindowMasks`.
    idle : Out(1)
        Nothing is inside.
    """

    def __init__(self, config: AcceleratorConfig, lines: int, words: int, element_bits: int, *, weights: bool) -> None:
        self.config = config
        self.lines, self.element_bits, self.weights = lines, element_bits, weights
        self.apart = 0 if weights else config.add_latency_cycles
        self.skew = 0 if weights else config.stationary_skew_steps
        word = data.ArrayLayout(element_bits, config.max_group)
        width = lines * element_bits * (1 if weights else config.max_group)
        super().__init__(
            {
                "i": In(stream.Signature(part_layout(config))),
                "addresses": Out(addresses_layout(lines, words)),
                "data": In(data.ArrayLayout(word, lines)),
                "o": Out(stream.Signature(width)),
                "free": Out(8),
                "illegal": Out(1),
                "idle": Out(1),
                "masks_set": Out(1),
                "masks_slot": Out(8),
                "masks": In(data.ArrayLayout(MASK, lines)),
                "masks_free": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = self.config.count_bits
        m.submodules.parts = parts = SyncFIFO(width=len(Value.cast(self.i.payload)), depth=PART_WORDS)
        m.submodules.words = words = SyncFIFO(width=len(self.o.payload), depth=feed_words(self.lines, weights=self.weights))
        part = data.View(part_layout(self.config), parts.r_data)
        round_, lane, word = Signal(bits), Signal(8), Signal(bits)
        column, row, line = Signal(bits), Signal(8), Signal(bits)
        reads, picked = Signal(), Signal.like(lane)
        later = address_cycles(weights=self.weights)
        under_way = Signal(1 + later + turn_cycles(self.lines))  # reads of the cycles before, the last one lowest
        last_row, last_column = row + 1 == part.rows, column + 1 == part.columns
        step, last_round = self._step(part, round_)
        last_lane, ends = lane + step >= part.per_word, Signal()
        done, flushing = self._flush(m, part, reads, ends)
        m.d.comb += [
            parts.w_data.eq(self.i.payload),
            parts.w_en.eq(self.i.valid),
            self.i.ready.eq(parts.w_rdy),
            reads.eq(parts.r_rdy & (words.level + _ones(under_way) < words.depth)),
            ends.eq(reads & ~flushing & last_row & last_column & last_round),
            parts.r_en.eq(done),
            self.illegal.eq(ends & ~part.last & (~last_lane | (round_ + step != part.rounds)) & (not self.weights)),
            words.w_en.eq(under_way[-1]),
            self.o.payload.eq(words.r_data),
            self.o.valid.eq(words.r_rdy),
            words.r_en.eq(self.o.ready),
            self.idle.eq(~parts.r_rdy & (under_way == 0) & ~words.r_rdy),
        ]
        m.d.sync += [under_way.eq(Cat(reads, under_way)), picked.eq(lane)]
        with m.If(reads & ~flushing):
            m.d.sync += row.eq(Mux(last_row, 0, row + 1))
            block_ends = Mux(last_row, ~Const(int(self.weights)) & ~last_column, Const(int(self.weights)))
            m.d.sync += line.eq(Mux(block_ends, line + part.line_words, 0))
            with m.If(last_row):
                m.d.sync += column.eq(Mux(last_column, 0, column + 1))
                with m.If(last_column):
                    m.d.sync += [round_.eq(round_ + step), lane.eq(Mux(last_lane, 0, lane + step))]
        place = _Place(part, self.lines, word, line)
        with m.If(reads & ~flushing & last_row & last_column & last_lane):
            place.next_word(m)
        with m.If(ends):
            m.d.sync += [round_.eq(0), lane.eq(0), word.eq(0)]
            place.restart(m)
        real = self._aim(m, part, reads, place, part.rounds - round_, ends)
        given = [self.data[number].as_value() for number in range(self.lines)]
        if self.weights:
            counted = reads & ~flushing & last_row & last_column
            offset = self._offset(m, part, counted, ends)
            given = [bank.word_select(picked, self.element_bits) | offset for bank in given]
        given = [self._of_product(bank, bit) for bank, bit in zip(given, real, strict=True)]
        if place.bits:
            turn = place.turn(stationary=part.stationary & (not self.weights))
            given = self._turned(m, given, delay(m, 1, turn, later, "turns"))
        if not self.weights:
            m.d.comb += [self.masks_set.eq(part.window.mask_set), self.masks_slot.eq(column)]
            m.d.comb += self.masks_free.eq(ends & part.window.frees_masks)
            inside = delay(m, 1, self._inside(m, part, place), later + turn_cycles(self.lines), "inside")
            given = [one & inside[number].replicate(len(one)) for number, one in enumerate(given)]
        m.d.comb += words.w_data.eq(Cat(given))
        return m

    def _inside(self, m: Module, part: data.View, place: "_Place") -> Value:
        """Of the read of the cycle before, for each line, whether its tap is in the image."""
        y, x, cuts = Signal.like(place.tap_y, name="mask_y"), Signal.like(place.tap_x, name="mask_x"), Signal(name="mask_cuts")
        m.d.sync += [y.eq(place.tap_y), x.eq(place.tap_x), cuts.eq(part.window.cuts)]
        return Cat(
            ~cuts | (self.masks[number].y.bit_select(y, 1) & self.masks[number].x.bit_select(x, 1))
            for number in range(self.lines)
        )

    def _offset(self, m: Module, part: data.View, counted: Value, ends: Value) -> Value:
        """For a word of weights that has been read, what its indices count from, in their place: groups share buffer words."""
        used, kept, first = Signal(8), Signal(8), Signal(self.config.index_bits)
        now = Signal.like(first, name="offset")
        word_ends, group_ends = used + 1 == part.group_rounds, kept + 1 == part.n
        with m.If(counted):
            m.d.sync += [
                used.eq(Mux(ends | word_ends, 0, used + 1)),
                kept.eq(Mux(ends | word_ends | group_ends, 0, kept + 1)),
                first.eq(Mux(ends | word_ends, 0, Mux(group_ends, first + part.m, first))),
            ]
        m.d.sync += now.eq(first)
        return Cat(Const(0, self.config.storage_format.width), now)

    def _turned(self, m: Module, given: list[Value], turn: Value) -> list[Value]:
        """The banks' words of the cycle before, turned back to the lines; `turn` says by how much, a cycle earlier."""
        bits, places = len(turn), Signal(len(turn), name="turn")
        m.d.sync += places.eq(turn)
        for stage, first in enumerate(range(0, bits, TURN_BITS)):
            if stage:
                held = [Signal(len(item), name=f"turned_{first}_{number}") for number, item in enumerate(given)]
                later = Signal.like(places, name=f"turn_{first}")
                m.d.sync += [*(target.eq(item) for target, item in zip(held, given, strict=True)), later.eq(places)]
                given, places = list(held), later
            given = rotate(given, Cat(Const(0, first), places[first : first + TURN_BITS]))
        return given

    def _flush(self, m: Module, part: data.View, reads: Signal, ends: Signal) -> tuple[Value, Value]:
        """Go on behind a part that flushes until the last column is through: whether the part is done, and goes on so."""
        if not self.skew:
            return ends, Const(0, 1)
        left, flushes = Signal(range(self.skew + 1)), part.flushes & part.stationary
        with m.If(ends & flushes):
            m.d.sync += left.eq(self.skew)
        with m.Elif(reads & (left != 0)):
            m.d.sync += left.eq(left - 1)
        return Mux(left == 0, ends & ~flushes, reads & (left == 1)), left != 0

    def _of_product(self, word: Value, real: Value) -> Value:
        """A bank's word, made to add zero where it is not of the product.

        Then a weight is zero. Activations need but be finite, for which one bit of each exponent suffices.
        """
        bits, every = len(word), (1 << len(word)) - 1
        exponent = 1 << self.config.storage_format.mantissa_bits
        clears = every if self.weights else sum(exponent << place for place in range(0, bits, self.element_bits))
        return word & (Const(every & ~clears, bits) | (Const(clears, bits) & real.replicate(bits)))

    def _step(self, part: data.View, round_: Signal) -> tuple[Value, Value]:
        """Rounds from one word, or turn of the blocks, to the next; whether this one is the part's last."""
        if not self.weights:
            step = Mux(part.stationary, self.config.columns, Mux(part.columns == 1, part.per_word, 1))
            return step, round_ + step >= part.rounds
        bits = log2_or_none(self.config.columns) or 0
        return Const(1), (round_ + 1 >= part.rounds) & (~part.stationary | (round_[:bits] == (1 << bits) - 1))

    def _aim(self, m: Module, part: data.View, reads: Signal, place: "_Place", left: Value, ends: Value) -> Signal:
        """Address the banks, and free shares behind the last one; whether what each then gives is of the product."""
        later = address_cycles(weights=self.weights)
        if self.weights:
            at = after = part.origin + part.base + place.line + place.word
            beyond: Value = Const(0, self.lines)
        else:
            at, after, beyond = place.in_ring(m)
        stationary, frees = part.stationary, Mux(ends, part.frees, 0)
        first, real = Signal(len(self.addresses[0])), Signal(self.lines)
        m.d.comb += first.eq(at)
        shifts = delay(m, 1, reads & stationary, later, "shifts", reset=True)
        behind, is_passing = first, delay(m, 1, stationary, later, "is_passing")
        for number, target in enumerate(self.addresses):
            behind = delay(m, shifts, behind, self.apart, f"address_{number}") if number else behind
            exists = delay(m, 1, (number if self.apart else 0) < left.as_signed(), later, f"exists_{number}")
            exists = delay(m, shifts, exists, number * self.apart, f"exists_later_{number}")
            m.d.comb += target.eq(Mux(is_passing, behind, Mux(beyond[number], after, first)))
            m.d.sync += real[number].eq(~is_passing | exists)
        freed = delay(m, reads & stationary, frees, self.skew, "frees", reset=True)
        m.d.comb += self.free.eq(Mux(stationary, Mux(reads, freed, 0), frees))
        return real


class _Place:
    """Where a feed is in a part, and which word of which bank that is."""

    def __init__(self, part: data.View, lines: int, word: Signal, line: Signal) -> None:
        self.part, self.lines, self.word, self.line = part, lines, word, line
        self.bits = (lines - 1).bit_length() if is_skewed(lines) else 0
        self.offset, self.moved = Signal.like(word, name="word_offset"), Signal(signed(LINE_BITS), name="moved")
        self.tap_y, self.tap_x = (Signal(range(MOST_TAPS), name=f"tap_{axis}") for axis in "yx")
        self.distance = part.window.start + self.moved  # lines from a column's own to its tap's

    def next_word(self, m: Module) -> None:
        """On to the next word of a line, or the first one of the next tap's."""
        window = self.part.window
        m.d.sync += [self.word.eq(self.word + 1), self.offset.eq(self.offset + self.part.word_step)]
        with m.If(window.cuts & (self.word + 1 == window.tap_words)):
            m.d.sync += [self.word.eq(0), self.offset.eq(0), self.tap_x.eq(self.tap_x + 1)]
            m.d.sync += self.moved.eq(self.moved + window.along)
            with m.If(self.tap_x + 1 == window.taps_x):
                m.d.sync += [self.tap_x.eq(0), self.tap_y.eq(self.tap_y + 1), self.moved.eq(self.moved + window.back)]

    def restart(self, m: Module) -> None:
        """At the first word of a part."""
        m.d.sync += [signal.eq(0) for signal in (self.word, self.offset, self.moved, self.tap_y, self.tap_x)]

    def turn(self, *, stationary: Value) -> Value:
        """By how many banks the word of line 0 of a tile is from bank 0."""
        within = Mux(self.part.window.cuts, self.distance[: self.bits], 0)
        return Mux(stationary, 0, (self.word + within)[: self.bits])[: self.bits]

    def in_ring(self, m: Module) -> tuple[Value, Value, Value]:
        """Two cycles later: the address of the tile's first lines, that of the next ones, and which banks have these."""
        part, window = self.part, self.part.window
        block, offset = Signal(signed(len(self.word) + 2)), Signal.like(self.word, name="offset_1")
        ring, cuts = Signal.like(self.word, name="ring"), Signal(name="cuts_1")
        m.d.sync += [
            block.eq(part.base + self.line + Mux(window.cuts, self.distance >> self.bits, 0)),
            offset.eq(part.origin + self.offset),
            ring.eq(part.word_step),
            cuts.eq(window.cuts),
        ]
        first, following = Signal.like(self.word, name="first_block"), Signal.like(self.word, name="next_block")
        wraps = block + 0 >= ring
        m.d.comb += first.eq(Mux(~cuts, block, Mux(block < 0, block + ring, Mux(wraps, block - ring, block))))
        m.d.comb += following.eq(Mux(first + 1 == ring, 0, first + 1))
        at, after, beyond = (
            Signal.like(self.word, name="at"),
            Signal.like(self.word, name="after"),
            Signal(self.lines, name="beyond"),
        )
        m.d.sync += [at.eq(first + offset), after.eq(following + offset)]
        if self.bits:
            within, word = Signal(self.bits, name="within"), Signal(self.bits, name="word_1")
            m.d.sync += [within.eq(Mux(window.cuts, self.distance[: self.bits], 0)), word.eq(self.word)]
            m.d.sync += beyond.eq(Cat((number - word)[: self.bits] < within for number in range(self.lines)))
        return at, after, beyond


def _ones(bits: Value) -> Value:
    """How many bits are set."""
    return sum((bit for bit in bits[1:]), bits[0])
