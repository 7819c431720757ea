"""Floating-point addition."""

from typing import NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.formats import FloatFormat
from hw.fp.finish import Exact, Finish
from hw.fp.pipeline import Step, check_latency, run_pipeline, wire
from hw.fp.shift import shift_right_sticky
from hw.fp.unpack import unpack


class _Operands(NamedTuple):
    a: Value
    b: Value


class _Ordered(NamedTuple):
    """The operands by magnitude."""

    big: Value
    small: Value
    sign: Value
    subtract: Value


class _Distance(NamedTuple):
    """Significands, and how far the small one lies below the big one."""

    big: Value
    small: Value
    distance: Value
    exponent: Value
    sign: Value
    subtract: Value
    is_nan: Value
    is_infinity: Value


class FloatAdd(wiring.Component):
    """``o`` = ``a`` + ``b`` as IEEE 754 has it: one rounding to nearest even, subnormals, canonical NaN.

    Parameters
    ----------
    format : FloatFormat
        Format of operands and result.
    latency_cycles : int
        Registers from operands to result, at least 0, spread over the datapath::

            a, b ─ order ─ distance ─ align ─ add ─ count zeros ─ shift left ─ round ─ o

    Members
    -------
    a, b : In(format.width)
        Operands, one pair a cycle.
    en : In(1)
        Clock enable; every register holds while it is low. Left unconnected it is high.
    o : Out(format.width)
        Sum of the operands `latency_cycles` enabled cycles before.

    Attributes
    ----------
    latency_cycles, interval_cycles : int
        Enabled cycles from operands to result, and between operands: 1.

    Notes
    -----
    The single-path adder of Muller et al., Handbook of Floating-Point Arithmetic, section 8.4. Exact cancellation gives +0.
    """

    interval_cycles = 1

    def __init__(self, format: FloatFormat, latency_cycles: int) -> None:
        check_latency(latency_cycles)
        self.format = format
        self.latency_cycles = latency_cycles
        super().__init__({"a": In(format.width), "b": In(format.width), "en": In(1, init=1), "o": Out(format.width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        finish = Finish(
            self.format,
            significand_bits=self.format.mantissa_bits + 5,
            headroom=range(1, self.format.last_exponent + 1),
            may_shift_left=True,
        )
        steps: list[Step] = [(2, self._order), (1, self._distance), (2, self._align), (1.5, self._add), *finish.steps]
        result = run_pipeline(m, self.en, self.latency_cycles, steps, _Operands(self.a, self.b))
        m.d.comb += self.o.eq(result.bits)
        return m

    def _order(self, m: Module, x: _Operands) -> _Ordered:
        """Put the operand of larger magnitude first, so that a NaN leads an infinity and both lead every number."""
        swap = wire(m, x.a[:-1] < x.b[:-1], "swap")
        return _Ordered(
            big=wire(m, Mux(swap, x.b[:-1], x.a[:-1]), "big"),
            small=wire(m, Mux(swap, x.a[:-1], x.b[:-1]), "small"),
            sign=Mux(swap, x.b[-1], x.a[-1]),
            subtract=x.a[-1] ^ x.b[-1],
        )

    def _distance(self, m: Module, x: _Ordered) -> _Distance:
        big = unpack(m, Cat(x.big, x.sign), self.format, "big")
        small = unpack(m, Cat(x.small, x.sign), self.format, "small")
        return _Distance(
            big=big.significand,
            small=small.significand,
            distance=wire(m, (big.exponent - small.exponent)[:-1], "distance"),
            exponent=big.exponent,
            sign=x.sign,
            subtract=x.subtract,
            is_nan=big.is_special & (big.has_fraction | (small.is_special & x.subtract)),
            is_infinity=big.is_special,
        )

    def _align(self, m: Module, x: _Distance) -> _Distance:
        """Shift the small significand right; guard, round and sticky bit below it are enough for one rounding."""
        small = wire(m, shift_right_sticky(m, Cat(Const(0, 2), x.small), x.distance), "aligned")
        return x._replace(small=small, distance=Const(0))

    def _add(self, m: Module, x: _Distance) -> Exact:
        """Add or subtract in one carry chain; the big significand's two's complement carry is not a result bit."""
        big = Cat(x.subtract, Const(0, 3), x.big)
        small = Cat(x.subtract, x.small ^ x.subtract.replicate(len(x.small)))
        total = wire(m, (big + small)[1:], "total")
        return Exact(
            significand=Cat(total[:-1], total[-1] & ~x.subtract),
            headroom=x.exponent,
            sign=x.sign,
            sign_if_zero=x.sign & ~x.subtract,
            is_nan=x.is_nan,
            is_infinity=x.is_infinity,
        )
