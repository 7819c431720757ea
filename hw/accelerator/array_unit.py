"""The array with its buffers: products of operands that loads bring, sums for the vector unit."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from amaranth.hdl import Cat, Module, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw.array.array import Element
from hw.array.stce import STCE
from hw.array.uspe import USPE
from hw.buffers.feed import Feed, slots_layout
from hw.buffers.operand_feed import OperandFeed
from hw.buffers.operands import OperandBuffer, placement_layout
from hw.buffers.results import ResultBuffer, result_tiles_layout
from hw.buffers.windows import WindowMasks
from hw.config import AcceleratorConfig
from hw.dma.reader import elements_layout
from hw.formats import BINARY32
from hw.isa.commands import Product
from hw.isa.microarchitecture import RESULT_TILES, TILE_WORDS
from hw.isa.operands import chunk_elements
from hw.parts.layouts import bound_layout
from hw.parts.modules import place
from hw.parts.streams import move


class ArrayUnit(wiring.Component):
    """Operand buffers, feed, STCE and output buffer.

    ::

        i_weights ─────► buffer ─► feed ─┐
        i_activations ─► buffer ─► feed ─┴─► STCE ─► output buffer ─► o
        i_product ─► tile loops ─► masks ────┘

    Parameters
    ----------
    config : AcceleratorConfig
        All sizes.
    element : type of Component
        Its processing element, see `hw.array.stce.STCE`.

    Members
    -------
    i_product : In(stream of Product)
        What to compute.
    i_weights_load, i_activations_load : In(stream of placement_layout)
        Where the operands of loads go.
    i_weights, i_activations : In(stream of elements_layout)
        Their chunks: a packed weight is a storage word, and its index in the word above.
    i_tiles : In(stream of result_tiles_layout)
        Results to be given on.
    o : Out(stream of 32 × vpu_lanes)
        Their words.
    beyond, illegal, idle : Out(1)
        An element was not for the buffer; a product was none; nothing is inside.
    busy, moves, waits_operands, waits_room, waits_free : Out(1)
        The array has a tile; a word enters or leaves it; it waits for operands, or for the output buffer; a load waits for a
        share.
    """

    def __init__(self, config: AcceleratorConfig, element: Element = USPE) -> None:
        self.config = config
        self.element = element
        width = config.storage_format.width
        weights, activations = (chunk_elements(config, lines) for lines in (config.rows, config.columns))
        flags = ("beyond", "illegal", "idle", "busy", "moves", "waits_operands", "waits_room", "waits_free")
        super().__init__(
            {
                "i_product": In(stream.Signature(bound_layout(config, Product))),
                "i_weights_load": In(stream.Signature(placement_layout(config))),
                "i_activations_load": In(stream.Signature(placement_layout(config))),
                "i_weights": In(stream.Signature(elements_layout(config, 2 * width, weights))),
                "i_activations": In(stream.Signature(elements_layout(config, width, activations))),
                "i_tiles": In(stream.Signature(result_tiles_layout(config))),
                "o": Out(stream.Signature(data.ArrayLayout(BINARY32.width, config.vpu_lanes))),
                **{name: Out(1) for name in flags},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        stce = place(m, platform, lambda: STCE(config, self.element), module="stce", name="stce")
        feed = place(m, platform, lambda: Feed(config), module="feed", name="feed")
        results = place(m, platform, lambda: ResultBuffer(config), module="result_buffer", name="results")
        masks = place(m, platform, lambda: WindowMasks(config), module="window_masks", name="masks")
        m.submodules.slots = slots = SyncFIFO(width=slots_layout(config).size, depth=RESULT_TILES)
        m.submodules.tiles = tiles = SyncFIFO(width=len(Value.cast(feed.tiles.payload)), depth=TILE_WORDS)
        sides = (
            self._side(m, platform, "weights", feed, stce.i_w2e),
            self._side(m, platform, "activations", feed, stce.i_n2s),
        )
        m.d.comb += [
            tiles.w_data.eq(feed.tiles.payload),
            tiles.w_en.eq(feed.tiles.valid),
            feed.tiles.ready.eq(tiles.w_rdy),
            slots.w_data.eq(feed.slots.payload),
            slots.w_en.eq(feed.slots.valid),
            feed.slots.ready.eq(slots.w_rdy),
            Value.cast(stce.i_tiles.payload).eq(tiles.r_data),
            stce.i_tiles.valid.eq(tiles.r_rdy),
            tiles.r_en.eq(stce.i_tiles.ready),
            Value.cast(results.i_slots.payload).eq(slots.r_data),
            results.i_slots.valid.eq(slots.r_rdy),
            slots.r_en.eq(results.i_slots.ready),
            feed.room.eq(results.freed),
            feed.room_words.eq(results.freed_words),
            feed.masks_full.eq(masks.full),
            masks.free.eq(sides[1].reader.masks_free),
            masks.set.eq(sides[1].reader.masks_set),
            masks.slot.eq(sides[1].reader.masks_slot),
            Value.cast(sides[1].reader.masks).eq(Value.cast(masks.o)),
            self.idle.eq(
                Cat(feed.idle, results.idle, masks.idle, ~tiles.r_rdy, ~slots.r_rdy, *(side.idle for side in sides)).all()
            ),
            self.beyond.eq(Cat(side.beyond for side in sides).any()),
            self.waits_free.eq(Cat(side.waits_free for side in sides).any()),
            self.illegal.eq(Cat(feed.illegal, results.illegal, *(side.illegal for side in sides)).any()),
            self.waits_operands.eq(feed.waits_operands),
            self.waits_room.eq(feed.waits_room),
            self.busy.eq(slots.r_rdy),
            self.moves.eq(stce.o.valid | (stce.i_w2e.valid & stce.i_w2e.ready) | (stce.i_n2s.valid & stce.i_n2s.ready)),
        ]
        move(m, self.i_product, feed.i, self.i_product.payload)
        move(m, feed.masks, masks.i, feed.masks.payload)
        move(m, stce.o, results.i, stce.o.payload)
        move(m, self.i_tiles, results.i_tiles, self.i_tiles.payload)
        move(m, results.o, self.o, results.o.payload)
        return m

    def _side(self, m: Module, platform: object, name: str, feed: Any, target: stream.Interface) -> "_Side":  # noqa: ANN401
        """Buffer and reader of one operand."""
        config, width = self.config, self.config.storage_format.width
        weights = name == "weights"
        lines, words = (
            (config.rows, config.weight_buffer_words) if weights else (config.columns, config.activation_buffer_words)
        )
        bits, memory_bits = (width + config.index_bits, 2 * width) if weights else (width, width)
        make_buffer = partial(OperandBuffer, config, lines, words, bits, memory_bits, spreads=not weights)
        buffer = place(m, platform, make_buffer, module=f"{name}_buffer", name=f"{name}_buffer")
        make_reader = partial(OperandFeed, config, lines, words, bits, weights=weights)
        reader = place(m, platform, make_reader, module=f"{name}_feed", name=f"{name}_feed")
        load, chunks, parts = getattr(self, f"i_{name}_load"), getattr(self, f"i_{name}"), getattr(feed, name)
        move(m, load, buffer.i_load, load.payload)
        move(m, chunks, buffer.i, chunks.payload)
        move(m, parts, reader.i, parts.payload)
        move(m, reader.o, target, reader.o.payload)
        m.d.comb += [
            getattr(feed, f"{name}_full").eq(buffer.full),
            buffer.free.eq(reader.free),
            Value.cast(buffer.addresses).eq(reader.addresses),
            Value.cast(reader.data).eq(buffer.o),
        ]
        return _Side(reader, buffer.idle & reader.idle, buffer.beyond, buffer.waits_free, reader.illegal)


@dataclass(frozen=True)
class _Side:
    """What the unit wants to know of an operand's buffer and reader."""

    reader: Any
    idle: Value
    beyond: Value
    waits_free: Value
    illegal: Value
