"""A writer: words of lanes to memory, along a walk."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO, SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.dma.bursts import Splitter, burst_layout, window_bits
from hw.dma.walker import Walker, between, chunk_layout, first_lane
from hw.fp.pipeline import wire
from hw.isa.microarchitecture import REQUEST_WORDS, UNFINISHED_WALKS
from hw.parts.barrel import turn_down
from hw.parts.layouts import walk_layout
from hw.parts.modules import place
from hw.parts.selection import select

COUNT_BITS = 16
"""Of counters of beats, far more than may wait for their answers."""


def beat_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A beat to be written, and which of its bytes are."""
    return data.StructLayout({"data": config.axi_data_bits, "strobes": config.axi_data_bytes})


class Writer(wiring.Component):
    """Writes words along walks, one after the other.

    A burst is offered only when all of its beats are there, so that no writer ever makes the others wait.

    Parameters
    ----------
    config : AcceleratorConfig
        The memory port.
    lanes : int
        Elements of a word, a power of two.
    element_bits : int
        Width of a lane; of shorter elements in memory the upper bits are dropped.

    Members
    -------
    i : In(stream of Walk)
        Where to.
    words : In(stream of element_bits × lanes)
        What; a word is taken with its last element.
    aw : Out(stream of burst_layout)
        Bursts whose beats are at `w`.
    w : Out(stream of beat_layout)
        The beats of the bursts that were taken.
    b : In(9)
        Beats whose writes are answered in this cycle.
    complete : Out(1)
        For a cycle: all writes of the oldest walk are answered.
    window, halt, illegal, outside, address, idle
        As of `hw.dma.reader.Reader`.
    waits_memory, waits_words : Out(1)
        In this cycle an element waits for room behind, or for its word.
    """

    def __init__(self, config: AcceleratorConfig, lanes: int, element_bits: int) -> None:
        self.config = config
        self.lanes = lanes
        self.element_bits = element_bits
        flags = ("complete", "illegal", "outside", "idle", "waits_memory", "waits_words")
        super().__init__(
            {
                "i": In(stream.Signature(walk_layout(config))),
                "words": In(stream.Signature(data.ArrayLayout(element_bits, lanes))),
                "aw": Out(stream.Signature(burst_layout(config))),
                "w": Out(stream.Signature(beat_layout(config))),
                "b": In(9),
                "window": In(window_bits(config)),
                "halt": In(1),
                "address": Out(32),
                **{name: Out(1) for name in flags},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        walker = place(m, platform, lambda: Walker(config, self.lanes), module=f"walker_{self.lanes}", name="walker")
        splitter = place(m, platform, lambda: Splitter(config), module="splitter", name="splitter")
        depth = config.writer_beats
        m.submodules.requests = requests = SyncFIFO(width=len(walker.requests.payload.as_value()), depth=REQUEST_WORDS)
        m.submodules.chunks = chunks = SyncFIFOBuffered(width=len(walker.o.payload.as_value()), depth=depth)
        m.submodules.beats = beats = SyncFIFO(width=beat_layout(config).size, depth=depth)
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
            Value.cast(self.w.payload).eq(beats.r_data),
            self.w.valid.eq(beats.r_rdy),
            beats.r_en.eq(self.w.ready),
            self.illegal.eq(walker.illegal),
            self.outside.eq(splitter.outside),
            self.address.eq(splitter.address),
        ]

        whole, burst = Signal(range(depth + 1)), splitter.o.payload  # beats that no burst has been offered for
        allowed = (whole > burst.beats) & ~self.halt
        m.d.comb += [
            self.aw.payload.eq(burst),
            self.aw.valid.eq(splitter.o.valid & allowed),
            splitter.o.ready.eq(self.aw.ready & allowed),
        ]
        m.d.sync += whole.eq(whole + (beats.w_en & beats.w_rdy) - Mux(self.aw.valid & self.aw.ready, burst.beats + 1, 0))

        chunk, held, takes = data.View(chunk_layout(config, self.lanes), chunks.r_data), Signal(beat_layout(config)), Signal()
        pushes = ~chunk.outside & chunk.end_of_beat
        ends = self._completion(m, beats.w_en)
        full = pushes & ~beats.w_rdy | chunk.last & ~ends.w_rdy
        beat = self._beat(m, chunk, first_lane(m, chunk, takes, self.lanes))
        filled = Signal(beat_layout(config))
        m.d.comb += [
            takes.eq(chunks.r_rdy & self.words.valid & ~full),
            chunks.r_en.eq(takes),
            self.words.ready.eq(takes & chunk.end_of_word),
            filled.eq(held.as_value() | Mux(chunk.outside, 0, beat)),
            beats.w_data.eq(filled),
            beats.w_en.eq(takes & pushes),
            ends.w_en.eq(takes & chunk.last),
            self.waits_memory.eq(chunks.r_rdy & self.words.valid & full),
            self.waits_words.eq(chunks.r_rdy & ~self.words.valid),
            self.idle.eq(walker.idle & splitter.idle & ~requests.r_rdy & (chunks.level == 0) & ~beats.r_rdy & ~ends.r_rdy),
        ]
        with m.If(takes):
            m.d.sync += held.eq(Mux(pushes, 0, filled))
        return m

    def _completion(self, m: Module, makes_beat: Value) -> SyncFIFO:
        """The ends of walks, each as the number of its last beat; it leaves when as many have been answered."""
        m.submodules.ends = ends = SyncFIFO(width=COUNT_BITS, depth=UNFINISHED_WALKS)
        made, answered = Signal(COUNT_BITS), Signal(COUNT_BITS)
        m.d.sync += [made.eq(made + makes_beat), answered.eq(answered + self.b)]
        m.d.comb += [
            ends.w_data.eq(made + makes_beat),
            self.complete.eq(ends.r_rdy & ~(answered - ends.r_data)[COUNT_BITS - 1]),
            ends.r_en.eq(self.complete),
        ]
        return ends

    def _beat(self, m: Module, chunk: data.View, first: Value) -> Value:
        """The chunk's elements, from lane `first` on, where they belong in a beat, and their strobes."""
        packed, strobes = Signal(self.config.axi_data_bits), Signal(self.config.axi_data_bytes)
        end = Signal(range(2 * self.config.axi_data_bytes))
        places = Signal.like(chunk.offset, name="places")
        by_size = [self._packed(m, first, 1 << size_log2) for size_log2 in range(4)]
        with m.Switch(chunk.size_log2):
            for size_log2, value in enumerate(by_size):
                with m.Case(size_log2):
                    m.d.comb += packed.eq(value)
        m.d.comb += [
            end.eq(chunk.offset + (chunk.count << chunk.size_log2)),
            places.eq((first << chunk.size_log2) - chunk.offset),
            strobes.eq(Cat(between(chunk.offset, byte, end) for byte in range(len(strobes)))),
        ]
        turned = turn_down(m, packed, places, 8, "turned")
        return Cat(turned & Cat(strobe.replicate(8) for strobe in strobes), strobes)

    def _packed(self, m: Module, first: Value, size: int) -> Value:
        """From lane `first` on, as many elements of so many bytes as a beat has, where they stand if lane 0 begins a beat."""
        lanes = [self.words.payload[number][: 8 * size] for number in range(self.lanes)]
        lanes = [Cat(lane, Const(0, 8 * size - len(lane))) for lane in lanes]
        slots = self.config.axi_data_bytes // size
        if slots >= self.lanes:
            return Cat(lanes)
        place, beat = first[: (slots - 1).bit_length()], first[(slots - 1).bit_length() :]
        following = [slot < place for slot in range(slots - 1)] + [Const(0)]
        chosen = [wire(m, beat + later, f"beat_of_{slot}x{size}")[: len(beat)] for slot, later in enumerate(following)]
        return Cat(select(lanes[slot::slots], chosen[slot]) for slot in range(slots))
