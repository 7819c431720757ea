"""From an operand buffer to the array: the words of a product's parts, in the order of its steps."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.isa.checks import COUNT_BITS
from hw.isa.microarchitecture import FEED_WORDS, PART_WORDS
from hw.operands import ADDRESS_BITS, addresses_layout, log2_or_none
from hw.uspe import delay

PART = data.StructLayout(
    {
        "base": ADDRESS_BITS,
        "rounds": COUNT_BITS,
        "per_word": 8,
        "columns": COUNT_BITS,
        "rows": 8,
        "line_words": ADDRESS_BITS,
        "frees": 1,
        "stationary": 1,
        "flushes": 1,
        "last": 1,
    }
)
"""Words to be read of a share: for each of `rounds`, `per_word` of which use one buffer word, for each column block, for each
row block; of activations with one column block, once for each buffer word. Whether the share is free then, and the sum ends.

Where weights stay, for each block of C rounds, the last one filled up with zero weights: C words of weights, or one of
activations for each of `columns` steps. Column c of the array reads its activations c · add_latency_cycles words behind column
0; a part that `flushes` goes on until the last column is through."""


class OperandFeed(wiring.Component):
    """Reads parts from a buffer, a word a cycle.

    ::

        i ─► counters ─► address ─┬─► bank 0
                                  A words later         the way of activations that pass weights;
                                  ├─► bank 1            otherwise all banks have one address
                                  A words later …

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
    i : In(stream of PART)
        What to read.
    addresses, data : Out(address bits × lines), In(element_bits × G × lines)
        Of the buffer.
    o : Out(stream)
        Words for the array.
    free, illegal : Out(1)
        For a cycle: a share has been read for the last time; a part that is not the last one ended within a group.
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
                "i": In(stream.Signature(PART)),
                "addresses": Out(addresses_layout(lines, words)),
                "data": In(data.ArrayLayout(word, lines)),
                "o": Out(stream.Signature(width)),
                "free": Out(1),
                "illegal": Out(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.parts = parts = SyncFIFO(width=PART.size, depth=PART_WORDS)
        m.submodules.words = words = SyncFIFO(width=len(self.o.payload), depth=FEED_WORDS)
        part = data.View(PART, parts.r_data)
        round_, lane, word = Signal(COUNT_BITS), Signal(8), Signal(ADDRESS_BITS)
        column, row, line = Signal(COUNT_BITS), Signal(8), Signal(ADDRESS_BITS)
        reads, fetched, picked = Signal(), Signal(), Signal.like(lane)
        last_row, last_column = row + 1 == part.rows, column + 1 == part.columns
        step, last_round = self._step(part, round_)
        last_lane, ends = lane + step >= part.per_word, Signal()
        done, flushing = self._flush(m, part, reads, ends)
        m.d.comb += [
            parts.w_data.eq(self.i.payload),
            parts.w_en.eq(self.i.valid),
            self.i.ready.eq(parts.w_rdy),
            reads.eq(parts.r_rdy & (words.level + fetched < FEED_WORDS)),
            ends.eq(reads & ~flushing & last_row & last_column & last_round),
            parts.r_en.eq(done),
            self.illegal.eq(ends & ~part.last & (~last_lane | (round_ + step != part.rounds)) & (not self.weights)),
            words.w_en.eq(fetched),
            self.o.payload.eq(words.r_data),
            self.o.valid.eq(words.r_rdy),
            words.r_en.eq(self.o.ready),
            self.idle.eq(~parts.r_rdy & ~fetched & ~words.r_rdy),
        ]
        m.d.sync += [fetched.eq(reads), picked.eq(lane)]
        with m.If(reads & ~flushing):
            m.d.sync += row.eq(Mux(last_row, 0, row + 1))
            block_ends = Mux(last_row, ~Const(int(self.weights)) & ~last_column, Const(int(self.weights)))
            m.d.sync += line.eq(Mux(block_ends, line + part.line_words, 0))
            with m.If(last_row):
                m.d.sync += column.eq(Mux(last_column, 0, column + 1))
                with m.If(last_column):
                    m.d.sync += [round_.eq(round_ + step), lane.eq(Mux(last_lane, 0, lane + step)), word.eq(word + last_lane)]
        with m.If(ends):
            m.d.sync += [round_.eq(0), lane.eq(0), word.eq(0)]
        real = self._aim(m, part, reads, part.base + line + word, round_, ends & part.frees)
        given = [self.data[number].as_value() for number in range(self.lines)]
        if self.weights:
            given = [bank.word_select(picked, self.element_bits) for bank in given]
        m.d.comb += words.w_data.eq(Cat(self._of_product(bank, bit) for bank, bit in zip(given, real, strict=True)))
        return m

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

    def _aim(self, m: Module, part: data.View, reads: Signal, address: Value, round_: Signal, frees: Value) -> Signal:
        """Address the banks, and free shares behind the last one; whether what each then gives is of the product."""
        real, at, shifts, apart = Signal(self.lines), Signal(len(self.addresses[0])), reads & part.stationary, self.apart
        m.d.comb += at.eq(address)
        behind: Value = at
        for number, target in enumerate(self.addresses):
            behind = delay(m, shifts, behind, apart, f"address_{number}") if number else behind
            exists = delay(m, shifts, round_ + (number if apart else 0) < part.rounds, number * apart, f"exists_{number}")
            m.d.comb += target.eq(Mux(part.stationary, behind, at))
            m.d.sync += real[number].eq(~part.stationary | exists)
        m.d.comb += self.free.eq(Mux(part.stationary, reads & delay(m, shifts, frees, self.skew, "frees", reset=True), frees))
        return real
