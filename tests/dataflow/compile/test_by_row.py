"""Reductions of rows as commands: which element each word of their walks has, counted by hand."""

import pytest
from walk_oracle import elements

from dataflow.compile.by_channel import Channels
from dataflow.compile.by_row import RowReduction
from dataflow.compile.walks import MOST_GUARDED, Step
from hw.config import PRESETS
from hw.errors import InputError
from hw.isa.bits import PassOption, PassStep
from hw.isa.commands import Load, Pass, Source, Store
from hw.isa.reductions import lanes_summed

TINY = PRESETS["tiny"]
LANES, SUMMED = TINY.vpu_lanes, lanes_summed(TINY.vpu_lanes)


def vector(name, length, size):
    return Channels(name=name, base=1 << 14, channels=length, element_bytes=size, stride=size)


def rows_of(rows, channels, *, pitch=0, stride=2):
    steps = (Step(rows, pitch or stride * channels),) if rows > 1 else ()
    return Channels(name="x", base=64, channels=channels, element_bytes=2, stride=stride, steps=steps)


@pytest.mark.parametrize("rows, channels", [(4, 4), (8, 5), (9, 3), (3, 33), (1, 1), (13, 2 * SUMMED + 1)])
@pytest.mark.parametrize("stride, more", [(2, 0), (2, 10), (6, 4)])
def test_words_are_parts_of_rows_and_rows_stand_side_by_side(rows, channels, stride, more):
    """Blocks of as many rows as there are lanes, of each row one word after the other; what is no row or channel is outside."""
    pitch = stride * channels + more
    x, results = rows_of(rows, channels, pitch=pitch, stride=stride), vector("r", -(-rows // LANES) * LANES, 4)
    due, blocks = [], -(-rows // LANES)
    for block in range(blocks):
        for start in range(0, channels, SUMMED):
            for row in range(block * LANES, (block + 1) * LANES):
                inside = [row < rows and start + lane < channels for lane in range(SUMMED)]
                due += [64 + row * pitch + (start + lane) * stride if inside[lane] else None for lane in range(SUMMED)]
    found, stored = [], []
    for load, step, store in RowReduction(steps=PassStep.WIDEN, elements=x, results=results).operations(TINY):
        assert isinstance(step, Pass) and step.options & PassOption.ACROSS
        assert (step.groups, step.terms) == (LANES, -(-channels // SUMMED))
        assert step.words == step.groups * step.terms * step.results
        assert step.last_lanes == (channels - 1) % SUMMED + 1
        found += [None if one.outside else one.address for one in elements(load.walk)]
        stored += [one.address for one in elements(store.walk)]
        assert isinstance(store, Store) and not any(one.outside for one in elements(store.walk))
    assert found == due
    assert stored == [(1 << 14) + 4 * row for row in range(blocks * LANES)]


@pytest.mark.parametrize(
    "rows, limits", [(2 * LANES, [None]), (LANES, [None]), (LANES - 1, [LANES - 1]), (LANES + 1, [None, 1])]
)
def test_only_rows_that_fill_no_block_are_guarded(rows, limits):
    """Every guard that is counted is checked in hardware, and holds what a walk may be to 16 bits."""
    x, results = rows_of(rows, LANES * SUMMED), vector("r", 4 * LANES, 4)
    guarded = []
    for load, *_ in RowReduction(steps=PassStep.WIDEN, elements=x, results=results).operations(TINY):
        moves = any(loop.guard_0 for loop in load.walk.v)
        guarded.append(load.walk.limit_0 if moves else None)
    assert guarded == limits


@pytest.mark.parametrize("size", [4, 8])
def test_factors_and_residuals_come_with_their_rows(size):
    """Of 9 rows two words of factors, one of each row, then one; another tensor as the elements."""
    x, factors = rows_of(9, 5), vector("f", 3 * LANES, size)
    steps = PassStep.WIDEN | PassStep.SHIFT | PassStep.RESIDUAL
    one = RowReduction(
        steps=steps, elements=x, residual=x, pairs=factors, results=vector("r", 3 * LANES, 4), scale=7, function=1
    )
    assert {stream.name: name for stream, name in one.tensors.items()} == {
        "ELEMENTS": "x", "RESIDUAL": "x", "FACTORS": "f", "RESULTS": "r"
    }  # fmt: skip
    start = 0
    for commands, blocks in zip(one.operations(TINY), (9 // LANES, 1), strict=True):
        loads = {load.source: load.walk for load in commands if isinstance(load, Load)}
        assert loads[Source.RESIDUAL] == loads[Source.ELEMENTS]
        due = [(1 << 14) + size * row for row in range(start, start + blocks * LANES)]
        assert [one.address for one in elements(loads[Source.FACTORS])] == due
        (step,) = (command for command in commands if isinstance(command, Pass))
        assert (step.held, step.scale, step.function) == (1, 7, 1)
        assert step.options & PassOption.BY_ROW and step.options & PassOption.SHIFT_FACTOR
        start += blocks * LANES


def test_rows_that_no_guard_can_count_are_refused():
    """Fewer channels are guarded, and a multiple of the lanes needs no guard, however many there are."""

    def commands(channels):
        x, results = rows_of(1, channels), vector("r", LANES, 4)
        return list(RowReduction(steps=PassStep.WIDEN, elements=x, results=results).operations(TINY))

    multiple = -(-MOST_GUARDED // SUMMED) * SUMMED
    assert commands(MOST_GUARDED - 1) and commands(multiple) and commands(16 * multiple)
    said = (
        f"^x: rows must be of fewer than {MOST_GUARDED:,} channels, or of a multiple of {SUMMED}, to be added up; they are of "
    )
    with pytest.raises(InputError, match=f"{said}{multiple + 1:,}$"):
        commands(multiple + 1)
