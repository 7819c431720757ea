"""Every dependence through memory is waited for, and a program in which one is not is refused."""

from dataclasses import replace

import numpy as np
import pytest

from dataflow import zoo
from hw.config import PRESETS
from hw.errors import InputError
from hw.isa.commands import LOOPS, Halt, Load, Loop, Pass, Sink, Source, Store, Sync, Walk
from hw.ratio import Ratio
from sim.steps.assembled import assemble_step
from training import methods
from training.backend import ExactBackend
from training.machine.executor import Executor
from training.machine.order import Traces, operations
from training.model import Model
from training.optimiser import Sgd

TINY = PRESETS["tiny"]


def assembled(name):
    model = Model(zoo.load(name), ExactBackend(), np.random.default_rng(0), method=methods.load("bdwp"), ratio=Ratio(2, 8))
    return assemble_step(TINY, model, Sgd(), 0.05, 2)


def prove(commands, size):
    group = []
    for command in commands:
        if not isinstance(command, Sync | Halt):
            group.append(command)
            continue
        traces = Traces(TINY, size)
        for operation in operations(group):
            traces.add(operation)
        group = []


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_a_step_waits_for_all_that_it_depends_on_and_for_nothing_else(name):
    step = assembled(name)
    waiting = 0
    for program in (step.forward, step.backward):
        prove(program, step.memory.size_bytes)
        for place, command in enumerate(program):
            if getattr(command, "after", 0):
                waiting += 1
                sooner = [*program[:place], replace(command, after=command.after - 1), *program[place + 1 :]]
                with pytest.raises(InputError, match=f"after must be at least {command.after}, not {command.after - 1}$"):
                    prove(sooner, step.memory.size_bytes)
    assert waiting >= len([command for command in step.forward if isinstance(command, Store)]) - 1


def flat(base, count=8):
    return Walk(base=base, size_log2=1, boundary=4, u_size=count, u_tile=count, u=(Loop(count=count), *(Loop(),) * (LOOPS - 1)))


def copy(source, target, *, sink=Sink.RESULTS, load=0, store=0):
    return [
        Load(source=Source.ELEMENTS, walk=flat(source), after=load),
        Pass(words=2),
        Store(sink=sink, walk=flat(target), after=store),
    ]


@pytest.mark.parametrize(
    ("commands", "message"),
    [
        ([*copy(0, 64), *copy(64, 128)], "LOAD ELEMENTS reads what is written before: after must be at least 1, not 0"),
        ([*copy(0, 64), *copy(128, 192), *copy(78, 256, load=1)], None),  # the last of the first one's bytes
        ([*copy(0, 64), *copy(128, 192), *copy(78, 256)], "reads what is written before: after must be at least 1, not 0"),
        ([*copy(0, 64), *copy(128, 192), *copy(80, 256)], None),  # the first byte behind them
        ([*copy(0, 64), *copy(128, 0)], "STORE RESULTS writes what is read before: after must be at least 1, not 0"),
        ([*copy(0, 64), *copy(128, 0, store=1)], None),
        ([*copy(0, 64), *copy(128, 64)], None),  # one writer
        ([*copy(0, 0)], None),
        ([*copy(0, 2)], "STORE RESULTS writes what its operation has yet to read"),
        ([*copy(2, 0)], None),
        ([*copy(0, 64), Sync(), *copy(64, 128)], None),
    ],
)
def test_accesses_that_do_not_wait_are_refused(commands, message):
    machine = Executor(TINY, np.arange(512, dtype=np.uint8))
    program = [*commands, Halt()]
    if message is None:
        machine.run(program)
    else:
        with pytest.raises(InputError, match=f"{message}$"):
            machine.run(program)


@pytest.mark.parametrize(
    ("commands", "place", "most"),
    [
        ([*copy(0, 64, load=1)], 0, 0),
        ([*copy(0, 64), *copy(64, 128, load=2)], 3, 1),
        ([*copy(0, 64), Sync(), *copy(64, 128, load=1)], 4, 0),
        ([replace(command, conditional=True) for command in copy(0, 64)] + copy(64, 128, load=1), 3, 0),
    ],
)
def test_commands_that_would_wait_for_ever_are_refused(commands, place, most):
    message = f"^command {place}, LOAD: after must be at most {most}, the STORE.RESULTS since the last SYNC"
    with pytest.raises(InputError, match=message):
        Executor(TINY, np.zeros(512, np.uint8)).run([*commands, Halt()])
