"""Held factors in Amaranth's simulator: each comes once, and is used as NumPy's executor says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_bench import join_fields, on_amaranth, on_verilog

from hw.config import AcceleratorConfig
from hw.held_factors import HELD, HeldFactors
from hw.isa.commands import Pass
from hw.isa.microarchitecture import HELD_WORDS
from sim.streams import Phase
from training.machine.vector import held

ONE = AcceleratorConfig(name="test", rows=1, columns=1, vpu_lanes=1)


def used(words, block, columns, tile):
    """How many words a pass has, and which factor each uses."""
    count = words * columns
    step = Pass(words=count, held=words, held_block=block, columns=columns, column_tile=tile)
    return held(step, np.arange(words)).tolist()


def check(cases, on=on_amaranth, **options):
    phases, due = [], []
    for number, (words, block, columns, tile) in enumerate(cases):
        sizes = HELD.const({"words": words, "block": block, "columns": columns, "column_tile": tile}).as_bits()
        order, numbers = used(words, block, columns, tile), [join_fields([(number, 32), (word, 32)]) for word in range(words)]
        due.append([numbers[place] for place in order])
        phases.append(Phase({}, {}, {"begin": 1, "held": sizes}))
        phases.append(Phase({"i": numbers}, {"o": len(order)}, {"begin": 0, "held": sizes}))
    traffics = on(HeldFactors(ONE), phases, **options)[1::2]
    for traffic, wanted in zip(traffics, due, strict=True):
        assert traffic["o"].words == wanted
    return traffics


@settings(max_examples=5, deadline=None)
@given(
    cases=st.lists(
        st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(1, 7), st.integers(1, 4)), min_size=1, max_size=4
    ),
    stall=st.sampled_from([0.0, 0.4]),
    seed=st.integers(0, 1 << 30),
)
def test_any_sizes(cases, stall, seed):
    check(cases, stall=stall, seed=seed)


def test_all_of_the_memory_in_verilog():
    check([(HELD_WORDS, 100, 3, 2), (1, 1, 5, 2), (2, 1, 4, 4), (7, 7, 3, 1)], on=on_verilog, stall=0.2)


def test_a_word_a_cycle():
    (traffic,) = check([(1, 1, 9, 9)])
    assert np.diff(traffic["o"].cycles).tolist() == [HeldFactors.interval_cycles] * 8
    assert traffic["o"].cycles[0] == traffic["i"].cycles[0] + HeldFactors.latency_cycles


def test_without_sizes_each_word_is_used_once():
    (traffic,) = on_amaranth(HeldFactors(ONE), [Phase({"i": [3, 1, 4]}, {"o": 3}, {"begin": 0, "held": 0})])
    assert traffic["o"].words == [3, 1, 4]


def test_the_order_of_tiles():
    """Three words of rows, two to a tile; three columns, two to a tile."""
    assert used(3, 2, 3, 2) == [0, 1, 0, 1, 2, 2, 0, 1, 2]


def test_sizes_that_do_not_fit_are_told():
    with pytest.raises(Exception, match="held factors serve 9 words; the pass has 8"):
        held(Pass(words=8, held=3, held_block=2, columns=3, column_tile=2), np.arange(3))
