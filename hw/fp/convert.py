"""Conversion between floating-point formats."""

from typing import NamedTuple

from amaranth.hdl import Module, Value, ValueLike
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.formats import FloatFormat
from hw.fp.finish import Exact, Finish
from hw.fp.pipeline import Step, check_latency, run_pipeline, wire
from hw.fp.unpack import unpack


class _Operand(NamedTuple):
    a: Value


class FloatConvert(wiring.Component):
    """``o`` = ``a`` in another format: exact where the target holds it, otherwise rounded once to nearest even.

    Parameters
    ----------
    source, target : FloatFormat
        Format of the operand, and of the result. Only the shifts and the rounding that the pair needs are built.
    latency_cycles : int
        Registers from operand to result, at least 0, spread over the datapath::

            a ─ unpack ─ count zeros ─ (shift left) ─ (shift right) ─ round ─ o

    Members
    -------
    a : In(source.width)
        Operand, one a cycle.
    en : In(1)
        Clock enable; every register holds while it is low. Left unconnected it is high.
    o : Out(target.width)
        The operand of `latency_cycles` enabled cycles before, in the target format.

    Attributes
    ----------
    latency_cycles, interval_cycles : int
        Enabled cycles from operand to result, and between operands: 1.
    """

    interval_cycles = 1

    def __init__(self, source: FloatFormat, target: FloatFormat, latency_cycles: int) -> None:
        check_latency(latency_cycles)
        self.source = source
        self.target = target
        self.latency_cycles = latency_cycles
        self._rebias = self.target.bias - self.source.bias
        super().__init__({"a": In(source.width), "en": In(1, init=1), "o": Out(target.width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        finish = Finish(
            self.target,
            significand_bits=self.source.mantissa_bits + 1,
            headroom=range(self._rebias, self.source.last_exponent + self._rebias),
            # Only subnormals have leading zeros, and theirs is the smallest headroom.
            may_shift_left=self._rebias > 0,
        )
        steps: list[Step] = [(1, self._unpack), *finish.steps]
        result = run_pipeline(m, self.en, self.latency_cycles, steps, _Operand(self.a))
        m.d.comb += self.o.eq(result.bits)
        return m

    def _unpack(self, m: Module, x: _Operand) -> Exact:
        return exact(m, x.a, self.source, self._rebias)


def exact(m: Module, bits: Value, form: FloatFormat, places: ValueLike) -> Exact:
    """The stored number `bits`, its exponent changed by `places`."""
    a = unpack(m, bits, form, "a")
    return Exact(
        significand=a.significand,
        headroom=wire(m, a.exponent - 1 + places, "headroom"),
        sign=a.sign,
        sign_if_zero=a.sign,
        is_nan=a.is_special & a.has_fraction,
        is_infinity=a.is_special,
    )
