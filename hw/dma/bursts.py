"""The splitter: from bytes that stand side by side to the bursts that AXI4 allows."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.dma.walker import least, request_layout
from hw.isa.microarchitecture import PAGE_BYTES


def burst_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Byte address in the window of the first beat, a multiple of the beat's size; beats less one."""
    return data.StructLayout({"address": config.address_bits, "beats": 8})


def window_bits(config: AcceleratorConfig) -> int:
    """Width of the length of the window, which has at most ``2 ** address_bits`` bytes."""
    return config.address_bits + 1


class Splitter(wiring.Component):
    """Cuts requests into bursts.

    Parameters
    ----------
    config : AcceleratorConfig
        Width of a beat and the longest burst.

    Members
    -------
    i : In(stream of request_layout)
        Taken while nothing is left of the one before, or with its last burst.
    window : In(window_bits)
        Bytes of the window; it begins at a multiple of 4 KiB.
    o : Out(stream of burst_layout)
        A burst a cycle, from the cycle after the request was taken.
    outside, address : Out(1), Out(32)
        For a cycle: a request went beyond the window, and the low bits of where. It is dropped.
    idle : Out(1)
        Nothing is left of the last request.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(request_layout(config))),
                "window": In(window_bits(config)),
                "o": Out(stream.Signature(burst_layout(config))),
                "outside": Out(1),
                "address": Out(32),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        beat_bytes = self.config.axi_data_bytes
        beat_bits = beat_bytes.bit_length() - 1
        page_beats = PAGE_BYTES // beat_bytes
        bits = self.config.address_bits - beat_bits
        beat, left = Signal(bits), Signal(bits + 1)  # numbers of beats

        to_page = Signal(range(page_beats + 1))
        m.d.comb += to_page.eq(page_beats - (beat & (page_beats - 1)))
        longest = least(m, "longest", to_page, Signal(9, init=self.config.axi_burst_beats, name="burst_beats"))
        count = least(m, "count", longest, left)
        m.d.comb += [
            self.o.valid.eq(left != 0),
            self.o.payload.address.eq(beat << beat_bits),
            self.o.payload.beats.eq(count - 1),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [beat.eq(beat + count), left.eq(left - count)]

        request = self.i.payload
        beats = (request.address[:beat_bits] + request.bytes + (beat_bytes - 1)) >> beat_bits
        fits = request.address + request.bytes <= self.window
        m.d.comb += [
            self.idle.eq(left == 0),
            self.i.ready.eq(self.idle | self.o.ready & (left <= longest)),
            self.outside.eq(self.i.valid & self.i.ready & ~fits),
            self.address.eq(request.address),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [beat.eq(request.address[beat_bits:]), left.eq(Mux(fits, beats, 0))]
        return m
