"""The scalar functions of the vector unit, bit for bit; `hw.isa.functions` has their tables.

Each maps binary32 to binary32 in four steps, all in integers but the last, which rounds once, to nearest even::

    reduce      the number to a segment, a place t in it and an exponent k
    polynomial  a parabola in t
    scale       by 2**k
    finish      round; zeros, infinities and NaN as IEEE 754 has them
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hw.isa.functions import (
    BASES,
    C2_SHIFT,
    CURVE_SEGMENTS,
    CURVES,
    EXP2_BITS,
    FIXED_BITS,
    FRACTION_BITS,
    LOWER_LOGARITHMS,
    ONE,
    PLACE_BITS,
    SEGMENT_BITS,
    ZERO,
    Function,
    table,
)
from training.exact import Float32
from training.numbers import CANONICAL_NAN

Integers = NDArray[np.int64]

PLACES = (1 << PLACE_BITS) - 1


class Number(NamedTuple):
    """A binary32 number, normalised: ``significand · 2**(exponent - 23)`` with 24 bits of significand, or zero."""

    negative: NDArray[np.bool_]
    exponent: Integers
    significand: Integers


class Reduced(NamedTuple):
    """Where a function finds its value."""

    segment: Integers
    place: Integers
    exponent: Integers


def apply(function: Function, values: Float32) -> Float32:
    """What the vector unit gives for each of `values`, of any shape; `Function.NONE` gives them as they are."""
    values = np.asarray(values, np.float32)
    if function is Function.NONE:
        return values
    number = _number(values)
    reduced = _reduce(function, number)
    p, s = _polynomial(reduced)
    if function is Function.LOG2:
        p, exponent = p + (reduced.exponent << FRACTION_BITS), np.zeros_like(p)
    else:
        exponent = reduced.exponent - s
    with np.errstate(over="ignore", under="ignore"):
        found = np.ldexp(p.astype(np.float64), exponent - FRACTION_BITS).astype(np.float32)
    return _specials(function, values, number, found)


def _number(values: Float32) -> Number:
    bits = values.view(np.uint32).astype(np.int64)
    stored, fraction = bits >> 23 & 0xFF, bits & 0x7FFFFF
    significand = fraction | (stored > 0).astype(np.int64) << 23
    zeros = 24 - np.frexp(significand.astype(np.float64))[1]  # leading ones; meaningless for 0
    zeros = np.where(significand == 0, 0, zeros).astype(np.int64)
    return Number(bits >> 31 != 0, np.maximum(stored, 1) - 127 - zeros, significand << zeros)


def _reduce(function: Function, number: Number) -> Reduced:
    if function in CURVES or function is Function.EXP2:
        return _reduce_fixed(function, number)
    fraction, exponent = number.significand & ((1 << FRACTION_BITS) - 1), number.exponent
    segment = fraction >> PLACE_BITS
    if function is Function.RECIPROCAL:
        exponent = -exponent
    elif function is Function.RECIPROCAL_ROOT:
        segment, exponent = segment | (exponent & 1) << SEGMENT_BITS, -(exponent >> 1)
    else:
        exponent = exponent + (segment >= LOWER_LOGARITHMS)
    return Reduced(BASES[function] + segment, fraction & PLACES, exponent)


def _reduce_fixed(function: Function, number: Number) -> Reduced:
    """The magnitude is cut off below the fixed point's last bit; what has more bits above it is beyond every table."""
    curve = CURVES.get(function)
    scale = curve.segments_log2 if curve else EXP2_BITS
    right = FIXED_BITS - PLACE_BITS - 1 - scale - number.exponent
    magnitude = number.significand << FIXED_BITS - FRACTION_BITS - 1 >> np.clip(right, 0, 63)
    fixed = np.where(number.negative, -magnitude, magnitude)
    whole, place = fixed >> PLACE_BITS, fixed & PLACES
    large = (right < 0) & (number.significand != 0)
    if curve is None:
        segment = BASES[function] + (whole & ((1 << EXP2_BITS) - 1))
        return Reduced(np.where(large & number.negative, ZERO, segment), place, whole >> EXP2_BITS)
    offset = whole - curve.first
    below = np.where(large, number.negative, offset < 0)
    above = np.where(large, ~number.negative, offset >= CURVE_SEGMENTS)
    segment = curve.base + (offset & (CURVE_SEGMENTS - 1))
    return Reduced(np.where(below, ZERO, np.where(above, ONE, segment)), place, np.zeros_like(place))


@lru_cache
def _coefficients() -> Integers:
    """(4, segments)."""
    return np.array([(one.c0, one.c1, one.c2, one.s) for one in table()], np.int64).T


def _polynomial(reduced: Reduced) -> tuple[Integers, Integers]:
    c0, c1, c2, s = _coefficients()[:, reduced.segment]
    slope = c1 + (c2 * reduced.place >> C2_SHIFT)
    return c0 + (slope * reduced.place >> PLACE_BITS), s


def _specials(function: Function, values: Float32, number: Number, found: Float32) -> Float32:
    """Signs, infinities and NaN."""
    zero, infinite, negative = number.significand == 0, np.isinf(values), number.negative
    endless = {
        Function.RECIPROCAL: zero,
        Function.RECIPROCAL_ROOT: zero,
        Function.LOG2: zero | infinite,
        Function.EXP2: (values >= 1 << FIXED_BITS - PLACE_BITS - EXP2_BITS) & ~negative,
    }
    if function in (Function.RECIPROCAL, Function.RECIPROCAL_ROOT):
        found = np.where(infinite, np.float32(0), found)
    if function in endless:
        found = np.where(endless[function], np.float32(np.inf), found)
    if function is Function.RECIPROCAL:
        found = np.where(negative, -found, found)
    elif function is Function.RECIPROCAL_ROOT:
        found = np.where(negative, np.where(zero, -found, CANONICAL_NAN), found)
    elif function is Function.LOG2:
        found = np.where(zero, -found, np.where(negative, CANONICAL_NAN, found))
    return np.where(np.isnan(values), CANONICAL_NAN, found).astype(np.float32)
