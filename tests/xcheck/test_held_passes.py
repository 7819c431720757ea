"""Passes whose factors are held: bytes of NumPy, cycles and counters of the machine."""

import numpy as np
import pytest

from dataflow.machine.timing import Memory
from hw.config import PRESETS
from hw.errors import InputError
from hw.isa.bits import PassOption, PassStep
from hw.isa.commands import LOOPS, Command, Halt, Load, Loop, Pass, Sink, Source, Store, Walk
from hw.isa.functions import Function
from sim.steps.program import run_program
from training.machine.executor import Executor

TINY = PRESETS["tiny"]
LANES = TINY.vpu_lanes
X, R, PAIRS, THIRD, WRITTEN = 0, 1024, 2048, 4096, 8192
COUNT = 96
BOTH = PassOption.SHIFT_FACTOR | PassOption.SCALE_FACTOR
LINE = PassStep.WIDEN | PassStep.SCALE | PassStep.SHIFT
TIMES = PassStep.MULTIPLY | PassStep.THIRD


def line(base, count=COUNT, size_log2=1, stride=0):
    """Numbers side by side, or every `stride` bytes."""
    once = (Loop(),) * (LOOPS - 1)
    run = (Loop(count=count), *once) if not stride else (Loop(), Loop(count=count, delta=stride), *once[1:])
    return Walk(base=base, size_log2=size_log2, boundary=LANES, u_size=count, u_tile=count, u=run)


def held(steps, place=WRITTEN, *, pairs=0, third=0, blocks=False, **more) -> list[Command]:
    """x through a pass with so many factors of either kind; in memory by row those of a word of rows stand side by side."""
    loads = [Load(source=Source.ELEMENTS, walk=line(X))]
    if steps & PassStep.RESIDUAL:
        loads.append(Load(source=Source.RESIDUAL, walk=line(R)))
    if blocks:
        loads.append(Load(source=Source.FACTORS, walk=line(PAIRS, pairs + third, 3)))
    else:
        loads += [Load(source=Source.FACTORS, walk=line(PAIRS, pairs, 3))] * bool(pairs)
        loads += [Load(source=Source.FACTORS, walk=line(THIRD, third, 2))] * bool(third)
    step = Pass(words=COUNT // LANES, steps=steps, **more)
    return [*loads, step, Store(sink=Sink.RESULTS, walk=line(place, size_log2=2))]


def memory(seed=0):
    """x and r in binary16, factors in binary32."""
    start, rng = np.zeros(32768, np.uint8), np.random.default_rng(seed)
    parts = {X: rng.normal(size=COUNT).astype(np.float16), R: rng.normal(size=COUNT).astype(np.float16)}
    parts |= {place: rng.normal(size=COUNT).astype(np.float32) for place in (PAIRS, THIRD)}
    for place, part in parts.items():
        start[place : place + part.nbytes] = part.view(np.uint8)
    return start, parts


def left(commands, seed=0):
    machine = Executor(TINY, memory(seed)[0])
    machine.run([*commands, Halt()])
    return machine.memory[WRITTEN:].view(np.float32)[:COUNT]


PROGRAMS = {
    "channels": held(LINE | PassStep.RESIDUAL | TIMES, pairs=8, third=8, held=2, held_block=2, options=BOTH),
    "third alone": held(PassStep.WIDEN | TIMES, WRITTEN + 512, third=24, held=6, held_block=6),
    "tiles": held(LINE, WRITTEN + 1024, pairs=12, held=3, held_block=2, columns=8, column_tile=3, options=BOTH),
    "rows": held(LINE, WRITTEN + 1536, pairs=12, held=1, held_block=2, options=BOTH | PassOption.BY_ROW),
    "rows and third": held(
        LINE | TIMES, WRITTEN + 2048, pairs=8, third=8, blocks=True, held=1, held_block=3, options=BOTH | PassOption.BY_ROW
    ),
    "of the command": held(LINE, WRITTEN + 2560, scale=0x40000000, shift=0x3F800000),
    "sums": [
        *held(LINE, WRITTEN, pairs=8, held=2, held_block=2, options=BOTH, groups=2, terms=12, results=2)[:-1],
        Store(sink=Sink.RESULTS, walk=line(WRITTEN + 3072, 8, 2)),
    ],
}


@pytest.mark.parametrize("timing", [Memory(20, 1), Memory(3, 3)], ids=["slow", "narrow"])
def test_bytes_and_cycles(timing):
    commands = [command for program in PROGRAMS.values() for command in program]
    program = run_program(TINY, memory()[0], [*commands, Halt()], timing)
    assert program.outcome.error == 0
    assert sum(row["bytes_different"] for row in program.rows) == 0
    assert program.counted == program.predicted


def numbers():
    """x, r, b, a and c as binary32."""
    _, parts = memory()
    pairs = parts[PAIRS]
    return (*(parts[place].astype(np.float32) for place in (X, R)), pairs[::2], pairs[1::2], parts[THIRD])


def test_a_line_of_each_channel_with_a_residual_times_a_factor():
    x, r, b, a, c = numbers()
    pixels = x.reshape(-1, 8) * a[:8] + b[:8]
    np.testing.assert_array_equal(left(PROGRAMS["channels"]), ((pixels + r.reshape(-1, 8)) * c[:8]).ravel())


def test_a_line_of_each_row():
    x, _, b, a, _ = numbers()
    found = left(held(LINE, pairs=12, held=1, held_block=2, options=BOTH | PassOption.BY_ROW))
    np.testing.assert_array_equal(found, (x.reshape(12, 8) * a[:12, None] + b[:12, None]).ravel())


def test_numbers_of_the_command():
    x, *_ = numbers()
    found = left(held(LINE, scale=0x40000000, shift=0x3F800000, function=Function.EXP2))
    np.testing.assert_allclose(found, np.exp2(x.astype(np.float64) * 2 + 1), rtol=2.0**-18)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"held": 513}, "held must be in 0..512, not 513"),
        ({"options": PassOption.BY_ROW}, "held must be in 1..1, not 0"),
        ({"held": 2, "options": PassOption.BY_ROW}, "held must be in 1..1, not 2"),
        ({"held": 1, "held_block": 0}, "held_block must be in 1..65535, not 0"),
    ],
)
def test_what_cannot_be_held_is_told(fields, message):
    with pytest.raises(InputError, match=message):
        Executor(TINY, memory()[0]).run([Pass(**fields), Halt()])
