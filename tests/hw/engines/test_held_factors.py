"""Held factors in Amaranth's simulator and Verilog: each comes once, and is used as NumPy's executor says."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_bench import join_fields, on_amaranth, on_verilog, split_fields

from hw.config import AcceleratorConfig
from hw.engines.held_factors import HeldFactors, held_layout
from hw.isa.bits import PassOption, PassStep
from hw.isa.commands import Pass, Source
from hw.isa.microarchitecture import HELD_WORDS
from sim.rtl.streams import Phase
from training.machine.vector import factors_of, words_of

BOTH = PassOption.SHIFT_FACTOR | PassOption.SCALE_FACTOR
PAIRS, THIRD = PassStep.SCALE | PassStep.SHIFT, PassStep.MULTIPLY | PassStep.THIRD


def config(lanes):
    return AcceleratorConfig(name="test", rows=1, columns=1, vpu_lanes=lanes)


def channels(words, block, columns, tile, steps=PAIRS | THIRD):
    """A pass whose factors are channels'."""
    fields = {"held": words, "held_block": block, "columns": columns, "column_tile": tile}
    return Pass(words=max(words, 1) * columns, steps=steps, options=BOTH, **fields)


def rows(count, block, steps=PAIRS | THIRD):
    """A pass whose factors are rows'."""
    return Pass(words=count, steps=steps, options=BOTH | PassOption.BY_ROW, held=1, held_block=block)


def repeated(blocks, terms, lanes, block=1, steps=PAIRS | THIRD):
    """A pass over blocks of as many rows as lanes, part after part of all of them."""
    return replace(
        rows(blocks * terms * lanes * block, block, steps), options=BOTH | PassOption.BY_ROW | PassOption.ACROSS, terms=terms
    )


def check(passes, lanes=1, on=on_amaranth, **options):
    """Factors of one pass after another, each drawn at random, against what NumPy's executor uses."""
    rng, phases, due = np.random.default_rng(len(passes)), [], []
    for step in passes:
        fields = {"words": step.held, "block": step.held_block, "columns": step.columns, "column_tile": step.column_tile}
        kinds = {"uses": step.words, "pairs": int(bool(step.steps & PAIRS)), "third": int(bool(step.steps & THIRD))}
        kinds["by_row"] = int(bool(step.options & PassOption.BY_ROW))
        kinds["times"] = step.terms if step.options & PassOption.ACROSS else 1
        held = held_layout(config(lanes)).const(fields | kinds).as_bits()
        taken = rng.integers(0, 1 << 63, (words_of(config(lanes), step, Source.FACTORS), lanes), dtype=np.uint64)
        used = factors_of(step, (step.words, lanes), taken)
        due.append([part for part, used_by in zip(used, (PAIRS, PAIRS, THIRD), strict=True) if step.steps & used_by])
        words = [join_fields((int(number), 64) for number in word) for word in taken]
        phases.append(Phase({}, {}, {"begin": 1, "held": held}))
        phases.append(Phase({"i": words}, {"o": step.words}, {"begin": 0, "held": held}))
    traffics = on(HeldFactors(config(lanes)), phases, **options)[1::2]
    for step, wanted, traffic in zip(passes, due, traffics, strict=True):
        found = np.array([split_fields(word, [32] * 3 * lanes) for word in traffic["o"].words], np.uint32)
        parts = [found[:, place::3] for place in ((0, 1) if step.steps & PAIRS else ()) + ((2,) if step.steps & THIRD else ())]
        np.testing.assert_array_equal(parts, wanted)
    return traffics


def streamed(count, steps=PAIRS | THIRD):
    """A pass each of whose words has factors of its own."""
    return Pass(words=count, steps=steps, options=BOTH)


KINDS = st.sampled_from([PAIRS, THIRD, PAIRS | THIRD])
CHANNELS = st.builds(channels, st.integers(1, 6), st.integers(1, 4), st.integers(1, 7), st.integers(1, 4), KINDS)
ROWS = st.builds(rows, st.integers(1, 20), st.integers(1, 4), KINDS)
STREAMED = st.builds(streamed, st.integers(1, 12), KINDS)


@settings(max_examples=8, deadline=None)
@given(
    passes=st.lists(st.one_of(CHANNELS, ROWS, STREAMED), min_size=1, max_size=4),
    lanes=st.sampled_from([1, 2]),
    stall=st.sampled_from([0.0, 0.4]),
    seed=st.integers(0, 1 << 30),
)
def test_any_sizes(passes, lanes, stall, seed):
    check(passes, lanes, stall=stall, seed=seed)


def test_all_of_the_memory_in_verilog():
    passes = [
        channels(HELD_WORDS, 100, 3, 2),
        channels(1, 1, 5, 2),
        rows(11, 3),
        channels(7, 7, 3, 1),
        rows(8, 1, THIRD),
        streamed(9),
    ]
    passes += [repeated(3, 4, 2), rows(5, 2), repeated(1, 3, 2, 2, THIRD)]
    check(passes, 2, on=on_verilog, stall=0.2)


@pytest.mark.parametrize("step", [channels(1, 1, 9, 9, PAIRS), rows(9, 9, PAIRS)])
def test_a_word_a_cycle(step):
    (traffic,) = check([step])
    assert np.diff(traffic["o"].cycles).tolist() == [HeldFactors.interval_cycles] * 8
    assert traffic["o"].cycles[0] == traffic["i"].cycles[0] + HeldFactors.latency_cycles


def test_without_sizes_each_word_is_used_once():
    """Its first number, which is all of these, is b and c."""
    (traffic,) = on_amaranth(HeldFactors(config(1)), [Phase({"i": [3, 1, 4]}, {"o": 3}, {"begin": 0, "held": 0})])
    assert traffic["o"].words == [number | number << 64 for number in (3, 1, 4)]
    assert traffic["o"].cycles == traffic["i"].cycles


def used(step, numbers):
    """Which factor each word of one lane uses."""
    taken = np.array(numbers, np.uint64)[:, None]
    return factors_of(step, (step.words, 1), taken)[0].ravel().tolist()


def test_the_order_of_tiles():
    """Three words of rows, two to a tile; three columns, two to a tile; and once more."""
    step = channels(3, 2, 3, 2, PAIRS)
    assert used(step, [0, 1, 2]) == [0, 1, 0, 1, 2, 2, 0, 1, 2]
    twice = Pass(words=18, steps=PAIRS, options=BOTH, held=3, held_block=2, columns=3, column_tile=2)
    assert used(twice, [0, 1, 2]) == used(step, [0, 1, 2]) * 2


def test_rows_one_after_the_other():
    assert used(rows(5, 2, PAIRS), [7, 8, 9]) == [7, 7, 8, 8, 9]
