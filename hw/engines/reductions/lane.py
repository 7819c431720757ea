"""One lane's step of a reduction."""

from functools import partial

from amaranth.hdl import Const, Module, Mux, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.formats import BINARY32
from hw.fp import FloatAdd
from hw.fp.pipeline import wire
from hw.isa.reductions import PLACE_BITS
from hw.parts.delay_line import delay
from hw.parts.modules import place

PARTIAL = data.StructLayout({"value": BINARY32.width, "place": PLACE_BITS})
"""A partial result: a sum, or a maximum and the number of its term."""


class ReductionLane(wiring.Component):
    """Adds a term to a partial sum, or takes the larger of a term and a partial maximum.

    Parameters
    ----------
    config : AcceleratorConfig
        Latency.

    Members
    -------
    largest : In(1)
        Of the maximum; else sums. It holds while anything is inside.
    first : In(1)
        There is no partial result yet: a sum starts from +0.
    term, partial : In(PARTIAL), In(PARTIAL)
        The term, whose place counts in maxima alone, and what it goes to.
    o : Out(PARTIAL)
        The new partial result, of `latency_cycles` cycles before. NaN is larger than every number; of equal terms, as +0 and
        -0 are, the one of the lower place stays.

    Attributes
    ----------
    latency_cycles, interval_cycles : int
        Cycles from operands to result, and between operands: 1.
    """

    interval_cycles = 1

    def __init__(self, config: AcceleratorConfig) -> None:
        self.latency_cycles = config.vector_latency_cycles
        super().__init__({"largest": In(1), "first": In(1), "term": In(PARTIAL), "partial": In(PARTIAL), "o": Out(PARTIAL)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        make = partial(FloatAdd, BINARY32, self.latency_cycles)
        adder: FloatAdd = place(m, platform, make, module="float_add_binary32", name="add")
        wins = wire(m, self.first | self._wins(m), "wins")
        larger = Mux(wins, self.term.as_value(), self.partial.as_value())
        later = data.View(PARTIAL, delay(m, Const(1), larger, self.latency_cycles, "larger"))
        m.d.comb += [
            adder.en.eq(1),
            adder.a.eq(self.term.value),
            adder.b.eq(Mux(self.first, 0, self.partial.value)),
            self.o.value.eq(Mux(self.largest, later.value, adder.o)),
            self.o.place.eq(later.place),
        ]
        return m

    def _wins(self, m: Module) -> Value:
        """Whether the term is larger than the partial maximum, or as large and of a lower place."""
        new, old = self.term.value, self.partial.value
        new_nan, old_nan = (wire(m, x[:-1] > BINARY32.infinity, name) for x, name in ((new, "new_nan"), (old, "old_nan")))
        zeros = ~new[:-1].any() & ~old[:-1].any()
        same = wire(m, new_nan & old_nan | zeros | ~new_nan & (new == old), "same")
        above = Mux(new[-1] ^ old[-1], old[-1], (new[:-1] > old[:-1]) ^ new[-1])
        larger = ~old_nan & (new_nan | ~zeros & above)
        return Mux(same, self.term.place < self.partial.place, larger)
