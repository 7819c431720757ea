# amaranth: UnusedElaboratable=no
"""The reduction unit against NumPy, by bits, in both simulators."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_bench import any_bits, join_fields, on_amaranth, on_verilog, split_fields

from hw.config import AcceleratorConfig
from hw.engines.reductions import ReductionUnit, sizes_layout
from hw.formats import BINARY32
from hw.isa.reductions import MOST_GROUPS, ROW_SUMS, across_cycles, lanes_summed, partial_sums, result_cycles
from sim.rtl.streams import Phase
from training.reductions import largest_term, sum_terms


def config(lanes=1, add=1):
    return AcceleratorConfig(name="test", rows=1, columns=1, add_latency_cycles=add, vpu_lanes=lanes)


def draw(rng, shape, *, wild):
    """Bits of terms: of any kind, with equal ones among them, or such that sums stay finite."""
    count = int(np.prod(shape))
    if not wild:
        return rng.normal(size=shape).astype(np.float32).view(np.uint32)
    return any_bits(BINARY32, count, rng).reshape(shape)


def check(one, cases, *, seed=0, on=on_amaranth, in_turn=False, **options):
    """Reductions of (groups, terms, largest) one after the other."""
    rng, lanes = np.random.default_rng(seed), one.vpu_lanes
    bits = [draw(rng, (terms, groups, lanes), wild=largest or rng.random() < 0.3) for groups, terms, largest in cases]
    phases = []
    for (groups, terms, largest), each in zip(cases, bits, strict=True):
        words = [join_fields((value, 32) for value in word) for word in each.reshape(-1, lanes)]
        sizes = sizes_layout(one).const({"groups": groups, "terms": terms, "largest": largest, "in_turn": in_turn}).as_bits()
        phases.append(Phase({"i": words}, {"o": groups}, {"sizes": sizes}))
    traffics = on(ReductionUnit(one), phases, seed=seed, **options)
    for (groups, _, largest), each, traffic in zip(cases, bits, traffics, strict=True):
        got = np.array([split_fields(word, [32, 16] * lanes) for word in traffic["o"].words]).reshape(groups, lanes, 2)
        terms = each.view(np.float32)
        if largest:
            _, places = largest_term(terms)
            np.testing.assert_array_equal(got[..., 1], places)
            np.testing.assert_array_equal(got[..., 0], np.take_along_axis(each, places[None], axis=0)[0])
        else:
            np.testing.assert_array_equal(got[..., 0], sum_terms(terms, 1 if in_turn else 16).view(np.uint32))
    return traffics


@settings(max_examples=3, deadline=None)
@given(
    lanes=st.integers(1, 2),
    add=st.integers(1, 6),
    stall=st.sampled_from([0.0, 0.4]),
    cases=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 40), st.booleans()), min_size=1, max_size=3),
    seed=st.integers(0, 1 << 30),
)
def test_any_sizes_in_amaranths_simulator(lanes, add, stall, cases, seed):
    check(config(lanes, add), cases, seed=seed, stall=stall)


def test_all_of_the_memory_and_the_deepest_adder_in_verilog():
    """An adder of 14 cycles has just written a partial sum when its next term comes, sixteen words later."""
    cases = [(MOST_GROUPS, 18, False), (1, 100, False), (1, 33, True), (MOST_GROUPS, 17, True), (2, 1, False)]
    check(config(2, 14), cases, on=on_verilog)


def test_stalls_in_verilog():
    check(config(2, 4), [(groups, terms, terms % 2) for groups in (1, 5) for terms in (1, 3, 16, 47)], stall=0.3, on=on_verilog)


@pytest.mark.parametrize("groups, terms", [(1, 1), (1, 16), (2, 5), (3, 40)])
def test_cycles(groups, terms):
    """A word of terms a cycle; then folding takes what is declared; a word of results a cycle."""
    (traffic,) = check(config(1, 4), [(groups, terms, False)])
    taken, given = traffic["i"].cycles, traffic["o"].cycles
    assert np.diff(taken).tolist() == [ReductionUnit.interval_cycles] * (groups * terms - 1)
    assert given[0] - taken[-1] == result_cycles(groups, terms, 4)
    assert np.diff(given).tolist() == [1] * (groups - 1)
    assert ReductionUnit(config(1, 4)).latency_cycles == result_cycles(1, 16, 4)


@pytest.mark.parametrize("groups, terms", [(16, 1), (17, 4), (16, 20)])
@pytest.mark.parametrize("largest", [False, True])
def test_terms_in_turn(groups, terms, largest):
    """All go to one partial result, and nothing is folded."""
    cases = [(groups, terms, largest), (groups, 2, largest)]
    traffic, _ = check(config(2, 6), cases, in_turn=True)
    assert traffic["o"].cycles[0] - traffic["i"].cycles[-1] == result_cycles(groups, terms, 6, 1) == 10


def check_across(one, cases, *, seed=0, on=on_amaranth, **options):
    """Reductions over lanes of (rows' lengths, largest), a block of as many rows as lanes each."""
    rng, lanes = np.random.default_rng(seed), one.vpu_lanes
    summed, phases, due = lanes_summed(lanes), [], []
    for length, largest in cases:
        words = -(-length // summed)
        bits = draw(rng, (lanes, words * summed), wild=largest or rng.random() < 0.3)
        due.append(bits[:, :length])
        parts = bits.reshape(lanes, words, summed).swapaxes(0, 1).reshape(-1, summed)
        beyond = rng.integers(0, 1 << 32, (len(parts), lanes - summed))
        stream = [join_fields((int(value), 32) for value in word) for word in np.concatenate([parts, beyond], axis=1)]
        last = length - (words - 1) * summed
        sizes = {"largest": largest, "across": 1, "groups": lanes, "terms": words, "last_lanes": last}
        phases.append(Phase({"i": stream}, {"o": 1}, {"sizes": sizes_layout(one).const(sizes).as_bits()}))
    traffics = on(ReductionUnit(one), phases, seed=seed, **options)
    for (_, largest), rows, traffic in zip(cases, due, traffics, strict=True):
        got = np.array(split_fields(traffic["o"].words[0], [32, 16] * lanes)).reshape(lanes, 2)
        terms = np.ascontiguousarray(rows.T)
        if largest:
            _, places = largest_term(terms.view(np.float32))
            np.testing.assert_array_equal(got[:, 1], places)
            np.testing.assert_array_equal(got[:, 0], np.take_along_axis(terms, places[None], axis=0)[0])
        else:
            np.testing.assert_array_equal(got[:, 0], sum_terms(terms.view(np.float32), ROW_SUMS).view(np.uint32))
    return traffics


@pytest.mark.parametrize("lanes", [1, 2, 4, 16, 32])
def test_sums_and_maxima_over_lanes_have_the_same_order(lanes):
    """However many lanes hold partial results of a row, element i goes to number i mod 32; lanes behind the last count not."""
    lengths = [1, 5, 16, 17, 32, 33, 70] if lanes > 2 else [1, 3, 20, 40]
    check_across(config(lanes, 2), [(length, largest) for length in lengths for largest in (0, 1)], stall=0.2)


def test_the_deepest_adder_over_lanes_in_verilog():
    check_across(config(4, 14), [(length, length % 2) for length in (3, 4, 50, 64)], stall=0.2, on=on_verilog)


@pytest.mark.parametrize("on", [on_amaranth, on_verilog])
def test_a_reduction_goes_on_with_the_terms_of_the_next_pass(on):
    """Sums of 16, 32 and 21 terms in one order, as if they had come at once; then one by itself."""
    one, rng, groups = config(2, 6), np.random.default_rng(5), 3
    bits = draw(rng, (16 + 32 + 21 + 5, groups, 2), wild=False)
    phases, first = [], 0
    for terms, begun, goes_on in ((16, 0, 1), (32, 1, 1), (21, 1, 0), (5, 0, 0)):
        fields = {"groups": groups, "block": 2, "terms": terms, "tile": 7, "begun": begun, "goes_on": goes_on}
        words = [
            join_fields((int(value), 32) for value in bits[first + term, group])
            for tile in range(0, terms, 7)
            for block in ((0, 1), (2,))
            for term in range(tile, min(tile + 7, terms))
            for group in block
        ]
        phases.append(
            Phase({"i": words}, {"o": 0 if goes_on else groups}, {"sizes": sizes_layout(one).const(fields).as_bits()})
        )
        first += terms
    got = [traffic["o"].words for traffic in on(ReductionUnit(one), phases, stall=0.2)]
    assert [len(words) for words in got] == [0, 0, groups, groups]
    for words, terms in zip(got[2:], (bits[:69], bits[69:]), strict=True):
        values = np.array([split_fields(word, [32, 16] * 2) for word in words]).reshape(groups, 2, 2)
        np.testing.assert_array_equal(values[..., 0], sum_terms(terms.view(np.float32)).view(np.uint32))


@pytest.mark.parametrize("lanes, length", [(2, 3), (4, 30), (16, 16)])
def test_cycles_over_lanes(lanes, length):
    """A word of terms a cycle, then what is declared until a word has the result of each row."""
    (traffic,) = check_across(config(lanes, 3), [(length, 0)])
    taken, given = traffic["i"].cycles, traffic["o"].cycles
    assert np.diff(taken).tolist() == [1] * (len(taken) - 1)
    words = -(-length // lanes)
    folded = result_cycles(lanes, words, 3, partial_sums(lanes, in_turn=False, across=True))
    assert given[0] - taken[-1] == folded - 1 + across_cycles(lanes, 3)


@pytest.mark.parametrize("groups, block, terms, tile", [(5, 2, 40, 16), (3, 3, 7, 2), (4, 1, 20, 4), (1, 1, 33, 5)])
@pytest.mark.parametrize("on", [on_amaranth, on_verilog])
def test_terms_that_come_in_tiles_have_the_same_order(groups, block, terms, tile, on):
    """Tile of terms by tile, some words of all of its terms, then the next words, as sums leave the array."""
    one, rng = config(2, 6), np.random.default_rng(terms)
    bits = draw(rng, (terms, groups, 2), wild=False)
    words = [
        join_fields((int(value), 32) for value in bits[term, group])
        for first in range(0, terms, tile)
        for start in range(0, groups, block)
        for term in range(first, min(first + tile, terms))
        for group in range(start, min(start + block, groups))
    ]
    sizes = sizes_layout(one).const({"groups": groups, "block": block, "terms": terms, "tile": tile}).as_bits()
    phases = [Phase({"i": words}, {"o": groups}, {"sizes": sizes})] * 2
    for traffic in on(ReductionUnit(one), phases, stall=0.2):
        got = np.array([split_fields(word, [32, 16] * 2) for word in traffic["o"].words]).reshape(groups, 2, 2)
        np.testing.assert_array_equal(got[..., 0], sum_terms(bits.view(np.float32)).view(np.uint32))
