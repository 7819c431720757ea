"""Storage formats in NumPy: rounding to them, and their bits.

A *storage value* is a number that a `FloatFormat` represents. binary16 is held as ``np.float16``; every other format of
up to 32 bits is held in ``np.float32``, whose values include all of its values.
"""

import numpy as np
from numpy.typing import NDArray

from hw.errors import InputError
from hw.formats import BFLOAT16, BINARY16, BINARY32, FloatFormat, lowest_bits

Array = NDArray[np.floating]

CANONICAL_NAN = np.uint32(BINARY32.quiet_nan).view(np.float32)
"""The one NaN that an accumulation produces, 0x7FC00000."""


CHUNK = 1 << 14
"""Numbers that are rounded at a time: they stay in a core's first cache."""
SIGN, EXPONENT = np.uint32(0x80000000), np.uint32(0x7F800000)
LEAST_EXPONENT, LAST_EXPONENT = np.uint32((127 - 14) << 23), np.uint32((127 + 15) << 23)
"""Of binary16's normal numbers, as binary32 has them."""
MAGIC = np.uint32((13 << 23) + (1 << 22))
"""From the exponent's bits of 2**e to those of 3 · 2**(e + 12)."""


def storage_dtype(storage: FloatFormat) -> type[np.floating]:
    """``np.float16`` for binary16, ``np.float32`` for every other format; `InputError` where neither holds it."""
    if storage == BINARY16:
        return np.float16
    if storage.exponent_bits > BINARY32.exponent_bits or storage.mantissa_bits > BINARY32.mantissa_bits:
        raise InputError(f"format {storage.name} does not fit binary32")
    return np.float32


def to_storage(values: Array, storage: FloatFormat) -> Array:
    """Round once to a storage format: to nearest, ties to even, with subnormals; too large becomes infinity, or NaN.

    Parameters
    ----------
    values : ndarray, any shape, float16, float32 or float64
        Rounded from the precision they come in.
    storage : FloatFormat
        The format to round to.

    Returns
    -------
    ndarray, same shape, `storage_dtype(storage)`
        Representable values; a NaN is the canonical quiet NaN.
    """
    if storage == BFLOAT16 and values.dtype == np.float32:
        return _to_bfloat16(values)
    if storage != BINARY16:
        return from_bits(to_bits(values, storage), storage)
    with np.errstate(all="ignore"):
        rounded = np.asarray(values).astype(np.float16)
    nan = np.isnan(rounded)
    return np.where(nan, np.float16("nan"), rounded) if nan.any() else rounded


def round_to_binary16(values: Array) -> NDArray[np.float32]:
    """Round binary32 once to binary16 and stay in binary32: `to_storage` in a fifth of the time, as no number changes format.

    To a number of exponent e, or that of the smallest normal number, 3 · 2**(e + 12) is added and taken off again. The sum has
    a last place of 2**(e - 10), binary16's, and is rounded to it, ties to even, by the addition itself.
    """
    flat = np.ascontiguousarray(values).reshape(-1)
    result = np.empty_like(flat)
    scratch = np.empty(min(CHUNK, flat.size), np.uint32)
    for start in range(0, flat.size, CHUNK):
        part = flat[start : start + CHUNK]
        bits, rounded, magic = part.view(np.uint32), result[start : start + CHUNK], scratch[: len(part)]
        np.bitwise_and(bits, EXPONENT, out=magic)
        if magic.max() >= LAST_EXPONENT:  # may overflow, or be no number
            rounded[:] = to_storage(part, BINARY16)
            continue
        np.add(np.maximum(magic, LEAST_EXPONENT, out=magic), MAGIC, out=magic)
        np.subtract(np.add(part, magic.view(np.float32), out=rounded), magic.view(np.float32), out=rounded)
        signs, words = np.bitwise_and(bits, SIGN, out=magic), rounded.view(np.uint32)
        np.bitwise_or(words, signs, out=words)
    return result.reshape(values.shape)


