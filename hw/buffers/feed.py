"""The tile loops of products: which part of which operand is next, and for which tile."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.array.sequencer import tiles_layout
from hw.buffers.operand_feed import LINE_BITS, part_layout, window_layout
from hw.buffers.operands import log2_or_none
from hw.buffers.windows import grid_layout
from hw.config import AcceleratorConfig
from hw.isa.bounds import most_slots
from hw.isa.commands import Product
from hw.isa.microarchitecture import RESULT_TILES
from hw.isa.operands import GRID_BITS, MOST_TAPS
from hw.parts.layouts import bound_layout, pack


def slots_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Interleave slots of a tile; or, where weights stay, its columns; and words of sums that it takes up in the output
    buffer.
    """
    return data.StructLayout({"rows": 8, "columns": 8, "vectors": config.count_bits, "words": config.count_bits})


@dataclass(frozen=True)
class _At:
    """Where the loops are: rounds of this part, whether it is the tile's last one; and whether weights stay."""

    rounds: Value
    last_part: Value
    stationary: Value


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
    weights_full, activations_full, masks_full : In(1)
        A block is in its buffer; a tile has its masks.
    room, room_words : In(1), In(count_bits)
        A tile's words of the output buffer were freed; how many.
    weights, activations : Out(stream of part_layout)
        Parts.
    masks : Out(stream of grid_layout)
        Of a product with taps, before its first part; always ready then.
    tiles : Out(stream of tiles_layout)
        Commands of the array: each tile with its first part; all of a product with its first one where weights stay, so that
        no step is lost between them.
    slots : Out(stream of slots_layout)
        What comes of each tile, with its first part.
    illegal, idle, waits_operands, waits_room : Out(1)
        A product that cannot be was dropped, see `hw.isa.checks`; none is inside; a part waits for operands, or for the output
        buffer.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        flags = ("illegal", "idle", "waits_operands", "waits_room")
        super().__init__(
            {
                "i": In(stream.Signature(bound_layout(config, Product))),
                "weights_full": In(1),
                "activations_full": In(1),
                "masks_full": In(1),
                "room": In(1),
                "room_words": In(config.count_bits),
                "weights": Out(stream.Signature(part_layout(config))),
                "activations": Out(stream.Signature(part_layout(config))),
                "masks": Out(stream.Signature(grid_layout(config))),
                "tiles": Out(stream.Signature(tiles_layout(config))),
                "slots": Out(stream.Signature(slots_layout(config))),
                **{name: Out(1) for name in flags},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, bits = self.config, self.config.count_bits
        product, active, checking = Signal(bound_layout(config, Product)), Signal(), Signal()
        outer, middle, inner, left = (Signal(bits, name=name) for name in ("outer", "middle", "inner", "left"))
        first, last_part = inner == 0, inner + 1 == product.inner
        last_middle, last_outer = middle + 1 == product.middle, outer + 1 == product.outer
        cuts = _cuts(product)
        window = _Window(m, config, product, outer, last_outer)
        begins_columns = first & (middle == 0)
        needs = {
            "weights": ~product.weights_held[0] | (outer == 0),
            "activations": Mux(cuts, Mux(begins_columns, window.needs, 0), ~product.activations_held[0] | (middle == 0)),
            "masks": cuts & begins_columns,
        }
        frees = {
            "weights": ~product.weights_held[0] | last_outer,
            "activations": Mux(last_middle, Mux(cuts, window.frees, 1), ~product.activations_held[0]),
        }
        there = {name: Signal(bits, name=f"{name}_there") for name in needs}  # blocks, masks that no part has used yet
        operands = Cat(there[name] >= needs[name] for name in needs).all()
        begun, tile_words = Signal(), Signal(bits)  # a tile is
        fits = self._room(m, begun, tile_words)
        accepted = self.weights.ready & self.activations.ready & self.tiles.ready & self.slots.ready
        go, running = Signal(), active & ~checking
        m.d.comb += [
            go.eq(running & operands & (~first | fits) & accepted),
            begun.eq(go & first),
            self.waits_operands.eq(running & ~operands),
            self.waits_room.eq(running & operands & first & ~fits),
            self.idle.eq(~active),
            self.i.ready.eq(~active),
        ]
        for name, tokens in there.items():
            m.d.sync += tokens.eq(tokens + getattr(self, f"{name}_full") - Mux(go, needs[name], 0))

        rounds, stationary = Mux(last_part, left, product.part_rounds), product.vectors != 0
        tiles, shortest = Signal(2 * bits), config.stationary_period_steps
        m.d.sync += tiles.eq(product.outer * product.middle)
        sums = product.slot_rows[:8] * product.slot_columns[:8] * config.columns
        m.d.sync += tile_words.eq(Mux(stationary, product.vectors, sums))
        too_many = stationary & tiles[bits:].any()
        blocks = (product.rounds + config.columns - 1) >> (log2_or_none(config.columns) or 0)
        period = Mux(product.vectors < shortest, shortest, product.vectors)
        begins, ends = first & (outer == 0) & (middle == 0), last_part & last_middle & last_outer
        shares = {
            "weights": _Share(config, "weights", product.weight_shares, product.weight_share_words),
            "activations": _Share(config, "activations", product.activation_shares, product.activation_share_words),
        }
        back = {
            "weights": product.weights_held[0] & last_part & last_middle,
            "activations": product.activations_held[0] & last_part & ~last_middle,
        }
        for name, share in shares.items():
            share.move(m, go, back[name], go & last_part & (last_middle if name == "activations" else last_outer))
        at = _At(rounds, last_part, stationary)
        m.d.comb += [
            self.weights.valid.eq(go),
            self.activations.valid.eq(go),
            self.tiles.valid.eq(go & Mux(stationary, begins, first)),
            self.slots.valid.eq(go & first),
            *self._slots(product, tile_words),
            *self._weights(product, at, shares["weights"], frees["weights"]),
            *self._activations(product, at, shares["activations"], frees["activations"]),
            self.activations.payload.columns.eq(Mux(stationary, period, product.slot_columns)),
            self.activations.payload.window.eq(window.part(cuts, last_middle)),
            self.activations.payload.flushes.eq(ends),
            self.masks.valid.eq(active & checking & cuts),
            self.masks.payload.eq(window.grid()),
            *self._tiles(product, at, tiles, blocks),
        ]
        with m.If(go):
            m.d.sync += [inner.eq(inner + 1), left.eq(left - product.part_rounds)]
            with m.If(last_part):
                m.d.sync += [inner.eq(0), left.eq(product.rounds), middle.eq(middle + 1)]
                with m.If(last_middle):
                    m.d.sync += [middle.eq(0), outer.eq(outer + 1), window.mask_set.eq(window.mask_set ^ cuts)]
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

    def _slots(self, product: data.View, words: Value) -> list[Any]:
        """What the results' buffer is told of a tile of so many words."""
        told = self.slots.payload
        return [
            told.rows.eq(product.slot_rows),
            told.columns.eq(product.slot_columns),
            told.vectors.eq(product.vectors),
            told.words.eq(words),
        ]

    def _weights(self, product: data.View, at: "_At", share: "_Share", frees: Value) -> list[Any]:
        """What the weights' feed is told of a part of a tile."""
        told = self.weights.payload
        return [
            told.base.eq(share.base),
            told.origin.eq(product.weight_base),
            told.rounds.eq(at.rounds),
            told.per_word.eq(self.config.max_group),
            told.columns.eq(product.slot_columns),
            told.rows.eq(product.slot_rows),
            told.line_words.eq(product.weight_line_words),
            told.group_rounds.eq(product.group_rounds),
            told.n.eq(product.n),
            told.m.eq(product.m),
            told.frees.eq(frees),
            told.stationary.eq(at.stationary),
            told.last.eq(at.last_part),
        ]

    def _activations(self, product: data.View, at: "_At", share: "_Share", frees: Value) -> list[Any]:
        """What the activations' feed is told of it, but for columns, windows and the end."""
        told = self.activations.payload
        return [
            told.base.eq(share.base),
            told.origin.eq(product.activation_base),
            told.rounds.eq(at.rounds),
            told.per_word.eq(product.group_rounds),
            told.rows.eq(1),
            told.line_words.eq(product.activation_line_words),
            told.frees.eq(frees),
            told.word_step.eq(product.activation_word_step),
            told.last.eq(at.last_part),
            told.stationary.eq(at.stationary),
        ]

    def _tiles(self, product: data.View, at: "_At", tiles: Value, blocks: Value) -> list[Any]:
        """What the sequencer is told: of each tile, or of all at once where weights stay."""
        told = self.tiles.payload
        return [
            told.stationary.eq(at.stationary),
            told.tiles.eq(Mux(at.stationary, tiles, 1)),
            told.rounds.eq(Mux(at.stationary, blocks, product.rounds)),
            told.vectors.eq(product.vectors),
            told.group_rounds.eq(product.group_rounds),
            told.slot_rows.eq(product.slot_rows),
            told.slot_columns.eq(product.slot_columns),
            told.dense.eq(product.dense),
        ]

    def _room(self, m: Module, begun: Value, words: Value) -> Value:
        """Whether the output buffer has room for a tile of so many words, of which each that is `begun` takes its own."""
        free = Signal(self.config.count_bits, init=2 * self.config.result_buffer_words)
        tiles = Signal(range(RESULT_TILES + 1), init=RESULT_TILES)
        m.d.sync += [
            free.eq(free + Mux(self.room, self.room_words, 0) - Mux(begun, words, 0)),
            tiles.eq(tiles + self.room - begun),
        ]
        return (free >= words) & (tiles != 0)

    def _is_legal(self, product: data.View) -> Value:
        """Whether fields, each of which is within `hw.isa.bounds`, go together: see `hw.isa.checks`.

        Sums must fit beside each other. Where weights stay, parts must be whole blocks, and there must be a second share: the
        last columns use a share until the first ones are far into the next.
        """
        fits = product.slot_rows[:8] * product.slot_columns[:8] <= most_slots(self.config)
        bits = log2_or_none(self.config.columns)
        if bits is None:
            return fits
        whole = (product.inner == 1) | (product.part_rounds[:bits] == 0)
        even = (product.group_rounds & (product.group_rounds - 1)) == 0
        alone = (product.slot_rows == 1) & (product.slot_columns == 1)
        stays = (product.activation_shares != 1) & whole & even & alone
        held = product.activations_held[0] & (product.inner == 1) & (product.activation_line_words == 1)
        cut = held & (product.vectors == 0)
        return fits & (~_cuts(product) | cut) & ((product.vectors == 0) | stays)


class _Window:
    """What products with taps read: from a column's own line to those of its taps, and how many shares of lines that takes."""

    def __init__(self, m: Module, config: AcceleratorConfig, product: data.View, outer: Signal, last_outer: Value) -> None:
        self.config, self.product, self.mask_set = config, product, Signal()
        self.start, self.back = (Signal(signed(LINE_BITS), name=f"window_{name}") for name in ("start", "back"))
        width, columns = product.grid_x[:GRID_BITS], product.taps_x[: MOST_TAPS.bit_length()] - 1
        step_y, step_x, start_y, start_x = (
            product[name][: GRID_BITS + 1].as_signed() for name in ("step_y", "step_x", "start_y", "start_x")
        )
        m.d.sync += [self.start.eq(start_y * width + start_x), self.back.eq(step_y * width - columns * step_x)]
        ahead, behind, all_of = product.ahead[:8], product.behind[:8], product.outer
        self.needs, self.frees = Signal(8, name="window_needs"), Signal(8, name="window_frees")
        first = Mux(ahead < all_of, ahead + 1, all_of)
        m.d.comb += self.needs.eq(Mux(outer == 0, first, outer + ahead < all_of))
        rest = Mux(behind < all_of, behind + 1, all_of)
        m.d.comb += self.frees.eq(Mux(last_outer, rest, outer >= behind))

    def part(self, cuts: Value, last_middle: Value) -> Value:
        """See `hw.buffers.operand_feed.window_layout`."""
        product = self.product
        fields = {
            "cuts": cuts,
            "tap_words": product.tap_words,
            "taps_x": product.taps_x[: MOST_TAPS.bit_length()],
            "start": self.start,
            "along": product.step_x[: GRID_BITS + 1].as_signed(),
            "back": self.back,
            "mask_set": self.mask_set,
            "frees_masks": cuts & last_middle,
        }
        return pack(window_layout(self.config), fields)

    def grid(self) -> Value:
        """See `hw.buffers.windows.grid_layout`."""
        product = self.product
        fields = {"tiles": product.outer, "slots": product.slot_columns, "size_y": product.grid_y, "size_x": product.grid_x}
        return pack(
            grid_layout(self.config), fields | {name: product[name] for name in ("start_y", "start_x", "step_y", "step_x")}
        )


def _cuts(product: data.View) -> Value:
    """Whether a product has taps."""
    return (product.taps_y != 1) | (product.taps_x != 1)


class _Share:
    """Which share of a buffer the next part is in; what is held is gone through again from where it began."""

    def __init__(self, config: AcceleratorConfig, name: str, shares: Value, words: Value) -> None:
        bits = config.count_bits
        self.shares, self.words = shares, words
        self.number, self.base = Signal(bits, name=f"{name}_share"), Signal(bits, name=f"{name}_base")
        self.first, self.first_base = (Signal(bits, name=f"{name}_first{part}") for part in ("", "_base"))

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
