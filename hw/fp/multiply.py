"""Floating-point multiplication."""

from typing import NamedTuple

from amaranth.hdl import Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.formats import FloatFormat
from hw.fp.finish import Exact, Finish
from hw.fp.pipeline import Step, check_latency, run_pipeline, wire
from hw.fp.unpack import unpack


class _Operands(NamedTuple):
    a: Value
    b: Value


class _Factors(NamedTuple):
    """Significands, and what is known of the product without them."""

    a: Value
    b: Value
    headroom: Value
    sign: Value
    is_nan: Value
    is_infinity: Value


class FloatMultiply(wiring.Component):
    """``o`` = ``a`` · ``b`` as IEEE 754 has it, rounded once from the exact product to the target format.

    Parameters
    ----------
    source, target : FloatFormat
        Format of both operands, and of the result. Where every product is exact in the target format (binary16 in binary32)
        no rounding logic is built.
    latency_cycles : int
        Registers from operands to result, at least 0, spread over the datapath::

            a, b ─ unpack ─ multiply ─ count zeros ─ shift left ─ (shift right) ─ round ─ o

    Members
    -------
    a, b : In(source.width)
        Operands, one pair a cycle.
    en : In(1)
        Clock enable; every register holds while it is low. Left unconnected it is high.
    o : Out(target.width)
        Product of the operands `latency_cycles` enabled cycles before.

    Attributes
    ----------
    latency_cycles, interval_cycles : int
        Enabled cycles from operands to result, and between operands: 1.
    """

    interval_cycles = 1

    def __init__(self, source: FloatFormat, target: FloatFormat, latency_cycles: int) -> None:
        check_latency(latency_cycles)
        self.source = source
        self.target = target
        self.latency_cycles = latency_cycles
        # The top bit of the product of two significands in [1, 2) weighs 2: one more than the sum of the exponents.
        self._rebias = self.target.bias - 2 * self.source.bias
        super().__init__({"a": In(source.width), "b": In(source.width), "en": In(1, init=1), "o": Out(target.width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        finish = Finish(
            self.target,
            significand_bits=2 * self.source.mantissa_bits + 2,
            headroom=range(2 + self._rebias, 2 * self.source.last_exponent + 1 + self._rebias),
            may_shift_left=True,
        )
        steps: list[Step] = [(1, self._unpack), (3, self._multiply), *finish.steps]
        result = run_pipeline(m, self.en, self.latency_cycles, steps, _Operands(self.a, self.b))
        m.d.comb += self.o.eq(result.bits)
        return m

    def _unpack(self, m: Module, x: _Operands) -> _Factors:
        a = unpack(m, x.a, self.source, "a")
        b = unpack(m, x.b, self.source, "b")
        is_special = wire(m, a.is_special | b.is_special, "any_is_special")
        a_is_zero = ~a.has_fraction & ~a.significand[-1]
        b_is_zero = ~b.has_fraction & ~b.significand[-1]
        is_nan_in = a.is_special & a.has_fraction | b.is_special & b.has_fraction
        return _Factors(
            a=a.significand,
            b=b.significand,
            headroom=wire(m, a.exponent + b.exponent + self._rebias, "headroom"),
            sign=a.sign ^ b.sign,
            is_nan=is_nan_in | is_special & (a_is_zero | b_is_zero),
            is_infinity=is_special,
        )

    def _multiply(self, m: Module, x: _Factors) -> Exact:
        return Exact(
            significand=wire(m, x.a * x.b, "product"),
            headroom=x.headroom,
            sign=x.sign,
            sign_if_zero=x.sign,
            is_nan=x.is_nan,
            is_infinity=x.is_infinity,
        )