def _to_bfloat16(values: Array) -> Array:
    """Of binary32, whose upper half bfloat16 is: a carry out of the significand lands in the exponent, as it should."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    rounded = (bits + (np.uint32(0x7FFF) + (bits >> 16 & 1))) & np.uint32(0xFFFF0000)
    nan = np.isnan(values)
    return np.where(nan, CANONICAL_NAN, rounded.view(np.float32)) if nan.any() else rounded.view(np.float32)


def to_bits(values: Array, storage: FloatFormat) -> NDArray[np.uint32]:
    """Round once like `to_storage` and give the bits of the result.

    The significand of a number of exponent ``e`` counts quanta of ``2**(e - mantissa_bits)``. Added to the biased
    exponent's field, its hidden one and a carry out of rounding both land where IEEE 754 wants them.
    """
    storage_dtype(storage)
    with np.errstate(invalid="ignore"):  # a signalling NaN becomes a quiet one
        wide = np.asarray(values).astype(np.float64)
    finite = np.where(np.isfinite(wide), np.abs(wide), 0.0)
    least = 1 - storage.bias
    exponent = np.maximum(np.frexp(finite)[1] - 1, least)
    quanta = np.rint(np.ldexp(finite, storage.mantissa_bits - exponent)).astype(np.int64)
    magnitude = np.where(finite == 0, 0, ((exponent - least).astype(np.int64) << storage.mantissa_bits) + quanta)
    magnitude = np.where(np.isinf(wide) | (magnitude > storage.largest), storage.infinity, magnitude)
    bits = magnitude | np.signbit(wide).astype(np.int64) << (storage.width - 1)
    nan = np.isnan(wide) | (magnitude > storage.largest)
    return np.where(nan, storage.quiet_nan, bits).astype(np.uint32)


def from_bits(bits: NDArray[np.integer], storage: FloatFormat) -> Array:
    """The storage values of bit patterns, in `storage_dtype(storage)`; every NaN becomes the canonical one."""
    patterns = np.asarray(bits, np.int64)
    magnitude = patterns & ((1 << (storage.width - 1)) - 1)
    biased = magnitude >> storage.mantissa_bits
    fraction = magnitude & ((1 << storage.mantissa_bits) - 1)
    significand = fraction + ((biased > 0).astype(np.int64) << storage.mantissa_bits)
    exponent = np.maximum(biased, 1) - storage.bias - storage.mantissa_bits
    value = np.ldexp(significand.astype(np.float64), exponent.astype(np.int32))
    value = np.where(magnitude == storage.infinity, np.inf, value)  # where infinity is NaN, the last line makes it that
    value = np.copysign(value, np.where(patterns >> (storage.width - 1) & 1, -1.0, 1.0))
    return np.where(magnitude > storage.largest, np.nan, value).astype(storage_dtype(storage))


def masked(values: Array, mask: NDArray[np.bool_]) -> Array:
    """`values` where `mask`, of their shape, else +0: bit by bit, as a branch an element would mostly be mispredicted."""
    bits = np.bitwise_and(values.view(f"i{values.itemsize}"), -mask.view(np.int8))
    return bits.view(values.dtype)


def blend(mask: NDArray[np.bool_], values: Array, others: Array) -> Array:
    """``np.where(mask, values, others)`` of one dtype and shape, bit by bit; see `masked`."""
    first, second = (operand.view(f"i{values.itemsize}") for operand in (values, others))
    return (second ^ ((first ^ second) & -mask.view(np.int8))).view(values.dtype)


def canonical(sums: NDArray[np.float32]) -> NDArray[np.float32]:
    """`sums` with every NaN replaced by the canonical one, in place."""
    nan = np.isnan(sums)
    if nan.any():
        sums[nan] = CANONICAL_NAN
    return sums


def lowest(storage: FloatFormat) -> float:
    """The number of a storage format that no other one is below."""
    return float(from_bits(np.array(lowest_bits(storage)), storage))
