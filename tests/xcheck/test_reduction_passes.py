"""Reductions of the vector unit as commands: bytes of NumPy, cycles and counters of the machine."""

from dataclasses import replace

import numpy as np
import pytest

from dataflow.compile.by_channel import Channels
from dataflow.compile.by_row import RowReduction
from dataflow.compile.walks import Step
from dataflow.machine.executor import execute
from dataflow.machine.timing import Memory
from hw.config import PRESETS
from hw.errors import InputError
from hw.isa.bits import PassOption, PassStep
from hw.isa.commands import LOOPS, Halt, Load, Loop, Pass, Sink, Source, Store, Sync, Walk
from hw.isa.reductions import ROW_SUMS
from sim.steps.program import run_program
from training.machine.executor import Executor
from training.reductions import largest_term, sum_terms

TINY = PRESETS["tiny"]
LANES = TINY.vpu_lanes
READ, WRITTEN = 0, 16384


def line(base, count, size_log2):
    """Numbers side by side."""
    once = (Loop(),) * (LOOPS - 1)
    return Walk(base=base, size_log2=size_log2, boundary=LANES, u_size=count, u_tile=count, u=(Loop(count=count), *once))


def reduce(groups, terms, count, *, place=WRITTEN, **more):
    """Reductions of binary16 numbers from the start of memory to numbers of 64 bits."""
    words, results = groups * terms * count, groups * count
    step = Pass(words=words, steps=PassStep.WIDEN, groups=groups, terms=terms, results=results, **more)
    return [
        Load(source=Source.ELEMENTS, walk=line(READ, words * LANES, 1)),
        step,
        Store(sink=Sink.RESULTS, walk=line(place, results * LANES, 3)),
    ]


def reduce_rows(rows, channels, *, place=WRITTEN, residual=False, pairs=0, **more):
    """Reductions of rows of binary16 numbers, as the machine's programs have them."""
    part = Channels(name="x", base=READ, channels=channels, element_bytes=2, stride=2, steps=(Step(rows, 2 * channels),))
    vector = Channels(name="r", base=place, channels=rows, element_bytes=8, stride=8)
    factors = replace(vector, base=READ + 128, element_bytes=pairs, stride=pairs) if pairs else None
    more |= {"residual": replace(part, base=READ + 64) if residual else None, "pairs": factors}
    return [one for part in RowReduction(elements=part, results=vector, **more).operations(TINY) for one in part]


