"""Numbers in the forms that they have within the array (`hw.mac.forms`), for who plays a processing element by itself."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.formats import BINARY32, FloatFormat
from hw.mac.forms import MINUS, PLUS, ExactForms


def to_operands(storage: FloatFormat, numbers: NDArray[Any]) -> NDArray[np.uint32]:
    """Operands of numbers that the storage format holds; the shape stays."""
    forms, fraction_bits = ExactForms(storage), storage.mantissa_bits
    exponent_at, sign_at = (forms.operand[name].offset for name in ("exponent", "sign"))
    special = (1 << forms.operand["exponent"].width) - 1
    with np.errstate(invalid="ignore"):
        significand, exponent = np.frexp(np.abs(numbers).astype(np.float64))
        fraction = np.where(np.isfinite(numbers), (2 * significand - 1) * 2**fraction_bits, 0)
    field = np.where(numbers == 0, 0, exponent - 1 + forms.scale)
    field, fraction = np.where(np.isfinite(numbers), field, special), np.where(numbers == 0, 0, fraction)
    fraction = np.where(np.isnan(numbers), 1 << fraction_bits - 1, fraction)
    return fraction.astype(np.uint32) | field.astype(np.uint32) << exponent_at | np.signbit(numbers) << sign_at


def to_number(storage: FloatFormat, word: int) -> np.float32:
    """The value of a sum."""
    forms = ExactForms(storage)
    value = forms.sum.from_bits(word)
    if value.infinities:
        infinities = {1 << PLUS: np.inf, 1 << MINUS: -np.inf}
        return np.float32(infinities.get(value.infinities, np.nan))
    return np.float32(np.ldexp(value.significand, value.exponent - forms.sum_scale - BINARY32.mantissa_bits))


def to_sum(storage: FloatFormat, number: np.float32) -> int:
    """A finite sum of this value; of a power of two, the one whose significand is 1."""
    forms = ExactForms(storage)
    significand, exponent = np.frexp(np.float64(number))
    field = int(exponent) - 1 + forms.sum_scale if number else 0
    fields = {"significand": int(significand * 2 ** (BINARY32.mantissa_bits + 1)), "exponent": field, "infinities": 0}
    return int(forms.sum.const(fields).as_bits())
