"""Commands that wait for results: cycles and counters of the RTL, where the wait is what they take."""

import numpy as np
import pytest

from dataflow.machine.executor import execute
from dataflow.machine.timing import Memory
from hw.config import PRESETS
from hw.isa.commands import LOOPS, Halt, Load, Loop, Pass, Sink, Source, Store, Sync, Walk
from sim.steps.program import run_program

TINY = PRESETS["tiny"]
LONG, SHORT = 160, 8


def copy(source, target, count, *, load=0, store=0):
    """Numbers of 4 bytes, as many as are said, to another place."""

    def flat(base):
        once = (Loop(),) * (LOOPS - 1)
        return Walk(base=base, size_log2=2, boundary=TINY.vpu_lanes, u_size=count, u_tile=count, u=(Loop(count=count), *once))

    return [
        Load(source=Source.ELEMENTS, walk=flat(source), after=load),
        Pass(words=count // TINY.vpu_lanes),
        Store(sink=Sink.RESULTS, walk=flat(target), after=store),
    ]


WAITS = {
    "a load": [*copy(0, 1024, LONG), *copy(1024, 2048, SHORT, load=1)],
    "a load for the second": [*copy(0, 1024, LONG), *copy(0, 3072, LONG), *copy(1024, 2048, SHORT, load=2)],
    "a store": [*copy(0, 1024, LONG), *copy(4096, 0, SHORT, store=1)],
    "one for the other": [*copy(0, 1024, LONG), *copy(1024, 2048, SHORT, load=1), *copy(2048, 3072, SHORT, load=2)],
}


@pytest.mark.parametrize("timing", [Memory(20, 1), Memory(3, 3)], ids=["slow", "narrow"])
def test_waits_last_as_long_as_on_the_rtl(timing):
    """Nothing else wakes a unit that waits for results, so that it begins in the cycle after they are complete."""
    commands = [command for operations in WAITS.values() for command in (*operations, Sync())]
    done = run_program(TINY, np.arange(8192, dtype=np.uint16).view(np.uint8), [*commands, Halt()], timing)
    assert done.outcome.error == 0 and done.counted == done.predicted
    assert not sum(row["bytes_different"] for row in done.rows)


def test_it_is_the_wait_that_such_a_program_takes():
    """Without it the second operation begins while the first one goes on."""
    waiting = execute(TINY, [*WAITS["a load"], Halt()], Memory()).cycles
    assert waiting > execute(TINY, [*copy(0, 1024, LONG), *copy(4096, 2048, SHORT), Halt()], Memory()).cycles
