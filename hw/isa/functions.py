"""The scalar functions of the vector unit: their codes, and the tables that define their bits (plain Python).

A function is a parabola on each of its *segments*. With t, the place in the segment, as an integer of `PLACE_BITS` bits::

    p = c0 + ((c1 + (c2 * t >> C2_SHIFT)) * t >> PLACE_BITS)        shifts round towards minus infinity
    value = p * 2**(k - s - FRACTION_BITS)

where k comes from the argument's exponent and s from the segment. `training.functions` says the rest: how a number becomes
segment, t and k, and what becomes of zeros, infinities and NaN.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal, localcontext
from enum import IntEnum
from functools import lru_cache

PLACE_BITS = 17
"""Bits of a place in a segment."""

FIXED_BITS = 30
"""Bits of the magnitude of a number that is brought to a fixed point, in segments, `PLACE_BITS` of them below it."""

FRACTION_BITS = 23
"""Bits of p below its binary point: those of binary32."""

C2_SHIFT = 13
"""A unit of c2 is 2**(PLACE_BITS - C2_SHIFT) of c1's."""

SEGMENT_BITS = 6
"""Segments of a binade, as a power of two."""

EXP2_BITS = 5
"""Segments between two integers in `Function.EXP2`, as a power of two."""

LOWER_LOGARITHMS = 27
"""Segments of `Function.LOG2` that hold log2(m); those of larger m hold log2(m) - 1, so that numbers below 1 lose no digits."""

CURVE_SEGMENTS = 256
"""Segments of each `Curve`."""

WIDTHS = (25, 24, 18, 5)
"""Bits of c0, c1, c2, signed, and of s."""

DIGITS = 36
"""Decimal digits with which the tables are computed, by operations that round correctly on every machine."""

PI = Decimal("3.14159265358979323846264338327950288419716939937510582")


class Function(IntEnum):
    """What a number goes through."""

    NONE = 0
    RECIPROCAL = 1
    RECIPROCAL_ROOT = 2
    EXP2 = 3
    LOG2 = 4
    NORMAL = 5
    """Φ(x), the normal distribution: GELU is x · Φ(x)."""
    GELU_SLOPE = 6
    NORMAL_TANH = 7
    """Φ(x) as GELU's tanh form has it."""
    GELU_TANH_SLOPE = 8
    SIGMOID = 9
    """1 / (1 + exp(-x)): SiLU is x times it."""
    SILU_SLOPE = 10


ACTIVATIONS = {
    "gelu": (Function.NORMAL, Function.GELU_SLOPE),
    "gelu_tanh": (Function.NORMAL_TANH, Function.GELU_TANH_SLOPE),
    "silu": (Function.SIGMOID, Function.SILU_SLOPE),
}
"""What an activation multiplies its input by, and its derivative."""


def described() -> str:
    """All codes with their names."""
    return ", ".join(f"{one.value} {one.name.lower().replace('_', ' ')}" for one in Function)


@dataclass(frozen=True)
class Curve:
    """A function that is tabulated from `first` on, and is 0 below and 1 above.

    Parameters
    ----------
    base : int
        Its first segment's place in the table.
    segments_log2 : int
        Segments between two integers, as a power of two.
    first : int
        Where it begins, in segments.
    zero : str or None
        Where it is 0.
    value : callable
        The function.
    """

    base: int
    segments_log2: int
    first: int
    zero: str | None
    value: Callable[[Decimal], Decimal]


@lru_cache
def _normal(x: Decimal) -> tuple[Decimal, Decimal]:
    """Φ(x) and its density: Φ = 1/2 + φ (x + x³/3 + x⁵/15 + …)."""
    density = (-x * x / 2).exp() / (2 * PI).sqrt()
    term = total = x
    odd = 1
    while abs(term) > Decimal(10) ** -DIGITS:
        odd += 2
        term *= x * x / odd
        total += term
    return Decimal("0.5") + density * total, density


def _gelu_slope(x: Decimal) -> Decimal:
    below, density = _normal(x)
    return below + x * density


def _sigmoid(x: Decimal) -> Decimal:
    return 1 / (1 + (-x).exp())


def _silu_slope(x: Decimal) -> Decimal:
    below = _sigmoid(x)
    return below * (1 + x * (1 - below))


def _normal_tanh(x: Decimal) -> Decimal:
    """``(1 + tanh u) / 2`` with ``u = sqrt(2 / π) (x + 0.044715 x³)``."""
    return _sigmoid((8 / PI).sqrt() * (x + Decimal("0.044715") * x**3))


def _gelu_tanh_slope(x: Decimal) -> Decimal:
    below = _normal_tanh(x)
    return below + x * below * (1 - below) * (8 / PI).sqrt() * (1 + 3 * Decimal("0.044715") * x * x)


