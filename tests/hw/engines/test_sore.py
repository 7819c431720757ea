"""The reduction engine in Amaranth's simulator, against NumPy by bits and its declared timing by cycles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_bench import join_fields, on_amaranth, on_verilog, run, split_fields

from hw.config import AcceleratorConfig
from hw.engines.sore import SORE, kept_slots
from hw.errors import InputError
from hw.ratio import Ratio, parse_ratio
from training.nm import pack

RATIOS = [parse_ratio(text) for text in ("1:4", "2:4", "1:8", "2:8", "4:8", "1:16", "2:16", "4:16")]


def config(lanes=2, *, group=16, storage="binary16"):
    return AcceleratorConfig(name="test", rows=1, columns=1, max_group=group, sore_lanes=lanes, storage=storage)


def words(config, bits, ratio):
    """Input words of an axis of elements (lanes, length), padded to whole groups as the feeder does."""
    padded = np.pad(bits, ((0, 0), (0, -bits.shape[1] % ratio.m)))
    ratio_bits = config.max_group.bit_length()
    width = config.storage_format.width
    ends = [(ratio.n, ratio_bits), (ratio.m, ratio_bits)]
    return [join_fields([*((bit, width) for bit in column), *ends]) for column in padded.T]


def expected(config, bits, ratio):
    """Packed words by NumPy. Numbers and NaN of any storage format keep their order as binary16 of the same top bits."""
    width = config.storage_format.width
    packed = pack((bits << (16 - width)).astype(np.uint16).view(np.float16), ratio)
    values = packed.values.view(np.uint16).reshape(len(bits), -1) >> (16 - width)
    indices = packed.indices.reshape(len(bits), -1)
    return [
        [field for lane in range(len(bits)) for field in (int(values[lane, word]), int(indices[lane, word]))]
        for word in range(values.shape[1])
    ]


def check(config, axes, *, max_kept=None, **options):
    """Pack one axis after another, of any ratios, in one run."""
    sent = [word for bits, ratio in axes for word in words(config, bits, ratio)]
    wanted = [word for bits, ratio in axes for word in expected(config, bits, ratio)]
    traffic = run(SORE(config, max_kept), {"i": sent}, {"o": len(wanted)}, **options)
    widths = [config.storage_format.width, config.index_bits] * config.sore_lanes
    assert [split_fields(word, widths) for word in traffic["o"].words] == wanted
    return traffic


def elements(rng, config, length):
    """Bits with many ties: few magnitudes, either sign, among them zeros, subnormals, infinities and NaN."""
    form = config.storage_format
    shape = (config.sore_lanes, length)
    special = [0, 1, 2, form.infinity - 1, form.infinity, form.quiet_nan, form.infinity + 1, form.bias << form.mantissa_bits]
    magnitude = np.where(rng.random(shape) < 0.5, rng.choice(special, shape), rng.integers(0, 1 << form.width - 1, shape))
    return magnitude | rng.integers(0, 2, shape) << form.width - 1


@pytest.mark.parametrize("stall", [0.0, 0.4])
@pytest.mark.parametrize("storage", ["binary16", "bfloat16", "float8_e4m3", "float8_e4m3fn", "float8_e5m2"])
def test_every_ratio_one_after_another_gives_numpys_bits(storage, stall):
    small, rng = config(storage=storage), np.random.default_rng(1)
    check(small, [(elements(rng, small, 40), ratio) for ratio in [*RATIOS, *RATIOS[::-1]]], stall=stall)


@settings(max_examples=12, deadline=None)
@given(
    lanes=st.integers(1, 3),
    group=st.sampled_from([2, 4, 16, 32]),
    storage=st.sampled_from(["binary16", "bfloat16", "float8_e4m3"]),
    stall=st.sampled_from([0.0, 0.3, 0.8]),
    seed=st.integers(0, 1 << 30),
    axes=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 4), st.integers(1, 50)), min_size=1, max_size=5),
)
def test_any_sequence_of_axes(lanes, group, storage, stall, seed, axes):
    some, rng = config(lanes, group=group, storage=storage), np.random.default_rng(seed)
    ratios = [(1 << min(power, group.bit_length() - 1), n, length) for power, n, length in axes]
    check(some, [(elements(rng, some, length), Ratio(min(n, m), m)) for m, n, length in ratios], stall=stall)


@pytest.mark.parametrize(
    "row, ratio, values, indices",
    [
        ([0x3C00, 0xBC00, 0x3C00, 0xBC00], "2:4", [0x3C00, 0xBC00], [0, 1]),
        ([0x8000, 0x0000, 0x0001, 0x8000], "2:4", [0x8000, 0x0001], [0, 2]),
        ([0x7C00, 0x7E00, 0xFC00, 0xFE01], "2:4", [0x7E00, 0xFE01], [1, 3]),
        ([0x3C00], "4:8", [0x3C00, 0, 0, 0], [0, 1, 2, 3]),
        ([0, 0, 0, 0, 0, 0, 0, 0x8001], "1:8", [0x8001], [7]),
    ],
    ids=["ties keep the lower index", "zeros tie, whatever the sign", "NaN beats infinity", "padding", "the last one"],
)
def test_special_values(row, ratio, values, indices):
    one = config(lanes=1)
    sent = words(one, np.array([row]), parse_ratio(ratio))
    traffic = run(SORE(one), {"i": sent}, {"o": len(values)})
    assert [split_fields(word, [16, 4]) for word in traffic["o"].words] == [list(x) for x in zip(values, indices, strict=True)]


def test_the_verilogs_bits_under_stalls():
    small, rng = config(), np.random.default_rng(5)
    check(small, [(elements(rng, small, 20), ratio) for ratio in RATIOS], stall=0.4, on=on_verilog)


@pytest.mark.parametrize(
    "ratio, on", [*((ratio, on_amaranth) for ratio in (*RATIOS, Ratio(4, 4), Ratio(1, 1))), (Ratio(2, 8), on_verilog)]
)
def test_a_word_a_cycle_and_the_declared_latency(ratio, on):
    small, rng = config(), np.random.default_rng(2)
    traffic = check(small, [(elements(rng, small, 4 * ratio.m), ratio)], on=on)
    taken, given_out = traffic["i"].cycles, traffic["o"].cycles
    assert taken == [cycle * SORE.interval_cycles for cycle in range(4 * ratio.m)]
    ends = taken[ratio.m - 1 :: ratio.m]
    assert given_out == [end + SORE.latency_cycles + word for end in ends for word in range(ratio.n)]


def test_a_stall_costs_its_own_length():
    """With words kept from leaving for a third of the time, a word still goes in nearly every cycle: M covers for N."""
    small, rng = config(), np.random.default_rng(3)
    traffic = check(small, [(elements(rng, small, 800), parse_ratio("2:8"))])
    sent = words(small, elements(rng, small, 800), parse_ratio("2:8"))
    slow = run(SORE(small), {"i": sent}, {"o": 200}, stall=0.33)
    offered = len(sent) / (1 - 0.33)
    assert slow["i"].cycles[-1] < 1.1 * offered
    assert traffic["i"].cycles[-1] == len(sent) - 1


def test_more_and_fewer_slots():
    small, rng = config(group=8), np.random.default_rng(4)
    check(small, [(elements(rng, small, 24), Ratio(n, 8)) for n in range(1, 9)], max_kept=8)
    check(small, [(elements(rng, small, 24), Ratio(1, m)) for m in (2, 8, 4)], max_kept=1)
    check(small, [(elements(rng, small, 24), Ratio(n, 5)) for n in (3, 1, 2)], max_kept=3)


@pytest.mark.parametrize("max_kept", [0, 17])
def test_slots_are_checked(max_kept):
    with pytest.raises(InputError, match=rf"max_kept must be in 1\.\.max_group, not {max_kept} \(max_group = 16\)"):
        kept_slots(config(), max_kept)
