"""Passes with functions and products of tensors: bytes of NumPy, cycles of the machine, formulas of layers."""

import numpy as np
import pytest

from dataflow.machine.timing import Memory
from hw.config import PRESETS
from hw.isa.bits import PassOption, PassStep
from hw.isa.commands import LOOPS, Command, Halt, Load, Loop, Pass, Sink, Source, Store, Walk
from hw.isa.functions import Function
from sim.steps.program import run_program
from training.functions import apply
from training.machine.executor import Executor
from training.reductions import sum_terms

TINY = PRESETS["tiny"]
LANES = TINY.vpu_lanes
COUNT = 48
X, G, WRITTEN = 0, 2048, 4096
STORED = PassStep.WIDEN | PassStep.NARROW


def line(base, count=COUNT, size_log2=1):
    """Numbers side by side."""
    once = (Loop(),) * (LOOPS - 1)
    return Walk(base=base, size_log2=size_log2, boundary=LANES, u_size=count, u_tile=count, u=(Loop(count=count), *once))


def one_pass(steps, function=Function.NONE, place=WRITTEN, size_log2=1, **more) -> list[Command]:
    """x through a pass, with g beside it where the pass reads it."""
    multiplies = steps & PassStep.MULTIPLY and not steps & PassStep.ITSELF
    beside = [Load(source=Source.RESIDUAL, walk=line(G))] if multiplies or steps & PassStep.RESIDUAL else []
    step = Pass(words=COUNT // LANES, steps=steps, function=function, **more)
    return [
        Load(source=Source.ELEMENTS, walk=line(X)),
        *beside,
        step,
        Store(sink=Sink.RESULTS, walk=line(place, size_log2=size_log2)),
    ]


def memory():
    """x and g."""
    start = np.zeros(32768, np.uint8)
    numbers = np.random.default_rng(0).normal(size=(2, COUNT)).astype(np.float16) * np.float16(2)
    for place, part in zip((X, G), numbers, strict=True):
        start[place : place + 2 * COUNT] = part.view(np.uint8)
    return start, *numbers


FORMS = {
    "itself": STORED | PassStep.MULTIPLY | PassStep.ITSELF,
    "other": STORED | PassStep.MULTIPLY,
    "alone": PassStep.WIDEN,
    "sum": STORED | PassStep.RESIDUAL | PassStep.MULTIPLY,
}


@pytest.mark.parametrize("timing", [Memory(20, 1), Memory(3, 3)], ids=["slow", "narrow"])
def test_bytes_and_cycles_of_every_function(timing):
    commands = []
    for number, function in enumerate(Function):
        name, steps = list(FORMS.items())[number % len(FORMS)]
        commands += one_pass(steps, function, WRITTEN + 256 * number, 2 if name == "alone" else 1)
    program = run_program(TINY, memory()[0], [*commands, Halt()], timing)
    assert program.outcome.error == 0
    assert sum(row["bytes_different"] for row in program.rows) == 0
    assert program.counted == program.predicted


def left(commands, count=COUNT, kind=np.float16):
    """What a program writes."""
    machine = Executor(TINY, memory()[0])
    machine.run([*commands, Halt()])
    return machine.memory[WRITTEN:].view(kind)[:count]


def test_gelu_and_its_gradient_are_a_pass_each():
    _, x, g = memory()
    wide = x.astype(np.float32)
    due = (apply(Function.NORMAL, wide) * wide).astype(np.float16)
    np.testing.assert_array_equal(left(one_pass(FORMS["itself"], Function.NORMAL)), due)
    due = (apply(Function.GELU_SLOPE, wide) * g).astype(np.float16)
    np.testing.assert_array_equal(left(one_pass(FORMS["other"], Function.GELU_SLOPE)), due)


def test_an_exponential_is_a_scale_and_a_power_of_two():
    _, x, _ = memory()
    scale = np.float32(np.log2(np.e))
    steps = PassStep.WIDEN | PassStep.SCALE
    found = left(one_pass(steps, Function.EXP2, size_log2=2, scale=int(scale.view(np.uint32))), kind=np.float32)
    np.testing.assert_array_equal(found, apply(Function.EXP2, x.astype(np.float32) * scale))
    np.testing.assert_allclose(found, np.exp(x.astype(np.float64)), rtol=2.0**-20)


def test_sums_of_squares_and_of_products_are_a_pass_each():
    """Two channel words of six terms: the reduction takes what leaves the lanes."""
    _, x, g = memory()
    sizes = {"groups": 2, "terms": 6, "results": 2}
    for steps, factor in ((PassStep.ITSELF, x), (PassStep(0), g)):
        step = Pass(words=12, steps=PassStep.WIDEN | PassStep.MULTIPLY | steps, options=PassOption(0), **sizes)
        loads = [Load(source=Source.ELEMENTS, walk=line(X)), Load(source=Source.RESIDUAL, walk=line(G))]
        loads = loads[: 1 if steps else 2]
        found = left([*loads, step, Store(sink=Sink.RESULTS, walk=line(WRITTEN, 8, 2))], 8, np.float32)
        due = sum_terms((x.astype(np.float32) * factor).reshape(6, 8))
        np.testing.assert_array_equal(found, due)
