"""From the operand buffers to the array: the words of a product's tiles, in the order of its steps."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw.checks import COUNT_BITS, most_slots, most_vectors
from hw.command_layout import command_layout, is_count
from hw.commands import Product
from hw.config import AcceleratorConfig
from hw.operands import ADDRESS_BITS, addresses_layout, log2_or_none
from hw.sequencer import tiles_layout
from hw.uspe import delay

FIFO_WORDS = 4
PART_WORDS = 2

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

SLOTS = data.StructLayout({"rows": 8, "columns": 8, "vectors": COUNT_BITS})
"""Interleave slots of a tile; or, where weights stay, its columns."""


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
        self.skew = (lines - 1) * self.apart
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
        m.submodules.words = words = SyncFIFO(width=len(self.o.payload), depth=FIFO_WORDS)
        part = data.View(PART, parts.r_data)
        round_, lane, word = Signal(COUNT_BITS), Signal(8), Signal(ADDRESS_BITS)
        column, row, line = Signal(COUNT_BITS), Signal(8), Signal(ADDRESS_BITS)
        reads, fetched, picked = Signal(), Signal(), Signal.like(lane)
        last_row, last_column = row + 1 == part.rows, column + 1 == part.columns
        step, last_round = self._step(part, round_)
        last_lane, ends = lane + step >= part.per_word, Signal()
        left = Signal(range(max(self.skew + 1, 2)))  # words until the last column is through, when the part itself is read
        flushes = part.flushes & part.stationary if self.skew else Const(0)
        m.d.comb += [
            parts.w_data.eq(self.i.payload),
            parts.w_en.eq(self.i.valid),
            self.i.ready.eq(parts.w_rdy),
            reads.eq(parts.r_rdy & (words.level + fetched < FIFO_WORDS)),
            ends.eq(reads & (left == 0) & last_row & last_column & last_round),
            parts.r_en.eq(Mux(left == 0, ends & ~flushes, reads & (left == 1))),
            self.illegal.eq(ends & ~part.last & (~last_lane | (round_ + step != part.rounds)) & (not self.weights)),
            words.w_en.eq(fetched),
            self.o.payload.eq(words.r_data),
            self.o.valid.eq(words.r_rdy),
            words.r_en.eq(self.o.ready),
            self.idle.eq(~parts.r_rdy & ~fetched & ~words.r_rdy),
        ]
        m.d.sync += [fetched.eq(reads), picked.eq(lane)]
        with m.If(reads & (left != 0)):
            m.d.sync += left.eq(left - 1)
        with m.Elif(reads):
            m.d.sync += row.eq(Mux(last_row, 0, row + 1))
            block_ends = Mux(last_row, ~Const(int(self.weights)) & ~last_column, Const(int(self.weights)))
            m.d.sync += line.eq(Mux(block_ends, line + part.line_words, 0))
            with m.If(last_row):
                m.d.sync += column.eq(Mux(last_column, 0, column + 1))
                with m.If(last_column):
                    m.d.sync += [round_.eq(round_ + step), lane.eq(Mux(last_lane, 0, lane + step)), word.eq(word + last_lane)]
        with m.If(ends):
            m.d.sync += [round_.eq(0), lane.eq(0), word.eq(0), left.eq(Mux(flushes, self.skew, 0))]
        real = self._aim(m, part, reads, part.base + line + word, round_, ends & part.frees)
        given = [self.data[number].as_value() for number in range(self.lines)]
        if self.weights:
            given = [bank.word_select(picked, self.element_bits) for bank in given]
        m.d.comb += words.w_data.eq(Cat(self._of_product(bank, bit) for bank, bit in zip(given, real, strict=True)))
        return m

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


class Feed(wiring.Component):
    """Runs products' tile loops: hands out parts when their operands are there, and tiles when their sums have room.

    Parameters
    ----------
    config : AcceleratorConfig
        The array.

    Members
    -------
    i : In(stream of Product)
        Taken when all parts of the one before were handed out.
    weights_full, activations_full : In(1)
        A block is in its buffer.
    room : In(1)
        Half of the output buffer was freed.
    weights, activations : Out(stream of PART)
        Parts.
    tiles : Out(stream of tiles_layout)
        Commands of the array: each tile with its first part; all of a product with its first one where weights stay, so that
        no step is lost between them.
    slots : Out(stream of SLOTS)
        What comes of each tile, with its first part.
    illegal, idle, waits_operands, waits_room : Out(1)
        A product that cannot be was dropped, see `hw.checks`; none is inside; a part waits for operands, or for the output
        buffer.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        flags = ("illegal", "idle", "waits_operands", "waits_room")
        super().__init__(
            {
                "i": In(stream.Signature(command_layout(Product))),
                "weights_full": In(1),
                "activations_full": In(1),
                "room": In(1),
                "weights": Out(stream.Signature(PART)),
                "activations": Out(stream.Signature(PART)),
                "tiles": Out(stream.Signature(tiles_layout(config))),
                "slots": Out(stream.Signature(SLOTS)),
                **{name: Out(1) for name in flags},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        product, active, checking = Signal(command_layout(Product)), Signal(), Signal()
        outer, middle, inner, left = (Signal(COUNT_BITS, name=name) for name in ("outer", "middle", "inner", "left"))
        halves = Signal(2, init=2)
        first, last_part = inner == 0, inner + 1 == product.inner
        last_middle, last_outer = middle + 1 == product.middle, outer + 1 == product.outer
        loads = {
            "weights": ~product.weights_held[0] | (outer == 0),
            "activations": ~product.activations_held[0] | (middle == 0),
        }
        frees = {
            "weights": ~product.weights_held[0] | last_outer,
            "activations": ~product.activations_held[0] | last_middle,
        }
        there = {name: Signal(COUNT_BITS, name=f"{name}_there") for name in loads}  # blocks that no part has used yet
        operands = Cat((there[name] != 0) | ~loads[name] for name in loads).all()
        accepted = self.weights.ready & self.activations.ready & self.tiles.ready & self.slots.ready
        go, running = Signal(), active & ~checking
        m.d.comb += [
            go.eq(running & operands & (~first | (halves != 0)) & accepted),
            self.waits_operands.eq(running & ~operands),
            self.waits_room.eq(running & operands & first & (halves == 0)),
            self.idle.eq(~active),
            self.i.ready.eq(~active),
        ]
        m.d.sync += halves.eq(halves + self.room - (go & first))
        for name, tokens in there.items():
            m.d.sync += tokens.eq(tokens + getattr(self, f"{name}_full") - (go & loads[name]))

        config = self.config
        rounds, stationary = Mux(last_part, left, product.part_rounds), product.vectors != 0
        tiles, shortest = Signal(2 * COUNT_BITS), config.stationary_period_steps
        m.d.sync += tiles.eq(product.outer[:COUNT_BITS] * product.middle[:COUNT_BITS])
        too_many = stationary & tiles[COUNT_BITS:].any()
        blocks = (product.rounds + config.columns - 1) >> (log2_or_none(config.columns) or 0)
        period = Mux(product.vectors < shortest, shortest, product.vectors)
        begins, ends = first & (outer == 0) & (middle == 0), last_part & last_middle & last_outer
        shares = {
            "weights": _Share("weights", product.weight_shares, product.weight_share_words),
            "activations": _Share("activations", product.activation_shares, product.activation_share_words),
        }
        back = {
            "weights": product.weights_held[0] & last_part & last_middle,
            "activations": product.activations_held[0] & last_part & ~last_middle,
        }
        for name, share in shares.items():
            share.move(m, go, back[name], go & last_part & (last_middle if name == "activations" else last_outer))
        m.d.comb += [
            self.weights.valid.eq(go),
            self.activations.valid.eq(go),
            self.tiles.valid.eq(go & Mux(stationary, begins, first)),
            self.slots.valid.eq(go & first),
            self.slots.payload.eq(Cat(product.slot_rows[:8], product.slot_columns[:8], product.vectors[:COUNT_BITS])),
            self.weights.payload.base.eq(shares["weights"].base),
            self.weights.payload.rounds.eq(rounds),
            self.weights.payload.per_word.eq(config.max_group),
            self.weights.payload.columns.eq(product.slot_columns),
            self.weights.payload.rows.eq(product.slot_rows),
            self.weights.payload.line_words.eq(product.weight_line_words),
            self.weights.payload.frees.eq(frees["weights"]),
            self.weights.payload.stationary.eq(stationary),
            self.activations.payload.base.eq(shares["activations"].base),
            self.activations.payload.rounds.eq(rounds),
            self.activations.payload.per_word.eq(product.group_rounds),
            self.activations.payload.columns.eq(Mux(stationary, period, product.slot_columns)),
            self.activations.payload.rows.eq(1),
            self.activations.payload.line_words.eq(product.activation_line_words),
            self.activations.payload.frees.eq(frees["activations"]),
            self.weights.payload.last.eq(last_part),
            self.activations.payload.last.eq(last_part),
            self.activations.payload.stationary.eq(stationary),
            self.activations.payload.flushes.eq(ends),
            self.tiles.payload.stationary.eq(stationary),
            self.tiles.payload.tiles.eq(Mux(stationary, tiles, 1)),
            self.tiles.payload.rounds.eq(Mux(stationary, blocks, product.rounds)),
            self.tiles.payload.vectors.eq(product.vectors),
            self.tiles.payload.group_rounds.eq(product.group_rounds),
            self.tiles.payload.slot_rows.eq(product.slot_rows),
            self.tiles.payload.slot_columns.eq(product.slot_columns),
            self.tiles.payload.dense.eq(product.dense),
        ]
        with m.If(go):
            m.d.sync += [inner.eq(inner + 1), left.eq(left - product.part_rounds)]
            with m.If(last_part):
                m.d.sync += [inner.eq(0), left.eq(product.rounds), middle.eq(middle + 1)]
                with m.If(last_middle):
                    m.d.sync += [middle.eq(0), outer.eq(outer + 1)]
                    with m.If(last_outer):
                        m.d.sync += active.eq(0)
        m.d.sync += checking.eq(0)
        uneven = last_part != (left <= product.part_rounds)  # parts that are not as many as the rounds need
        m.d.comb += self.illegal.eq(active & Mux(checking, ~self._is_legal(product), uneven | too_many))
        with m.If(self.illegal):
            m.d.sync += active.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [product.eq(self.i.payload), active.eq(1), checking.eq(1), left.eq(self.i.payload.rounds)]
            m.d.sync += [counter.eq(0) for counter in (outer, middle, inner)]
            for share in shares.values():
                share.restart(m)
        return m

    def _is_legal(self, product: data.View) -> Value:
        """Whether counts can be counted, and the group and the slots are there; where weights stay, what these need.

        Sums must fit beside each other, parts must be whole blocks. There must be a second share: the last columns use a
        share until the first ones are far into the next.
        """
        config = self.config
        names = ("outer", "middle", "inner", "rounds", "part_rounds", "group_rounds", "slot_rows", "slot_columns")
        counted = Cat(is_count(product[name]) for name in (*names, "weight_shares", "activation_shares")).all()
        words = Cat(
            product[f"{side}_{part}_words"][COUNT_BITS:] for side in ("weight", "activation") for part in ("share", "line")
        )
        fits = product.slot_rows * product.slot_columns <= most_slots(config)
        legal = counted & ~words.any() & (product.group_rounds <= config.max_group) & fits
        bits = log2_or_none(config.columns)
        if bits is None:
            return legal & (product.vectors == 0)
        whole = (product.inner == 1) | (product.part_rounds[:bits] == 0)
        even = (product.group_rounds & (product.group_rounds - 1)) == 0
        passes = (product.vectors <= most_vectors(config)) & (product.activation_shares != 1) & whole & even
        return legal & ((product.vectors == 0) | passes & (product.slot_rows == 1) & (product.slot_columns == 1))


class _Share:
    """Which share of a buffer the next part is in; what is held is gone through again from where it began."""

    def __init__(self, name: str, shares: Value, words: Value) -> None:
        self.shares, self.words = shares, words
        self.number, self.base = Signal(ADDRESS_BITS, name=f"{name}_share"), Signal(ADDRESS_BITS, name=f"{name}_base")
        self.first, self.first_base = (Signal(ADDRESS_BITS, name=f"{name}_first{part}") for part in ("", "_base"))

    def move(self, m: Module, go: Value, back: Value, begins: Value) -> None:
        """On with each part, or back; where it then is, is where the next time begins if `begins`."""
        wraps = self.number + 1 == self.shares
        number, base = Mux(wraps, 0, self.number + 1), Mux(wraps, 0, self.base + self.words)
        with m.If(go):
            m.d.sync += [self.number.eq(Mux(back, self.first, number)), self.base.eq(Mux(back, self.first_base, base))]
        with m.If(begins):
            m.d.sync += [self.first.eq(number), self.first_base.eq(base)]

    def restart(self, m: Module) -> None:
        """At the buffer's beginning."""
        m.d.sync += [signal.eq(0) for signal in (self.number, self.base, self.first, self.first_base)]
