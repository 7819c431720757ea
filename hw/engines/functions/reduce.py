"""From a number to what its function's value is made of."""

from typing import NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from hw.engines.functions.table import ADDRESS_BITS
from hw.formats import BINARY32
from hw.fp.leading_zeros import count_leading_zeros
from hw.fp.pipeline import Step, wire
from hw.fp.unpack import unpack
from hw.isa.functions import (
    BASES,
    CURVE_SEGMENTS,
    CURVES,
    EXP2_BITS,
    FIXED_BITS,
    FRACTION_BITS,
    LOWER_LOGARITHMS,
    ONE,
    PLACE_BITS,
    ZERO,
    Function,
)


class Argument(NamedTuple):
    """A binary32 number."""

    a: Value


class Normal(NamedTuple):
    """A number with its leading one in place."""

    significand: Value
    exponent: Value
    sign: Value
    is_zero: Value
    is_infinity: Value
    is_nan: Value


class Fixed(NamedTuple):
    """The number, and its magnitude in fixed point."""

    fraction: Value
    exponent: Value
    fixed: Value
    is_large: Value
    sign: Value
    is_zero: Value
    is_infinity: Value
    is_nan: Value


class Reduced(NamedTuple):
    """Where the value is found; the sign that is known beforehand."""

    address: Value
    place: Value
    exponent: Value
    sign: Value
    is_nan: Value
    is_infinity: Value


class Reduction:
    """Reduces arguments of a function.

    Parameters
    ----------
    function : Value
        The code; it holds while numbers pass.
    """

    def __init__(self, function: Value) -> None:
        self.function = function

    @property
    def steps(self) -> list[Step]:
        """From `Argument` to `Reduced`."""
        return [(2.5, self._normalise), (2.5, self._fix), (2, self._reduce)]

    def _normalise(self, m: Module, x: Argument) -> Normal:
        """Subnormal numbers to a leading one; a zero keeps its zeros."""
        a = unpack(m, x.a, BINARY32, "a")
        zeros, is_zero = count_leading_zeros(m, a.significand)
        return Normal(
            significand=wire(m, (a.significand << zeros)[: FRACTION_BITS + 1], "significand"),
            exponent=wire(m, a.exponent - BINARY32.bias - zeros, "exponent"),
            sign=a.sign,
            is_zero=is_zero,
            is_infinity=a.is_special & ~a.has_fraction,
            is_nan=a.is_special & a.has_fraction,
        )

    def _fix(self, m: Module, x: Normal) -> Fixed:
        """The magnitude in segments, cut off below `PLACE_BITS` bits of a place."""
        scales = {function: curve.segments_log2 for function, curve in CURVES.items()} | {Function.EXP2: EXP2_BITS}
        scale = Signal(range(EXP2_BITS + 1))
        with m.Switch(self.function):
            for value in sorted(set(scales.values())):
                with m.Case(*(function for function, one in scales.items() if one == value)):
                    m.d.comb += scale.eq(value)
        right = wire(m, FIXED_BITS - PLACE_BITS - 1 - scale - x.exponent, "right")
        is_large = wire(m, (right < 0) & ~x.is_zero, "is_large")
        top = Cat(Const(0, FIXED_BITS - FRACTION_BITS - 1), x.significand)
        places = FIXED_BITS.bit_length()
        kept = wire(m, Mux(right[places:].any(), 0, top >> right[:places]), "kept")
        return Fixed(
            fraction=x.significand[:FRACTION_BITS],
            exponent=x.exponent,
            fixed=wire(m, Mux(x.sign, -kept, kept)[: FIXED_BITS + 1], "fixed"),
            is_large=is_large,
            sign=x.sign,
            is_zero=x.is_zero,
            is_infinity=x.is_infinity,
            is_nan=x.is_nan,
        )

    def _reduce(self, m: Module, x: Fixed) -> Reduced:
        segment, whole = x.fraction[PLACE_BITS:], x.fixed[PLACE_BITS:].as_signed()
        is_no_root = x.is_nan | x.sign & ~x.is_zero
        address, exponent, place = Signal(ADDRESS_BITS), Signal.like(x.exponent), Signal(PLACE_BITS)
        sign, is_nan, is_infinity = Signal(), Signal(), Signal()
        m.d.comb += [place.eq(x.fraction[:PLACE_BITS]), is_nan.eq(x.is_nan), is_infinity.eq(x.is_zero)]
        with m.Switch(self.function):
            with m.Case(Function.RECIPROCAL):
                found = BASES[Function.RECIPROCAL] | segment
                m.d.comb += [address.eq(Mux(x.is_infinity, ZERO, found)), exponent.eq(-x.exponent), sign.eq(x.sign)]
            with m.Case(Function.RECIPROCAL_ROOT):
                found = BASES[Function.RECIPROCAL_ROOT] + Cat(segment, x.exponent[0])
                m.d.comb += [address.eq(Mux(x.is_infinity, ZERO, found)), exponent.eq(-(x.exponent >> 1))]
                m.d.comb += [sign.eq(x.sign & x.is_zero), is_nan.eq(is_no_root)]
            with m.Case(Function.LOG2):
                m.d.comb += address.eq(BASES[Function.LOG2] | segment)
                m.d.comb += exponent.eq(x.exponent + (segment >= LOWER_LOGARITHMS))
                m.d.comb += [sign.eq(x.is_zero), is_nan.eq(is_no_root), is_infinity.eq(x.is_zero | x.is_infinity)]
            with m.Case(Function.EXP2):
                m.d.comb += address.eq(Mux(x.is_large, ZERO, BASES[Function.EXP2] | whole[:EXP2_BITS]))
                m.d.comb += [exponent.eq(whole >> EXP2_BITS), place.eq(x.fixed[:PLACE_BITS])]
                m.d.comb += is_infinity.eq(x.is_large & ~x.sign)
            with m.Default():
                m.d.comb += [address.eq(self._on_curve(m, whole, x)), place.eq(x.fixed[:PLACE_BITS]), is_infinity.eq(0)]
        return Reduced(address, place, exponent, sign, is_nan, is_infinity)

    def _on_curve(self, m: Module, whole: Value, x: Fixed) -> Value:
        """The segment of a tabulated curve."""
        base, first = Signal(ADDRESS_BITS), Signal(range(min(curve.first for curve in CURVES.values()), 0))
        with m.Switch(self.function):
            for function, curve in CURVES.items():
                with m.Case(function):
                    m.d.comb += [base.eq(curve.base), first.eq(curve.first)]
        bits = CURVE_SEGMENTS.bit_length() - 1
        offset = wire(m, whole - first, "offset")
        is_below = wire(m, Mux(x.is_large, x.sign, offset[-1]), "is_below")
        is_above = wire(m, x.is_large | offset[bits:-1].any(), "is_above")
        return Mux(is_below, ZERO, Mux(is_above, ONE, base | offset[:bits]))