CURVES: dict[Function, Curve] = {
    Function.NORMAL: Curve(0, 4, -128, None, lambda x: _normal(x)[0]),
    Function.GELU_SLOPE: Curve(256, 4, -128, "-0.751791524693564457", _gelu_slope),
    Function.NORMAL_TANH: Curve(512, 4, -128, None, _normal_tanh),
    Function.GELU_TANH_SLOPE: Curve(768, 4, -128, "-0.752461422", _gelu_tanh_slope),
    Function.SIGMOID: Curve(1024, 3, -168, None, _sigmoid),
    Function.SILU_SLOPE: Curve(1280, 3, -168, "-1.278464542761073795", _silu_slope),
}

BASES = {Function.RECIPROCAL_ROOT: 1536, Function.RECIPROCAL: 1664, Function.LOG2: 1728, Function.EXP2: 1792}
"""First segments of the functions that repeat themselves in every binade, or between all integers."""

ZERO, ONE = 1824, 1825
"""Segments that are 0 and 1 throughout: what is beyond a function's table."""


@dataclass(frozen=True)
class Segment:
    """Coefficients of a parabola, see `WIDTHS`."""

    c0: int
    c1: int
    c2: int
    s: int

    @property
    def fits(self) -> bool:
        """Whether its coefficients can be stored."""
        pairs = zip((self.c0, self.c1, self.c2), WIDTHS, strict=False)
        return all(-(1 << width - 1) <= value < 1 << width - 1 for value, width in pairs)

    @property
    def word(self) -> int:
        """As it stands in the table, c0 lowest."""
        word = position = 0
        for value, width in zip((self.c0, self.c1, self.c2, self.s), WIDTHS, strict=True):
            word |= (value & ((1 << width) - 1)) << position
            position += width
        return word


@lru_cache
def table() -> tuple[Segment, ...]:
    """Every segment, in the order of their places."""
    with localcontext() as context:
        context.prec = DIGITS
        found = [segment for curve in CURVES.values() for segment in _curve(curve)]
        found += _even(lambda x: 1 / x.sqrt(), Decimal(1), Decimal(1), SEGMENT_BITS)
        found += _even(lambda x: 1 / x.sqrt(), Decimal(2), Decimal(2), SEGMENT_BITS)
        found += _even(lambda x: 1 / x, Decimal(1), Decimal(1), SEGMENT_BITS)
        logarithms = [_log2, lambda x: _log2(x) - 1]
        for number in range(1 << SEGMENT_BITS):
            start = 1 + Decimal(number) / (1 << SEGMENT_BITS)
            value = logarithms[number >= LOWER_LOGARITHMS]
            found.append(_parabola(value, start, Decimal(1) / (1 << SEGMENT_BITS), scaled=False))
        found += _even(lambda x: (x * Decimal(2).ln()).exp(), Decimal(0), Decimal(1), EXP2_BITS)
    return (*found, Segment(0, 0, 0, 0), Segment(1 << FRACTION_BITS, 0, 0, 0))


def _log2(x: Decimal) -> Decimal:
    return x.ln() / Decimal(2).ln()


def _even(value: Callable[[Decimal], Decimal], start: Decimal, length: Decimal, bits: int) -> Iterator[Segment]:
    """An interval in 2**bits segments."""
    step = length / (1 << bits)
    return (_parabola(value, start + number * step, step) for number in range(1 << bits))


def _curve(curve: Curve) -> Iterator[Segment]:
    step = Decimal(1) / (1 << curve.segments_log2)
    zero = None if curve.zero is None else Decimal(curve.zero)
    return (_parabola(curve.value, (curve.first + number) * step, step, zero) for number in range(CURVE_SEGMENTS))


def _parabola(
    value: Callable[[Decimal], Decimal], start: Decimal, step: Decimal, zero: Decimal | None = None, *, scaled: bool = True
) -> Segment:
    """With the largest s for which all coefficients fit.

    Through both ends of a segment and its middle, so that segments meet; or, where it has a zero, through that and two places
    between which and the ends the relative error is spread evenly (Chebyshev).
    """
    nodes = [Decimal(0), Decimal("0.5"), Decimal(1)]
    if zero is not None and start < zero < start + step:
        edge = (2 - Decimal(2).sqrt()) / 4
        nodes = [edge, (zero - start) / step, 1 - edge]
    first, middle, last = (value(start + node * step) for node in nodes)
    chord = (middle - first) / (nodes[1] - nodes[0])
    bend = ((last - middle) / (nodes[2] - nodes[1]) - chord) / (nodes[2] - nodes[0])
    ends = [first + (end - nodes[0]) * (chord + bend * (end - nodes[1])) for end in (0, 1)]
    for s in reversed(range(1 << WIDTHS[3] if scaled else 1)):
        c2 = _rounded(bend * 2 ** (FRACTION_BITS + s - PLACE_BITS + C2_SHIFT))
        c0, end = (_rounded(side * 2 ** (FRACTION_BITS + s)) for side in ends)
        segment = Segment(c0, end - c0 - (c2 << PLACE_BITS - C2_SHIFT), c2, s)
        if abs(end) <= 2 << FRACTION_BITS and segment.fits:
            break
    return segment


def _rounded(value: Decimal) -> int:
    """To nearest, ties to even."""
    return int(value.to_integral_value())
