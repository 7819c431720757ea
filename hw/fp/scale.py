"""Scaling by a power of two."""

from typing import NamedTuple

from amaranth.hdl import Module, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.formats import FloatFormat
from hw.fp.convert import exact
from hw.fp.finish import Exact, Finish
from hw.fp.pipeline import Step, check_latency, run_pipeline


class _Operands(NamedTuple):
    a: Value
    places: Value


class FloatScale(wiring.Component):
    """``o`` = ``a`` · 2**``places``, rounded once where it is subnormal: what a multiplication gives, without a multiplier.

    Parameters
    ----------
    format : FloatFormat
        Format of operand and result.
    places_bits : int
        Width of `places`, at least 1.
    latency_cycles : int
        Registers from operands to result, at least 0, spread over the datapath::

            a, places ─ unpack ─ count zeros ─ shift left ─ shift right ─ round ─ o

    Members
    -------
    a, places : In(format.width), In(signed(places_bits))
        Number and exponent, one pair a cycle.
    en : In(1)
        Clock enable; every register holds while it is low. Left unconnected it is high.
    o : Out(format.width)
        Result of the operands `latency_cycles` enabled cycles before.

    Attributes
    ----------
    latency_cycles, interval_cycles : int
        Enabled cycles from operands to result, and between operands: 1.
    """

    interval_cycles = 1

    def __init__(self, format: FloatFormat, places_bits: int, latency_cycles: int) -> None:
        check_latency(latency_cycles)
        self.format = format
        self.latency_cycles = latency_cycles
        self._reach = 1 << (places_bits - 1)
        super().__init__(
            {"a": In(format.width), "places": In(signed(places_bits)), "en": In(1, init=1), "o": Out(format.width)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        finish = Finish(
            self.format,
            significand_bits=self.format.mantissa_bits + 1,
            headroom=range(-self._reach, self.format.last_exponent - 1 + self._reach),
            may_shift_left=True,
        )
        steps: list[Step] = [(1, self._unpack), *finish.steps]
        result = run_pipeline(m, self.en, self.latency_cycles, steps, _Operands(self.a, self.places))
        m.d.comb += self.o.eq(result.bits)
        return m

    def _unpack(self, m: Module, x: _Operands) -> Exact:
        return exact(m, x.a, self.format, x.places)
