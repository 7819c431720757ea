"""Exact products against NumPy scalars, by bits; fast products within their derived bound."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.formats import BFLOAT16
from hw.ratio import DENSE, Ratio
from training import exact, fast
from training.nm import pack, unpack
from training.numbers import from_bits

SPECIALS = [0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x3C00, 0xBC00, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00]


def naive(weights, activations):
    """One scalar binary32 operation at a time."""
    output = np.zeros((len(weights), len(activations)), np.float32)
    with np.errstate(all="ignore"):
        for i, j in np.ndindex(output.shape):
            total = np.float32(0)
            for weight, activation in zip(weights[i], activations[j], strict=True):
                total = total + np.float32(weight) * np.float32(activation)
            output[i, j] = total
    output.view(np.uint32)[np.isnan(output)] = 0x7FC00000
    return output


def naive_packed(packed, activations, ratio):
    """Gather what each row's indices choose, then multiply as `naive`."""
    rows = []
    for values, indices in zip(packed.values, packed.indices, strict=True):
        chosen = [ratio.m * group + int(index) for group, row in enumerate(indices) for index in row]
        rows.append(naive(values.reshape(1, -1), activations[:, chosen]))
    return np.concatenate(rows)


def equal_bits(left, right):
    assert left.dtype == right.dtype == np.float32
    np.testing.assert_array_equal(left.view(np.uint32), right.view(np.uint32))


@st.composite
def matrices(draw, rate):
    """Random binary16 words; every `rate`-th is special."""
    m, n, k = draw(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 12)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))

    def words(shape):
        return np.where(rng.random(shape) < rate, rng.choice(SPECIALS, shape), rng.integers(0, 0x7C00, shape)).astype(np.uint16)

    return words((m, k)).view(np.float16), words((n, k)).view(np.float16)


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.7])
def test_dense_by_bits(rate):
    @given(operands=matrices(rate))
    def check(operands):
        equal_bits(exact.matmul(*operands), naive(*operands))

    check()


@pytest.mark.parametrize("ratio", [DENSE, Ratio(1, 4), Ratio(2, 8), Ratio(3, 5)], ids=str)
@given(seed=st.integers(0, 2**32), length=st.integers(1, 20))
def test_packed_by_bits_padding_included(ratio, seed, length):
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 0x10000, (3, length)).astype(np.uint16).view(np.float16)
    activations = rng.integers(0, 0x10000, (4, ratio.groups(length) * ratio.m)).astype(np.uint16).view(np.float16)
    packed = pack(weights, ratio)
    flat = packed.map(lambda part: part.reshape(3, -1))
    equal_bits(exact.matmul_packed(flat.values, flat.indices, activations, ratio), naive_packed(packed, activations, ratio))


def test_bfloat16_products_round_once_to_binary32():
    rng = np.random.default_rng(0)
    weights, activations = (from_bits(rng.integers(0, 0x10000, (4, 30)), BFLOAT16) for _ in range(2))
    equal_bits(exact.matmul(weights, activations), naive(weights, activations))


def test_a_padded_zero_times_infinity_is_nan():
    packed = pack(np.ones((1, 1), np.float16), Ratio(2, 4)).map(lambda part: part.reshape(1, -1))
    activations = np.array([[1, np.inf, 0, 0]], np.float16)
    result = exact.matmul_packed(packed.values, packed.indices, activations, Ratio(2, 4))
    assert result.view(np.uint32).tolist() == [[0x7FC00000]]


def test_results_do_not_depend_on_the_tiling(monkeypatch):
    rng = np.random.default_rng(1)
    weights, activations = (rng.standard_normal((rows, 24)).astype(np.float16) for rows in (7, 50))
    packed = pack(weights, Ratio(2, 8)).map(lambda part: part.reshape(7, -1))
    whole = exact.matmul(weights, activations), exact.matmul_packed(packed.values, packed.indices, activations, Ratio(2, 8))
    monkeypatch.setattr(exact, "TILE_COLUMNS", 16)
    monkeypatch.setattr(exact, "TILE_ELEMENTS", 48)
    equal_bits(exact.matmul(weights, activations), whole[0])
    equal_bits(exact.matmul_packed(packed.values, packed.indices, activations, Ratio(2, 8)), whole[1])


@pytest.mark.parametrize("backend", [exact, fast])
@pytest.mark.parametrize("shape", [(0, 3, 2), (3, 0, 2), (3, 2, 0), (0, 0, 0)])
def test_empty_shapes_are_positive_zeros(backend, shape):
    m, n, k = shape
    result = backend.matmul(np.ones((m, k), np.float16), np.ones((n, k), np.float16))
    packed = pack(np.ones((m, k), np.float16), Ratio(1, 2)).map(lambda part: part.reshape(m, part.shape[1]))
    activations = np.ones((n, 2 * Ratio(1, 2).groups(k)), np.float16)
    sparse = backend.matmul_packed(packed.values, packed.indices, activations, Ratio(1, 2))
    for output in (result, sparse):
        assert output.shape == (m, n) and not output.view(np.uint32)[:, :0].any()
    if k == 0:
        assert not result.view(np.uint32).any() and not sparse.view(np.uint32).any()


def test_shapes_that_do_not_meet_are_refused():
    with pytest.raises(ValueError, match="reductions differ"):
        exact.matmul(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="do not pack"):
        exact.matmul_packed(np.zeros((2, 3)), np.zeros((2, 3), np.uint8), np.zeros((2, 8)), Ratio(2, 8))


@pytest.mark.parametrize("k", [1, 7, 288, 4096])
def test_fast_within_the_derived_bound(k):
    rng = np.random.default_rng(k)
    weights, activations = (rng.standard_normal((rows, k)).astype(np.float16) for rows in (16, 40))
    absolute = np.abs(weights).astype(np.float64) @ np.abs(activations).astype(np.float64).T
    difference = np.abs(fast.matmul(weights, activations).astype(np.float64) - exact.matmul(weights, activations))
    assert (difference <= fast.fast_error_bound(k, absolute)).all()


def test_the_bound_catches_a_dropped_term():
    """A check that can fail: one missing product of a thousand exceeds the bound of most outputs."""
    rng = np.random.default_rng(3)
    weights, activations = (rng.standard_normal((8, 1000)).astype(np.float16) for _ in range(2))
    absolute = np.abs(weights).astype(np.float64) @ np.abs(activations).astype(np.float64).T
    difference = np.abs(fast.matmul(weights[:, 1:], activations[:, 1:]).astype(np.float64) - exact.matmul(weights, activations))
    assert (difference > fast.fast_error_bound(1000, absolute)).mean() > 0.5


def test_the_bound_by_its_formula():
    """Of 2¹⁰ products gamma is 2⁻¹⁴ / (1 - 2⁻¹⁴), twice over; and of sums of zeros half a subnormal a term and sum are left."""
    assert fast.fast_error_bound(1 << 10, np.array([0.0, 3.0])) == pytest.approx([2.0**-139, 6 / (2**14 - 1)], rel=1e-12, abs=0)


def test_fast_packed_equals_fast_dense_of_the_masked_weight():
    rng = np.random.default_rng(2)
    ratio = Ratio(2, 8)
    weights, activations = (rng.standard_normal((rows, 64)).astype(np.float16) for rows in (12, 30))
    packed = pack(weights, ratio)
    flat = packed.map(lambda part: part.reshape(12, -1))
    sparse = fast.matmul_packed(flat.values, flat.indices, activations, ratio)
    np.testing.assert_array_equal(sparse, fast.matmul(unpack(packed, ratio, 64), activations))
