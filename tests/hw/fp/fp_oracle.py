"""What floating-point operations give, from NumPy: native where it has the format, otherwise one rounding of a binary64."""

import ml_dtypes
import numpy as np

from hw.formats import BFLOAT16, BINARY16, BINARY32, FLOAT8_E4M3, FLOAT8_E4M3FN, FLOAT8_E5M2

DTYPES = {
    BINARY16: np.float16,
    BFLOAT16: ml_dtypes.bfloat16,
    BINARY32: np.float32,
    FLOAT8_E4M3: ml_dtypes.float8_e4m3,
    FLOAT8_E4M3FN: ml_dtypes.float8_e4m3fn,
    FLOAT8_E5M2: ml_dtypes.float8_e5m2,
}


def decode(form, bits):
    return bits.astype(f"u{form.width // 8}").view(DTYPES[form])


def encode(form, values):
    """Bits of values that the format holds exactly, every NaN as the canonical one."""
    values = values.astype(DTYPES[form])
    bits = values.view(f"u{form.width // 8}").astype(np.uint32)
    return np.where(np.isnan(values.astype(np.float64)), np.uint32(form.quiet_nan), bits)


def round_once(form, values):
    """Binary64 to the nearest value of a narrower format, ties to even.

    Written out, because a cast may go through binary32 on its way and round twice.
    """
    _, exponent = np.frexp(values)
    quantum = np.ldexp(1.0, np.maximum(exponent - 1, 1 - form.bias) - form.mantissa_bits)
    rounded = np.where(np.isfinite(values), np.rint(values / quantum) * quantum, values)
    limit = 480.0 if form == FLOAT8_E4M3FN else np.ldexp(1.0, form.bias + 1)
    beyond = np.nan if form == FLOAT8_E4M3FN else np.inf
    return np.where(np.abs(rounded) >= limit, np.copysign(beyond, rounded), rounded)


def expect(op, source, target, operands):
    """Bits of the results; `operands` has a row for each vector.

    A binary64 holds every product and conversion exactly. A sum it may round, but so finely (53 bits are more than twice the
    8 of bfloat16 and two) that the second rounding is as if it were the first.
    """
    columns = [decode(source, column) for column in np.ascontiguousarray(operands.T)]
    operation = {"mul": np.multiply, "add": np.add, "convert": np.positive}[op]
    with np.errstate(all="ignore"):
        if source == target == BINARY32:
            return encode(target, operation(*columns))
        return encode(target, round_once(target, operation(*(column.astype(np.float64) for column in columns))))
