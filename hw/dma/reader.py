"""A reader: a walk's elements from memory, as chunks or as words of lanes."""

from functools import partial

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO, SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.dma.bursts import Splitter, burst_layout, window_bits
from hw.dma.walker import Walker, between, chunk_layout, first_lane, run_layout
from hw.formats import lowest_bits
from hw.isa.microarchitecture import OUTPUT_WORDS, REQUEST_WORDS
from hw.parts.barrel import turn_down
from hw.parts.layouts import walk_layout
from hw.parts.modules import place


def elements_layout(config: AcceleratorConfig, element_bits: int, max_elements: int) -> data.StructLayout:
    """Elements of a chunk, the first one lowest, zeros behind the last, and where in the block they belong."""
    return data.StructLayout(
        {
            "elements": data.ArrayLayout(element_bits, max_elements),
            "count": max_elements.bit_length(),
            "u": config.count_bits,
            "v": config.count_bits,
            "end_of_block": 1,
            "last": 1,
        }
    )


class Reader(wiring.Component):
    """Reads walks, one after the other.

    A burst is asked for only when the FIFO behind has room for all of it, so that no reader ever makes the port wait.

    Parameters
    ----------
    config : AcceleratorConfig
        The memory port.
    max_elements : int
        Elements of a chunk; of a word, a power of two.
    element_bits : int
        Width of an element at `o`; shorter ones from memory have zeros above.
    plain : bool
        See `hw.dma.walker.Walker`.
    words : bool
        Whether chunks are put together to words of `max_elements` lanes; a word with fewer elements has zeros behind them.

    Members
    -------
    i : In(stream of walk_layout, or, if plain, of run_layout)
        What to read.
    ar : Out(stream of burst_layout)
        Bursts.
    r : In(stream of axi_data_bits)
        Their beats, in order; always ready.
    o : Out(stream of elements_layout, or of element_bits × max_elements)
        Chunks, or words.
    window, halt : In(window_bits), In(1)
        See `Splitter`; nothing is asked for while `halt` is high, nor waited for.
    illegal, outside, address : Out(1), Out(1), Out(32)
        For a cycle: a walk that is not one, a request beyond the window, and where.
    idle, settled : Out(1)
        Nothing is inside; every beat that was asked for has come.
    waits_memory, waits_consumer : Out(1)
        In this cycle an element waits for its beat, or for room behind.

    Attributes
    ----------
    latency_cycles : int
        Cycles from a beat at `r` until its elements are offered at `o`, if nothing stands before them.
    """

    latency_cycles = 3

    def __init__(
        self, config: AcceleratorConfig, max_elements: int, element_bits: int, *, words: bool, plain: bool = False
    ) -> None:
        self.config = config
        self.max_elements = max_elements
        self.element_bits = element_bits
        self.words, self.plain = words, plain
        shape = data.ArrayLayout(element_bits, max_elements) if words else elements_layout(config, element_bits, max_elements)
        flags = ("illegal", "outside", "idle", "settled", "waits_memory", "waits_consumer")
        super().__init__(
            {
                "i": In(stream.Signature(run_layout(config) if plain else walk_layout(config))),
                "ar": Out(stream.Signature(burst_layout(config))),
                "r": In(stream.Signature(config.axi_data_bits)),
                "o": Out(stream.Signature(shape)),
                "window": In(window_bits(config)),
                "halt": In(1),
                "address": Out(32),
                **{name: Out(1) for name in flags},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        module = "plain_walker" if self.plain else f"walker_{self.max_elements}"
        make = partial(Walker, config, self.max_elements, plain=self.plain)
        walker = place(m, platform, make, module=module, name="walker")
        splitter = place(m, platform, lambda: Splitter(config), module="splitter", name="splitter")
        m.submodules.requests = requests = SyncFIFO(width=len(walker.requests.payload.as_value()), depth=REQUEST_WORDS)
        m.submodules.chunks = chunks = SyncFIFOBuffered(width=len(walker.o.payload.as_value()), depth=config.axi_fifo_beats)
        m.submodules.beats = beats = SyncFIFOBuffered(width=config.axi_data_bits, depth=config.axi_fifo_beats)
        m.submodules.out = out = SyncFIFO(width=len(Value.cast(self.o.payload)), depth=OUTPUT_WORDS)
        wiring.connect(m, wiring.flipped(self.i), walker.i)
        m.d.comb += [
            requests.w_data.eq(walker.requests.payload),
            requests.w_en.eq(walker.requests.valid),
            walker.requests.ready.eq(requests.w_rdy),
            splitter.i.payload.eq(requests.r_data),
            splitter.i.valid.eq(requests.r_rdy),
            requests.r_en.eq(splitter.i.ready),
            splitter.window.eq(self.window),
            chunks.w_data.eq(walker.o.payload),
            chunks.w_en.eq(walker.o.valid),
            walker.o.ready.eq(chunks.w_rdy),
            beats.w_data.eq(self.r.payload),
            beats.w_en.eq(self.r.valid),
            self.r.ready.eq(1),
            Value.cast(self.o.payload).eq(out.r_data),
            self.o.valid.eq(out.r_rdy),
            out.r_en.eq(self.o.ready),
            self.illegal.eq(walker.illegal),
            self.outside.eq(splitter.outside),
            self.address.eq(splitter.address),
        ]

        room = Signal(range(config.axi_fifo_beats + 1), init=config.axi_fifo_beats)
        burst = splitter.o.payload
        allowed = (room > burst.beats) & ~self.halt
        asks = Signal()
        m.d.comb += [
            self.ar.payload.eq(burst),
            self.ar.valid.eq(splitter.o.valid & allowed),
            splitter.o.ready.eq(self.ar.ready & allowed),
            asks.eq(self.ar.valid & self.ar.ready),
        ]
        freed = beats.r_en & beats.r_rdy
        m.d.sync += room.eq(room + freed - Mux(asks, burst.beats + 1, 0))

        chunk = data.View(chunk_layout(config, self.max_elements), chunks.r_data)
        waits = chunks.r_rdy & ~chunk.outside & ~beats.r_rdy
        takes, has_room = Signal(), Signal()
        m.d.comb += [
            takes.eq(chunks.r_rdy & ~waits & has_room),
            chunks.r_en.eq(takes),
            beats.r_en.eq(takes & ~chunk.outside & chunk.end_of_beat),
            self.waits_memory.eq(waits & ~self.halt),
            self.settled.eq(room + beats.level == config.axi_fifo_beats),
            self.waits_consumer.eq(chunks.r_rdy & ~waits & ~has_room),
            self.idle.eq(
                walker.idle
                & splitter.idle
                & ~requests.r_rdy
                & (chunks.level == 0)
                & ~out.r_rdy
                & (room == config.axi_fifo_beats)
            ),
        ]
        if self.words:
            first = first_lane(m, chunk, takes, self.max_elements)
            held = Signal(self.element_bits * self.max_elements)
            word = self._lanes(m, chunk, beats.r_data, first, held)
            with m.If(takes):
                m.d.sync += held.eq(Mux(chunk.end_of_word, 0, word))
            m.d.comb += has_room.eq(out.w_rdy | ~chunk.end_of_word)
            m.d.comb += [out.w_data.eq(word), out.w_en.eq(takes & chunk.end_of_word)]
        else:
            elements = self._lanes(m, chunk, beats.r_data, Const(0), Const(0, self.element_bits * self.max_elements))
            place_in_block = Cat(chunk.count, chunk.u, chunk.v, chunk.end_of_block, chunk.last)
            m.d.comb += [has_room.eq(out.w_rdy), out.w_data.eq(Cat(elements, place_in_block)), out.w_en.eq(takes)]
        return m

    def _lanes(self, m: Module, chunk: data.View, beat: Value, first: Value, held: Value) -> Signal:
        """`held` with the chunk's elements in the lanes from `first` on.

        The beat is turned once, so that its first byte is where lane 0 begins, or the lane of the beat before.
        """
        bits, lanes = self.config.axi_data_bits, Signal(self.element_bits * self.max_elements, name="lanes")
        places, end = Signal.like(chunk.offset, name="places"), Signal(range(2 * self.max_elements))
        m.d.comb += [places.eq(chunk.offset - (first << chunk.size_log2)), end.eq(first + chunk.count)]
        turned = turn_down(m, beat, places, 8, "turned")
        lowest = Const(lowest_bits(self.config.storage_format), self.element_bits)
        parts = []
        for number in range(self.max_elements):
            lane = Signal(self.element_bits, name=f"lane_{number}")
            with m.Switch(chunk.size_log2):
                for size_log2 in range(4):
                    size = 8 << size_log2
                    with m.Case(size_log2):
                        m.d.comb += lane.eq(turned[number * size % bits :][:size])
            read = Mux(chunk.outside, lowest, lane) if self.words else lane
            known = (~chunk.outside | chunk.lowest & self.words) & between(first, number, end)
            parts.append(Mux(known, read, held.word_select(number, self.element_bits)))
        m.d.comb += lanes.eq(Cat(parts))
        return lanes
