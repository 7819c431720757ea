"""Reductions, places and held factors of the vector unit, counted by hand."""

from dataclasses import replace

import numpy as np
import pytest

from hw.config import PRESETS
from hw.isa.bits import PassOption, PassStep
from hw.isa.commands import Pass, Source
from hw.isa.reductions import lanes_summed
from training.machine.vector import by_term, factors_of, places, reduced, run_pass, words_of

TINY = PRESETS["tiny"]
LANES = TINY.vpu_lanes
NUMBERS = np.random.default_rng(0).integers(-9, 9, (24, LANES)).astype(np.float32)  # with equal ones; sums are exact


def bits(numbers):
    return np.ascontiguousarray(numbers, np.float32).view(np.uint32)


def parts(words):
    """Values, and the places above them."""
    return (words & np.uint64(0xFFFFFFFF)).astype(np.uint32).view(np.float32), (words >> np.uint64(32)).astype(int)


@pytest.mark.parametrize("groups, terms, results", [(1, 24, 1), (2, 4, 6), (3, 8, 3), (6, 1, 24)])
def test_each_lane_of_each_group_is_reduced_by_itself(groups, terms, results):
    """Words are group by group, then term by term, then result by result."""
    step = {"words": 24, "groups": groups, "terms": terms, "results": results}
    sums, above = parts(reduced(Pass(**step), bits(NUMBERS)))
    largest, where = parts(reduced(Pass(options=PassOption.LARGEST, **step), bits(NUMBERS)))
    turns = parts(reduced(Pass(options=PassOption.IN_TURN, **step), bits(NUMBERS)))[0]
    assert not above.any() and len(sums) == results
    for result in range(results):
        whole, group = divmod(result, groups)
        of = NUMBERS[whole * groups * terms + group :: groups][:terms]
        for lane in range(LANES):
            column = of[:, lane].tolist()
            assert sums[result, lane] == turns[result, lane] == sum(column)
            assert (largest[result, lane], where[result, lane]) == (max(column), column.index(max(column)))


@pytest.mark.parametrize("last", [1, lanes_summed(LANES)])
def test_across_lanes_a_result_is_a_row(last):
    """Rows of three words, of which those lanes count that hold partial sums, of the last word some; a block of rows a word."""
    used, terms = lanes_summed(LANES), 3
    step = {"words": 24, "groups": LANES, "terms": terms, "results": 24 // LANES // terms, "last_lanes": last}
    sums, _ = parts(reduced(Pass(options=PassOption.ACROSS, **step), bits(NUMBERS)))
    largest, where = parts(reduced(Pass(options=PassOption.ACROSS | PassOption.LARGEST, **step), bits(NUMBERS)))
    for block in range(step["results"]):
        for row in range(LANES):
            words = NUMBERS[block * LANES * terms + row :: LANES][:terms, :used]
            row_of = words.ravel()[: used * (terms - 1) + last].tolist()
            assert sums[block, row] == sum(row_of)
            assert (largest[block, row], where[block, row]) == (max(row_of), row_of.index(max(row_of)))


def test_places_go_along_columns_of_some_words_then_rows_then_from_the_first_again():
    step = Pass(words=16, place=5, place_words=2, place_columns=2, place_rows=3, place_step=1, place_row_step=10)
    assert places(step).tolist() == [5, 5, 6, 6, 15, 15, 16, 16, 25, 25, 26, 26, 5, 5, 6, 6]


def test_held_factors_are_those_of_the_words_of_a_row():
    """Two words a row: the pairs come first, then both c; a is above b."""
    words = np.arange(4 * LANES, dtype=np.uint64).reshape(4, LANES)
    words[:2] |= np.uint64(7) << np.uint64(32)
    steps = PassStep.SCALE | PassStep.SHIFT | PassStep.MULTIPLY | PassStep.THIRD
    step = Pass(
        words=6, steps=steps, options=PassOption.SHIFT_FACTOR | PassOption.SCALE_FACTOR, held=2, held_block=2, columns=3,
        column_tile=3,
    )  # fmt: skip
    assert words_of(TINY, step, Source.FACTORS) == 4 and words_of(TINY, step, Source.ELEMENTS) == 6
    shift, scale, third = factors_of(step, (6, LANES), words)
    assert (scale == 7).all()
    assert shift[:, 0].tolist() == [0, LANES] * 3 and third[:, 1].tolist() == [2 * LANES + 1, 3 * LANES + 1] * 3


def test_a_lane_of_factors_of_rows_serves_the_words_of_its_row():
    """Rows of two words: the first word of factors is for as many rows as there are lanes."""
    words = np.arange(2 * LANES, dtype=np.uint64).reshape(2, LANES)
    step = Pass(
        words=4 * LANES, steps=PassStep.SHIFT, options=PassOption.SHIFT_FACTOR | PassOption.BY_ROW, held=1, held_block=2
    )
    assert words_of(TINY, step, Source.FACTORS) == 2
    shift, _, _ = factors_of(step, (4 * LANES, LANES), words)
    assert shift.tolist() == [[row] * LANES for row in range(2 * LANES) for _ in range(2)]


def test_terms_of_what_leaves_in_tiles_are_in_order_again():
    """Three words a column in blocks of two, four columns in tiles of three: 0, 1 and then 2 of three, then of the last."""
    order = [0, 1, 3, 4, 6, 7, 2, 5, 8, 9, 10, 11]
    step = Pass(words=12, groups=3, terms=4, held_block=2, column_tile=3, options=PassOption.BESIDE)
    given = np.repeat(np.array(order, np.uint32)[:, None], LANES, axis=1)
    assert by_term(TINY, step, given)[:, 0].tolist() == list(range(12))


def test_a_reduction_goes_on_with_the_terms_of_the_next_pass():
    """Sums of 16 and 20 terms are those of 36: term i goes to partial sum i mod 16, whichever pass has it."""
    numbers = np.random.default_rng(0).standard_normal((36, LANES)).astype(np.float32)
    words = numbers.view(np.uint32).astype(np.uint64)
    step = Pass(words=16, groups=1, terms=16, options=PassOption.BESIDE)
    before = []
    given, _ = run_pass(TINY, step, words[:16], {}, before)
    assert np.array_equal(given, words[:16])
    given, _ = run_pass(TINY, replace(step, words=20, terms=20, results=1), words[16:], {}, before)
    partial = [sum_up(numbers[lane::16]) for lane in range(16)]
    while len(partial) > 1:
        half = len(partial) // 2
        partial = [low + high for low, high in zip(partial[:half], partial[half:], strict=True)]
    assert np.array_equal(given, np.concatenate([words[16:], partial[0].view(np.uint32).astype(np.uint64)[None]]))
    assert before == []


def sum_up(terms):
    """From +0, in ascending order, each sum rounded."""
    total = np.zeros(terms.shape[1], np.float32)
    for term in terms:
        total = total + term
    return total


@pytest.mark.parametrize("value, seen", [(np.inf, True), (np.nan, True), (65504, False)])
def test_what_is_not_finite_is_noted_where_it_is_asked_for(value, seen):
    words = np.full((1, LANES), np.float32(value)).view(np.uint32).astype(np.uint64)
    assert run_pass(TINY, Pass(words=1, options=PassOption.NOTE_OVERFLOW), words, {})[1] is seen
    assert run_pass(TINY, Pass(words=1), words, {})[1] is False
