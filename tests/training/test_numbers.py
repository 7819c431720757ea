"""Number formats against ml_dtypes and against NumPy's own binary16."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.errors import InputError
from hw.formats import BFLOAT16, BINARY16, BINARY32, FLOAT8_E4M3, FLOAT8_E4M3FN, FLOAT8_E5M2, FloatFormat
from training.numbers import canonical, from_bits, round_to_binary16, storage_dtype, to_bits, to_storage

ORACLES = {
    BINARY16: np.float16,
    BFLOAT16: ml_dtypes.bfloat16,
    FLOAT8_E4M3: ml_dtypes.float8_e4m3,
    FLOAT8_E4M3FN: ml_dtypes.float8_e4m3fn,
    FLOAT8_E5M2: ml_dtypes.float8_e5m2,
}
words = st.lists(st.integers(0, 2**32 - 1), max_size=64)


def oracle_bits(values, storage):
    with np.errstate(all="ignore"):
        rounded = values.astype(ORACLES[storage])
        bits = rounded.view(f"u{storage.width // 8}").astype(np.uint32)
        return np.where(np.isnan(rounded.astype(np.float32)), storage.quiet_nan, bits)


@pytest.mark.parametrize("storage", ORACLES, ids=lambda storage: storage.name)
@given(words=words)
def test_rounding_equals_an_independent_implementation(storage, words):
    values = np.array(words, np.uint32).view(np.float32)
    for one in (values, to_storage(values, storage)):  # what is rounded stays as it is
        np.testing.assert_array_equal(to_bits(one, storage), oracle_bits(values, storage))


@pytest.mark.parametrize("storage", ORACLES, ids=lambda storage: storage.name)
def test_rounding_at_every_halfway_point_and_its_neighbours(storage):
    positive = from_bits(np.arange(storage.infinity), storage).astype(np.float64)
    halfway = ((positive[:-1] + positive[1:]) / 2).astype(np.float32)
    around = np.concatenate([halfway, np.nextafter(halfway, np.float32(0)), np.nextafter(halfway, np.float32(np.inf))])
    around = np.concatenate([around, -around])
    for values in (around, to_storage(around, storage)):
        np.testing.assert_array_equal(to_bits(values, storage), oracle_bits(around, storage))


@pytest.mark.parametrize("storage", ORACLES, ids=lambda storage: storage.name)
def test_every_pattern_survives_decode_and_encode(storage):
    bits = np.arange(1 << storage.width, dtype=np.uint32)
    magnitude = bits & ((1 << (storage.width - 1)) - 1)
    expected = np.where(magnitude > storage.largest, storage.quiet_nan, bits)
    values = from_bits(bits, storage)
    assert values.dtype == storage_dtype(storage)
    np.testing.assert_array_equal(to_bits(values, storage), expected)
    np.testing.assert_array_equal(to_bits(to_storage(values, storage), storage), expected)


@given(words=words)
def test_binary32_keeps_all_but_the_nan(words):
    bits = np.array(words, np.uint32)
    values = bits.view(np.float32)
    expected = np.where(np.isnan(values), BINARY32.quiet_nan, bits)
    np.testing.assert_array_equal(to_storage(values, BINARY32).view(np.uint32), expected)


def test_binary16_nan_and_overflow_are_silent_and_canonical():
    rounded = to_storage(np.array([np.nan, -np.nan, 65520, -65519.99], np.float32), BINARY16)
    assert rounded.view(np.uint16).tolist() == [0x7E00, 0x7E00, 0x7C00, 0xFBFF]


@given(words=words)
def test_binary16_within_binary32_is_the_same_rounding(words):
    values = np.array(words, np.uint32).view(np.float32)
    expected = to_storage(values, BINARY16).astype(np.float32)
    np.testing.assert_array_equal(round_to_binary16(values).view(np.uint32), expected.view(np.uint32))


def test_binary16_within_binary32_at_every_halfway_point_and_its_neighbours():
    """All 2**16 numbers, the middles between them, and what is next to those, in either sign; more than a chunk at once."""
    finite = np.sort(from_bits(np.arange(0x7C00), BINARY16).astype(np.float32))
    halfway = ((finite[:-1].astype(np.float64) + finite[1:]) / 2).astype(np.float32)
    around = [finite, halfway, np.nextafter(halfway, np.float32(0)), np.nextafter(halfway, np.float32(np.inf))]
    values = np.concatenate([*around, np.array([65504, 65519.996, 65520, 1e9, np.inf, np.nan, 2**-25, 1e-30], np.float32)])
    values = np.concatenate([values, -values])
    expected = to_storage(values, BINARY16).astype(np.float32)
    np.testing.assert_array_equal(round_to_binary16(values).view(np.uint32), expected.view(np.uint32))
    shaped = values[: values.size // 6 * 6].reshape(3, -1, 2)
    assert round_to_binary16(shaped).shape == shaped.shape


def test_ocp_e4m3_ends_at_448_without_infinity():
    """OFP8 specification, table 1: S.1111.110 is 448, S.1111.111 is NaN; 464 lies halfway to what would be 480, 448 is even."""
    values = np.array([448, 464, 464.01, 480, 1e9, np.inf, -464, -1e9, 2**-9, 2**-10], np.float32)
    bits = to_bits(values, FLOAT8_E4M3FN)
    assert bits.tolist() == [0x7E, 0x7E, 0x7F, 0x7F, 0x7F, 0x7F, 0xFE, 0x7F, 0x01, 0x00]
    assert from_bits(bits[[0, 8]], FLOAT8_E4M3FN).tolist() == [448, 2**-9] and np.isnan(from_bits(bits[[2]], FLOAT8_E4M3FN))
    assert from_bits(to_bits(values[:1], FLOAT8_E4M3), FLOAT8_E4M3).tolist() == [np.inf]


def test_a_format_wider_than_binary32_is_refused():
    with pytest.raises(InputError, match=r"format e11m52 does not fit binary32"):
        to_storage(np.zeros(1), FloatFormat(11, 52))


def test_canonical_nan():
    sums = np.array([0x7FC00001, 0xFFC00000, 0x80000000], np.uint32).view(np.float32)
    assert canonical(sums).view(np.uint32).tolist() == [0x7FC00000, 0x7FC00000, 0x80000000]