def memory(seed):
    """Finite numbers, with equal ones among them, and room behind."""
    numbers = np.random.default_rng(seed).integers(-40, 40, WRITTEN // 2).astype(np.float16) / np.float16(8)
    return np.concatenate([numbers.view(np.uint8), np.zeros(WRITTEN, np.uint8)])


@pytest.mark.parametrize("timing", [Memory(20, 1), Memory(3, 3)], ids=["slow", "narrow"])
def test_bytes_and_cycles_of_sums_and_maxima(timing):
    """One behind the other, with a pass that reduces nothing between them; on a slow memory, and on a narrow one."""
    sizes = [(1, 1, 5), (2, 30, 3), (5, 16, 2), (1, 17, 4), (3, 2, 9)]
    commands = []
    for number, (groups, terms, count) in enumerate(sizes):
        place = WRITTEN + 2048 * number
        commands += reduce(groups, terms, count, place=place)
        commands += reduce(groups, terms, count, place=place + 1024, options=PassOption.LARGEST)
        if number == 1:
            commands += [
                Sync(),
                Load(source=Source.ELEMENTS, walk=line(READ, 40, 1)),
                Pass(words=10, steps=PassStep.WIDEN),
                Store(sink=Sink.RESULTS, walk=line(place + 512, 40, 2)),
            ]
    program = run_program(TINY, memory(0), [*commands, Halt()], timing)
    assert program.outcome.error == 0
    assert sum(row["bytes_different"] for row in program.rows) == 0
    assert program.counted == program.predicted


LARGEST, SQUARES = PassOption.LARGEST, PassStep.WIDEN | PassStep.SHIFT | PassStep.MULTIPLY | PassStep.ITSELF


@pytest.mark.parametrize("timing", [Memory(20, 1), Memory(3, 3)], ids=["slow", "narrow"])
def test_bytes_and_cycles_of_reductions_of_rows(timing):
    """Rows that are no multiple of lanes, of channels that are none; with another tensor, and with factors of rows."""
    commands, place = [], WRITTEN
    for rows, channels in ((4, 4), (9, 5), (3, 33), (16, 16), (1, 3)):
        commands += reduce_rows(rows, channels, place=place, steps=PassStep.WIDEN)
        commands += reduce_rows(rows, channels, place=place + 512, steps=PassStep.WIDEN, options=LARGEST)
        commands += reduce_rows(rows, channels, place=place + 1024, steps=SQUARES, pairs=8)
        times = PassStep.WIDEN | PassStep.MULTIPLY
        commands += reduce_rows(rows, channels, place=place + 1536, steps=times, residual=True)
        place += 2048
    program = run_program(TINY, memory(0), [*commands, Halt()], timing)
    assert program.outcome.error == 0
    assert sum(row["bytes_different"] for row in program.rows) == 0
    assert program.counted == program.predicted


def beside(groups, terms, *, place=WRITTEN, narrow=True, **more):
    """A pass that leaves half of what it reads, and behind it the sums of that."""
    words = groups * terms
    step = Pass(
        words=words, steps=PassStep.WIDEN | PassStep.SCALE | (PassStep.NARROW if narrow else 0), scale=0x3F000000,
        options=PassOption.BESIDE, groups=groups, terms=terms, results=groups, **more,
    )  # fmt: skip
    return [
        Load(source=Source.ELEMENTS, walk=line(READ, words * LANES, 1)),
        step,
        Store(sink=Sink.RESULTS, walk=line(place, words * LANES, 1 if narrow else 2)),
        Store(sink=Sink.RESULTS, walk=line(place + 4 * words * LANES, groups * LANES, 2)),
    ]


@pytest.mark.parametrize("timing", [Memory(20, 1), Memory(3, 3)], ids=["slow", "narrow"])
def test_bytes_and_cycles_of_sums_beside_results(timing):
    """Column by column, and in tiles of columns and rows; behind each other, and with passes of another kind between them."""
    commands = [*beside(3, 20, held_block=3), *beside(5, 33, place=WRITTEN + 2048, held_block=2, column_tile=16)]
    commands += [*reduce(2, 30, 1, place=WRITTEN + 6144), *beside(1, 4, place=WRITTEN + 7168, narrow=False)]
    program = run_program(TINY, memory(0), [*commands, Halt()], timing)
    assert program.outcome.error == 0
    assert sum(row["bytes_different"] for row in program.rows) == 0
    assert program.counted == program.predicted


def test_what_numpy_leaves_beside():
    """The results, and in tiles as column by column the sums of what is stored."""
    start = memory(1)
    for fields in ({"held_block": 3}, {"held_block": 2, "column_tile": 16}):
        machine = Executor(TINY, start)
        machine.run([*beside(3, 40, **fields), Halt()])
        left = machine.memory[WRITTEN:][:960].view(np.float16)
        np.testing.assert_array_equal(left, start[:960].view(np.float16) / 2)
        order = [
            (term, group)
            for first in range(0, 40, fields.get("column_tile", 1))
            for block in range(0, 3, fields["held_block"])
            for term in range(first, min(first + fields.get("column_tile", 1), 40))
            for group in range(block, min(block + fields["held_block"], 3))
        ]
        terms = np.zeros((40, 3, LANES), np.float16)
        for place, word in zip(order, left.reshape(-1, LANES), strict=True):
            terms[place] = word
        found = machine.memory[WRITTEN + 1920 :][: 3 * 16].view(np.uint32).reshape(3, LANES)
        np.testing.assert_array_equal(found, sum_terms(terms).view(np.uint32))


def test_what_numpy_leaves_of_rows():
    """The sums of each row in the order of all sums, whatever the lanes; its largest element, and where that is."""
    start, rows, channels = memory(1), 9, 37
    machine = Executor(TINY, start)
    largest = reduce_rows(rows, channels, place=WRITTEN + 4096, steps=PassStep.WIDEN, options=LARGEST)
    machine.run([*reduce_rows(rows, channels, steps=PassStep.WIDEN), *largest, Halt()])
    terms = start[: 2 * rows * channels].view(np.float16).reshape(rows, channels).T
    found = machine.memory[WRITTEN:][: 8 * rows].view(np.uint64)
    np.testing.assert_array_equal(found, sum_terms(terms, ROW_SUMS).view(np.uint32))
    values, places = largest_term(terms)
    found = machine.memory[WRITTEN + 4096 :][: 8 * rows].view(np.uint32).reshape(-1, 2)
    np.testing.assert_array_equal(found, np.stack([values.view(np.uint32), places], axis=1))


def test_what_numpy_leaves():
    start = memory(1)
    machine = Executor(TINY, start)
    machine.run([*reduce(3, 20, 2), *reduce(3, 20, 2, place=WRITTEN + 4096, options=PassOption.LARGEST), Halt()])
    terms = start[: 2 * 480].view(np.float16).reshape(2, 20, 3 * LANES)
    for number, part in enumerate(terms):
        found = machine.memory[WRITTEN + 96 * number :][:96].view(np.uint64)
        np.testing.assert_array_equal(found, sum_terms(part).view(np.uint32))
        values, places = largest_term(part)
        found = machine.memory[WRITTEN + 4096 + 96 * number :][:96].view(np.uint32).reshape(-1, 2)
        np.testing.assert_array_equal(found, np.stack([values.view(np.uint32), places], axis=1))


@pytest.mark.parametrize("wild", [np.inf, np.nan])
def test_a_sum_that_is_not_finite_is_noted(wild):
    start = memory(2)
    start[100:102] = np.array([wild], np.float16).view(np.uint8)
    commands = [*reduce(1, 40, 1, options=PassOption.NOTE_OVERFLOW), Halt()]
    program = run_program(TINY, start, commands)
    assert program.outcome.overflow and sum(row["bytes_different"] for row in program.rows) == 0
    assert not run_program(TINY, memory(2), commands).outcome.overflow


def test_sizes_that_do_not_fit_are_told():
    commands = [*reduce(2, 5, 3), Halt()]
    wrong = [commands[0], Pass(words=30, steps=PassStep.WIDEN, groups=2, terms=5, results=8), *commands[2:]]
    said = "PASS: words must be those of 5 terms for each of 8 results, of 2 at once; they are 30"
    with pytest.raises(InputError, match=f"^command 1, {said}$"):
        Executor(TINY, memory(0)).run(wrong)
    with pytest.raises(InputError, match=f"^{said}$"):
        execute(TINY, wrong, Memory())
