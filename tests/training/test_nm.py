"""N:M selection and packing against a sort in pure Python."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.errors import InputError
from hw.ratio import DENSE, Ratio
from training.nm import Packed, pack, select, unpack

ratios = st.sampled_from(
    [DENSE, *(Ratio(n, m) for n, m in [(1, 2), (1, 4), (2, 4), (4, 4), (2, 8), (3, 7), (4, 16), (5, 256)])]
)


@st.composite
def weights(draw, dtype=np.float16):
    """Words of few distinct magnitudes, so that ties, zeros of both signs, infinities and NaN are common."""
    shape = draw(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 40)))
    specials = [0x0000, 0x8000, 0x0001, 0x3C00, 0xBC00, 0x3C01, 0x7C00, 0xFC00, 0x7E00, 0xFE00, 0x7E01]
    word = st.one_of(st.sampled_from(specials), st.integers(0, 0xFFFF))
    size = int(np.prod(shape))
    words = draw(st.lists(word, min_size=size, max_size=size))
    return np.array(words, np.uint16).view(np.float16).reshape(shape).astype(dtype)


def naive_indices(group, ratio):
    """Ascending indices of the kept of one padded group."""
    magnitude = (group.view(np.uint16) & 0x7FFF).tolist()
    return sorted(sorted(range(ratio.m), key=lambda index: (-magnitude[index], index))[: ratio.n])


def padded_groups(row, ratio):
    padded = np.concatenate([row, np.zeros(-len(row) % ratio.m, row.dtype)])
    return padded.reshape(-1, ratio.m)


@given(values=weights(), ratio=ratios)
def test_pack_equals_a_sort(values, ratio):
    packed = pack(values, ratio)
    assert packed.values.shape == packed.indices.shape == (*values.shape[:-1], ratio.groups(values.shape[-1]), ratio.n)
    assert packed.values.dtype == values.dtype and packed.indices.dtype == np.uint8
    for where in np.ndindex(values.shape[:-1]):
        for number, group in enumerate(padded_groups(values[where], ratio)):
            expected = naive_indices(group, ratio)
            assert packed.indices[where][number].tolist() == expected
            assert packed.values[where][number].tobytes() == group[expected].tobytes()


@given(values=weights(), ratio=ratios, axis=st.integers(-3, 2))
def test_select_keeps_exactly_n_per_group_along_any_axis(values, ratio, axis):
    mask = select(values, ratio, axis)
    assert mask.shape == values.shape and mask.dtype == bool
    rows = np.moveaxis(mask, axis, -1)
    for start in range(0, rows.shape[-1], ratio.m):
        group = rows[..., start : start + ratio.m]
        assert (group.sum(-1) == min(ratio.n, group.shape[-1])).all()


@given(values=weights(), ratio=ratios)
def test_unpack_is_the_masked_weight(values, ratio):
    expected = np.where(select(values, ratio), values, np.float16(0))
    restored = unpack(pack(values, ratio), ratio, values.shape[-1])
    assert restored.tobytes() == expected.tobytes()


@given(values=weights(), ratio=ratios)
def test_binary32_containers_select_alike(values, ratio):
    quiet = np.where(np.isnan(values), np.float16("nan"), values)
    np.testing.assert_array_equal(select(quiet.astype(np.float32), ratio), select(quiet, ratio))


def test_ties_keep_the_lower_index_and_nan_is_largest():
    row = np.array([1, -1, 1, 1, np.inf, np.nan, -np.nan, 0], np.float16)
    assert select(row, Ratio(2, 4)).tolist() == [True, True, False, False, False, True, True, False]


def test_the_doctest_of_the_module():
    row = np.array([0.1, -0.9, 0.3, 0.0, 0.5, 0.5, -0.5, 0.2], np.float16)
    packed = pack(row, Ratio(2, 4))
    assert packed.indices.tolist() == [[1, 2], [0, 1]]
    assert packed.values.tolist() == row[[1, 2, 4, 5]].reshape(2, 2).tolist()


def test_map_rearranges_both():
    packed = pack(np.arange(16, dtype=np.float16).reshape(2, 8), Ratio(2, 4)).map(lambda part: part.reshape(2, -1))
    assert packed.values.shape == packed.indices.shape == (2, 4)


def test_groups_beyond_the_index_type_are_refused():
    with pytest.raises(InputError, match=r"ratio 1:257: packed indices hold groups of at most 256"):
        pack(np.zeros(3, np.float16), Ratio(1, 257))


def test_unpack_refuses_another_length():
    packed = Packed(np.zeros((2, 2), np.float16), np.zeros((2, 2), np.uint8))
    with pytest.raises(ValueError, match="is not a packed axis of 9 at 2:4"):
        unpack(packed, Ratio(2, 4), 9)


def test_a_million_weights_pack_within_a_second():
    values = np.random.default_rng(0).standard_normal((1024, 1024)).astype(np.float16)
    start = time.perf_counter()
    pack(values, Ratio(2, 8))
    assert time.perf_counter() - start < 1
