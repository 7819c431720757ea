"""Updates and both packed copies in one pass, against NumPy's update and NumPy's packing along either axis."""

import numpy as np
import pytest
from stream_bench import join_fields, on_amaranth, on_verilog, run
from test_wuve import RATES, rates_word, sources, tame, update

from hw.config import AcceleratorConfig
from hw.engines.pregenerate import Pregenerate, check_pregeneration
from hw.errors import InputError
from hw.ratio import Ratio
from training.nm import pack


def config(lanes, group):
    return AcceleratorConfig(
        name="test", rows=1, columns=1, add_latency_cycles=1, max_group=group, wuve_lanes=lanes, sore_lanes=lanes
    )


def stream_order(matrix, lanes, group):
    """A matrix (output channels, input channels) in blocks, bands and columns, as the engine takes and gives it."""
    rows = max(lanes, group)
    return [
        matrix[first : first + lanes, column]
        for top in range(0, matrix.shape[0], rows)
        for left in range(0, matrix.shape[1], group)
        for first in range(top, top + rows, lanes)
        for column in range(left, left + group)
    ]


def turned_order(packed, lanes, group, ratio):
    """Rows (input channels) of backward groups, (input channels, groups, N), in the order of turned blocks."""
    deep, kept = min(lanes, group), group // ratio.m
    for top in range(0, packed.shape[1], max(lanes, group) // ratio.m):
        beside = range(top, top + max(lanes, group) // ratio.m, kept)
        for left in range(0, packed.shape[0], group):
            for first in range(left, left + group, deep):
                for number in range(kept):
                    for element in range(ratio.n):
                        yield [packed[first + lane, part + number, element] for part in beside for lane in range(deep)]


def forward_order(packed, lanes, group, ratio):
    """Rows (output channels) of forward groups, (output channels, groups, N), in the order they came."""
    rows, kept = max(lanes, group), group // ratio.m
    for top in range(0, packed.shape[0], rows):
        for left in range(0, packed.shape[1], kept):
            for first in range(top, top + rows, lanes):
                for number in range(left, left + kept):
                    for element in range(ratio.n):
                        yield packed[first : first + lanes, number, element]


def packed_words(config, order, copies, ratio):
    """Values and indices of the packed copies as words."""
    packed = pack(copies.view(np.float16), ratio)
    orders = [
        order(part, config.sore_lanes, config.max_group, ratio) for part in (packed.values.view(np.uint16), packed.indices)
    ]
    widths = (16, config.index_bits)
    return [
        join_fields(field for lane in zip(values, indices, strict=True) for field in zip(lane, widths, strict=True))
        for values, indices in zip(*orders, strict=True)
    ]


def check(config, ratio, *, blocks=(2, 3), **options):
    lanes, group = config.sore_lanes, config.max_group
    rng, shape = np.random.default_rng(1), (blocks[0] * max(lanes, group), blocks[1] * group)
    tensors = [tame(rng, shape) for _ in range(3)] + [rng.integers(0, 2, shape)]
    new = update(config, RATES, *(tensor.reshape(-1) for tensor in tensors)).reshape(*shape, 3)
    copies = np.ascontiguousarray(new[..., 2]).astype(np.uint16)

    ordered = [np.concatenate(stream_order(tensor, lanes, group)) for tensor in tensors]
    fed = sources(config, *ordered)
    masters = [np.concatenate(stream_order(new[..., field], lanes, group)).reshape(-1, lanes) for field in (0, 1, 2)]
    wanted = {
        "o_master": [
            join_fields(pair for lane in zip(*word, strict=True) for pair in zip(lane, (32, 32, 16), strict=True))
            for word in zip(*masters, strict=True)
        ],
        "o_forward": packed_words(config, forward_order, copies, ratio),
        "o_backward": packed_words(config, turned_order, np.ascontiguousarray(copies.T), ratio),
    }
    ratio_bits = group.bit_length()
    inputs = {"rates": rates_word(RATES), "ratio": join_fields([(ratio.n, ratio_bits), (ratio.m, ratio_bits)])}
    counts = {name: len(words) for name, words in wanted.items()}
    traffic = run(Pregenerate(config), fed, counts, inputs=inputs, **options)
    assert {name: traffic[name].words for name in wanted} == wanted
    return traffic


@pytest.mark.parametrize(
    "lanes, group, ratio, on",
    [
        (2, 4, Ratio(2, 4), on_amaranth),
        (2, 4, Ratio(2, 4), on_verilog),
        (2, 4, Ratio(1, 2), on_amaranth),
        (4, 2, Ratio(1, 2), on_amaranth),
    ],
)
def test_masters_and_both_copies_are_numpys_bits(lanes, group, ratio, on):
    check(config(lanes, group), ratio, stall=0.3, blocks=(2, 2), on=on)


@pytest.mark.parametrize("on", [on_amaranth, on_verilog])
def test_a_word_a_cycle_and_the_declared_latencies(on):
    small, ratio, block_words = config(2, 4), Ratio(1, 4), 8
    traffic = check(small, ratio, on=on)
    taken = traffic["i_master"].cycles
    assert taken == list(range(len(taken)))
    assert traffic["o_master"].cycles == [cycle + small.wuve_latency_cycles for cycle in taken]
    assert traffic["o_forward"].cycles == [cycle + small.forward_copy_latency_cycles for cycle in taken[ratio.m - 1 :: ratio.m]]
    first = [cycle + small.backward_copy_latency_cycles + ratio.m for cycle in taken[block_words - 1 :: block_words]]
    assert traffic["o_backward"].cycles[:: block_words // ratio.m] == first


def test_lanes_are_checked():
    wrong = AcceleratorConfig(name="test", rows=1, columns=1, wuve_lanes=4, sore_lanes=8)
    with pytest.raises(InputError, match="wuve_lanes and sore_lanes must be equal for pre-generation, not 4 and 8"):
        check_pregeneration(wrong)
    with pytest.raises(InputError, match="lanes must be a power of two from 2 on, not 3"):
        check_pregeneration(config(3, 4))
