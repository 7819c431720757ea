"""Taking a stored number apart."""

from typing import NamedTuple

from amaranth.hdl import Cat, Module, Value

from hw.formats import FloatFormat
from hw.fp.pipeline import wire


class Unpacked(NamedTuple):
    """A stored number in parts.

    Its value is ``significand · 2**(exponent - bias - mantissa_bits)``, for subnormals too: their exponent is 1 and the
    significand's top bit is 0.
    """

    sign: Value
    exponent: Value
    significand: Value
    is_special: Value
    """Infinity or NaN; in a `finite` format NaN."""
    has_fraction: Value
    """The stored fraction is not zero; a special number is then NaN."""


def unpack(m: Module, bits: Value, form: FloatFormat, name: str) -> Unpacked:
    """Take the stored number `bits` apart; `name` is the prefix of the signals."""
    fraction = bits[: form.mantissa_bits]
    stored = bits[form.mantissa_bits : -1]
    is_normal = wire(m, stored.any(), f"{name}_is_normal")
    return Unpacked(
        sign=bits[-1],
        exponent=Cat(stored[0] | ~is_normal, stored[1:]),
        significand=Cat(fraction, is_normal),
        is_special=wire(m, (bits[:-1] if form.finite else stored).all(), f"{name}_is_special"),
        has_fraction=wire(m, fraction.any(), f"{name}_has_fraction"),
    )
