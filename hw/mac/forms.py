"""What operands and sums look like between the array's edges."""

from dataclasses import dataclass

from amaranth.hdl import signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.formats import BINARY32, FloatFormat, has_exact_products

SIGNIFICAND_BITS = BINARY32.mantissa_bits + 3
"""Of a sum: two's complement, whose lowest bit weighs 2**-23, from -2 up to 2."""

PLUS, MINUS = 0, 1
"""Bits of a sum's `infinities`. Both are NaN, so that adding is their OR."""


@dataclass(frozen=True)
class ExactForms:
    """Forms for a storage format whose products are exact in binary32.

    Sums start at +0 and add such products. Each is therefore 0 or a multiple of the smallest product, which binary32 holds
    as a normal number; it is never -0; and it cannot overflow, since a sum 2**25 times the largest product no longer grows.
    No logic is spent on what cannot be.

    Parameters
    ----------
    storage : FloatFormat
        Format of operands.
    """

    storage: FloatFormat

    @property
    def scale(self) -> int:
        """Subnormals are normalised: an operand is ``1.fraction · 2**(exponent - scale)``; exponent 0 is zero."""
        return self.storage.bias + self.storage.mantissa_bits

    @property
    def sum_scale(self) -> int:
        """A sum is ``significand · 2**(exponent - sum_scale - 23)``; its exponent is 0 if it is zero.

        The sum of two operands' exponents is that of their product if that is in [0.5, 2).
        """
        return 2 * self.scale - 1

    @property
    def operand(self) -> data.StructLayout:
        """An operand: all ones in the exponent are infinity, or NaN where the top bit of the fraction is set."""
        largest = self.storage.last_exponent + self.storage.mantissa_bits
        return data.StructLayout({"fraction": self.storage.mantissa_bits, "exponent": (largest + 1).bit_length(), "sign": 1})

    @property
    def sum(self) -> data.StructLayout:
        """A sum: where `infinities` are set, the rest means nothing."""
        largest = 2 * (self.storage.last_exponent - self.storage.bias + 1) + BINARY32.mantissa_bits + 2
        return data.StructLayout(
            {
                "significand": signed(SIGNIFICAND_BITS),
                "exponent": (largest + self.sum_scale).bit_length(),
                "infinities": 2,
            }
        )


def operand_bits(storage: FloatFormat) -> int:
    """Width of an operand within the array."""
    return ExactForms(storage).operand.size if has_exact_products(storage) else storage.width


def sum_bits(storage: FloatFormat) -> int:
    """Width of a sum within the array."""
    return ExactForms(storage).sum.size if has_exact_products(storage) else BINARY32.width


def mac_ports(config: AcceleratorConfig) -> wiring.Signature:
    """The ports of a core.

    Members
    -------
    en : In(1)
        A step is taken; everything holds while it is low.
    weight, activation : In(operand_bits)
        The operands of a step.
    first, stationary, west : In(1), In(1), In(sum_bits)
        `multiply_latency_cycles` steps later: what the product is added to. It is nothing, or the sum from the west, or the
        core's own of `add_latency_cycles` steps before.
    o : Out(sum_bits)
        Their sum, `multiply_latency_cycles` + `add_latency_cycles` steps after the operands.
    """
    operand, total = operand_bits(config.storage_format), sum_bits(config.storage_format)
    return wiring.Signature(
        {
            "en": In(1),
            "weight": In(operand),
            "activation": In(operand),
            "first": In(1),
            "stationary": In(1),
            "west": In(total),
            "o": Out(total),
        }
    )
