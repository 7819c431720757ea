"""Lanes of functions with streams."""

from amaranth.hdl import Const, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.engines.functions.lane import CODE_BITS, NUMBER, FunctionLane
from hw.parts.modules import place
from hw.parts.streams import advance, join


class FunctionUnit(wiring.Component):
    """Puts P numbers a cycle through a function.

    ::

        i ─┬─► lane 0 ──┬─► o
           │   ...      │
           └─► lane P-1 ┘

    Parameters
    ----------
    config : AcceleratorConfig
        `vpu_lanes` and latencies.

    Members
    -------
    function : In(4)
        A code of `hw.isa.functions.Function`; it must hold from the first word taken to the last word offered.
    i, o : In, Out(stream of 32 × vpu_lanes)
        Numbers, binary32, and in their order results.

    Attributes
    ----------
    latency_cycles, interval_cycles : int
        Cycles from taking a word to offering its result, and from one word to the next: 1.
    """

    interval_cycles = 1

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.latency_cycles = config.function_latency_cycles
        words = stream.Signature(data.ArrayLayout(NUMBER, config.vpu_lanes))
        super().__init__({"function": In(CODE_BITS), "i": In(words), "o": Out(words)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        valid, en = Signal(), Signal()
        m.d.comb += [
            valid.eq(join(m, {self.i: Const(1)}, en)),
            en.eq(advance(m, valid, self.o, self.latency_cycles)),
        ]
        for number in range(self.config.vpu_lanes):
            lane = place(m, platform, lambda: FunctionLane(self.config), module="function_lane", name=f"lane_{number}")
            m.d.comb += [
                lane.en.eq(en),
                lane.function.eq(self.function),
                lane.a.eq(self.i.payload[number]),
                self.o.payload[number].eq(lane.o),
            ]
        return m
