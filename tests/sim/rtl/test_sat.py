"""Programs that are wrong: the accelerator says what and where, touches nothing else, and goes on after a reset."""

import struct
from dataclasses import replace

import numpy as np
import pytest

from dataflow.machine.executor import execute
from dataflow.machine.timing import Memory
from hw.config import PRESETS
from hw.errors import InputError
from hw.isa.bits import PassOption, PassStep
from hw.isa.commands import LOOPS, Halt, Load, Loop, Pass, Sink, Source, Store, Walk
from hw.isa.encoding import decode, encode
from hw.isa.registers import OFFSETS, ErrorCode, Unit
from sim.rtl.sat import DEFAULT_TIMING, MEMORY_BYTES, program_address, run
from training.machine.executor import Executor

TINY = PRESETS["tiny"]
LANES, LINES = TINY.vpu_lanes, TINY.rows
ONE = (Loop(),) * (LOOPS - 1)
COUNT = 37
STORED = PassStep.WIDEN | PassStep.NARROW
FACTORED, FACTORS = PassStep.SCALE | PassStep.SHIFT, PassOption.SCALE_FACTOR | PassOption.SHIFT_FACTOR


def walk(base, count=COUNT, **more):
    return Walk(base=base, size_log2=1, boundary=TINY.vpu_lanes, u_size=count, u_tile=count,
                u=(Loop(count=count), *ONE), **more)  # fmt: skip


def copy(source, target):
    """A program that copies some numbers."""
    words = -(-COUNT // TINY.vpu_lanes)
    return [
        Load(source=Source.ELEMENTS, walk=walk(source)),
        Pass(words=words),
        Store(sink=Sink.RESULTS, walk=walk(target)),
        Halt(),
    ]


GOOD = copy(0x10, 0x800)
BEYOND = Load(source=Source.WEIGHTS, walk=walk(0x10, LINES, v_size=2, v_tile=2, v=(Loop(count=2), *ONE)), group=1, across=1,
              base=TINY.weight_buffer_words - 1)  # fmt: skip
BAD = {
    "no opcode": (struct.pack("<I", 0x0100007F), ErrorCode.ILLEGAL_COMMAND, Unit.CONTROL, 0),
    "wrong length": (struct.pack("<I", 0x02000001), ErrorCode.ILLEGAL_COMMAND, Unit.CONTROL, 0),
    "no such unit": (struct.pack("<I", 0x26000903), ErrorCode.ILLEGAL_COMMAND, Unit.CONTROL, 0),
    "no end": (encode(GOOD[:-1]), ErrorCode.NO_HALT, Unit.CONTROL, 0),
    "no end of a command": (encode(GOOD)[:-8], ErrorCode.NO_HALT, Unit.CONTROL, 0),
    "nothing": (b"", ErrorCode.ILLEGAL_SETTING, Unit.CONTROL, OFFSETS["program_bytes"]),
    "no whole word": (encode(GOOD) + b"\0\0", ErrorCode.ILLEGAL_SETTING, Unit.CONTROL, OFFSETS["program_bytes"]),
    "a walk of nothing": (
        encode([replace(GOOD[0], walk=replace(walk(0x10), u_tile=0)), *GOOD[1:]]),
        ErrorCode.ILLEGAL_FIELD, Unit.READERS + Source.ELEMENTS, 0,
    ),
    "a pass of nothing": (encode([GOOD[0], Pass(words=0), *GOOD[2:]]), ErrorCode.ILLEGAL_FIELD, Unit.VECTOR, 0),
    "a read outside": (
        encode(copy(MEMORY_BYTES + 0x40, 0x800)), ErrorCode.OUTSIDE_WINDOW, Unit.READERS + Source.ELEMENTS, MEMORY_BYTES + 0x40
    ),
    "a write outside": (
        encode(copy(0x10, MEMORY_BYTES - 8)), ErrorCode.OUTSIDE_WINDOW, Unit.WRITERS + Sink.RESULTS, MEMORY_BYTES - 8
    ),
    "nothing to pass": (encode(GOOD[1:]), ErrorCode.NO_PROGRESS, Unit.CONTROL, 0),
    "beyond the buffer": (
        encode([BEYOND, *GOOD]),
        ErrorCode.BEYOND_BUFFER, Unit.ARRAY, 0,
    ),
}  # fmt: skip


def test_every_fault_is_told_and_what_follows_runs():
    """Each bad program, and after it the good one."""
    memory = np.arange(4096, dtype=np.uint32).astype(np.uint8)
    expected = memory.copy()
    expected[0x800 : 0x800 + 2 * COUNT] = memory[0x10 : 0x10 + 2 * COUNT]
    programs = [program for bad, *_ in BAD.values() for program in (bad, encode(GOOD))]
    outcomes = run(TINY, memory, programs, watchdog_cycles=3000)
    touched = memory
    for (name, (_, *told)), bad, good in zip(BAD.items(), outcomes[::2], outcomes[1::2], strict=True):
        registers = bad.registers
        found = [registers["error_code"], registers["error_unit"], registers["error_address"]]
        assert found == told, name
        assert registers["status"] & 0b1110 == 0b1000, name
        inside = touched.copy()
        inside[0x800 : 0x800 + 2 * COUNT] = bad.memory[0x800 : 0x800 + 2 * COUNT]
        assert np.array_equal(bad.memory, inside), f"{name}: something beside its stores was written"
        assert good.error is ErrorCode.NONE, name
        assert np.array_equal(good.memory, expected), name
        touched = good.memory


def test_answers_that_are_errors_are_told():
    """A window that is longer than the memory behind it."""
    memory = np.zeros(4096, np.uint8)
    programs = [encode(copy(MEMORY_BYTES + 64, 0x800)), encode(copy(0x10, MEMORY_BYTES + 64)), encode(GOOD)]
    outcomes = run(TINY, memory, programs, window_bytes=2 * MEMORY_BYTES)
    told = [(one.error, one.registers["error_unit"], one.registers["error_address"]) for one in outcomes]
    assert told == [
        (ErrorCode.READ_RESPONSE, Unit.READERS + Source.ELEMENTS, MEMORY_BYTES + 64),
        (ErrorCode.WRITE_RESPONSE, Unit.WRITERS + Sink.RESULTS, MEMORY_BYTES + 64),
        (ErrorCode.NONE, 0, 0),
    ]


OTHER = copy(0x10, 0xA00)
BEHIND = {
    "a word of zeros": bytes(4),
    "a page of zeros": bytes(4096),
    "no opcode": struct.pack("<I", 0x0100007F),
    "a program": encode(OTHER),
    "two programs": encode(OTHER) * 2,
    "a part of a command": encode(OTHER)[:28],
}


@pytest.mark.parametrize("timing", [Memory(0), Memory(), Memory(150, 3), Memory(20, 40)])
def test_what_stands_behind_halt_has_no_effect(timing):
    """Memory is as without it, cycles and counters are the machine's, and the next program runs at once."""
    memory = np.arange(4096, dtype=np.uint32).astype(np.uint8)
    machine = Executor(TINY, memory)
    machine.run(GOOD)
    assert machine.memory[0xA00] != memory[0x10], "the program behind would be seen"
    programs = [encode(GOOD) + behind for behind in BEHIND.values() for _ in range(2)]
    outcomes, place = run(TINY, memory, programs, timing=timing, watchdog_cycles=3000), program_address(memory)
    for number, (outcome, program) in enumerate(zip(outcomes, programs, strict=True)):
        name = list(BEHIND)[number // 2]
        assert (outcome.error, outcome.registers["status"]) == (ErrorCode.NONE, 0b101), name
        assert np.array_equal(outcome.memory, machine.memory), name
        said = execute(TINY, GOOD, timing, place, behind=len(program) - len(encode(GOOD)))
        counted = {name: outcome.registers[name] for name in said.counters}
        assert (outcome.registers["cycles"], counted) == (said.cycles, said.counters), name
        place += -(-len(program) // 64) * 64 if number % 2 else 0


def test_executors_run_up_to_halt():
    memory = np.arange(4096, dtype=np.uint32).astype(np.uint8)
    long, short = Executor(TINY, memory), Executor(TINY, memory)
    long.run([*GOOD, *OTHER])
    short.run(GOOD)
    assert np.array_equal(long.memory, short.memory)
    assert decode(encode(GOOD) + b"\x7f\0\0\1") == GOOD
    for executor in (short.run, lambda commands: execute(TINY, commands, Memory())):
        with pytest.raises(InputError, match=r"^a program ends with HALT; this one has none$"):
            executor(GOOD[:-1])


def test_counters_count():
    memory = np.zeros(4096, np.uint8)
    quick, slow = (run(TINY, memory, [encode(GOOD)], timing=Memory(latency))[0].registers for latency in (5, 105))
    beats, program = -(-2 * COUNT // 8), len(encode(GOOD))
    assert quick["write_beats"] == slow["write_beats"] == beats
    assert quick["read_beats"] == slow["read_beats"] == beats + -(-program // 8)
    assert slow["cycles"] > quick["cycles"] + 250, "a program's words, its elements and its last answer come later"
    assert slow["read_waits_memory"] > quick["read_waits_memory"]
    assert quick["vector_busy"] > 0


@pytest.mark.parametrize("size_log2", range(4))
def test_elements_of_all_sizes_are_cut_or_padded(size_log2):
    """To what the stream takes: what NumPy says, for each stream that a pass reads."""
    memory = np.random.default_rng(size_log2).integers(0, 256, 4096).astype(np.uint8)
    passes = {
        Source.ELEMENTS: Pass(words=-(-COUNT // LANES)),
        Source.FACTORS: Pass(words=-(-COUNT // LANES), steps=FACTORED, options=FACTORS),
        Source.RESIDUAL: Pass(words=-(-COUNT // LANES), steps=STORED | PassStep.RESIDUAL),
        Source.GATE: Pass(words=-(-COUNT // LANES), steps=STORED | PassStep.GATE),
    }
    for source, step in passes.items():
        loads = [Load(source=Source.ELEMENTS, walk=walk(0x10))] if source is not Source.ELEMENTS else []
        loads.append(Load(source=source, walk=replace(walk(0x400), size_log2=size_log2)))
        commands = [*loads, step, Store(sink=Sink.RESULTS, walk=walk(0x800)), Halt()]
        machine = Executor(TINY, memory)
        machine.run(commands)
        (outcome,) = run(TINY, memory, [encode(commands)])
        assert np.array_equal(outcome.memory, machine.memory), source.name


def test_a_space_longer_than_its_loops_goes_through_them_again():
    """From where it is, in NumPy and on the RTL: guards and addresses go on."""
    memory = np.random.default_rng(0).integers(0, 256, 4096).astype(np.uint8)
    loops = (Loop(count=4, guard_0=30000), Loop(count=3, delta=8, guard_0=32767), *(Loop(count=2, delta=-10, guard_1=3),) * 2)
    count = 48 * 5 + 7
    long = replace(walk(0x100, count), u=loops, start_0=-100, limit_0=40000, start_1=-5, limit_1=60)
    commands = [
        replace(GOOD[0], walk=long),
        Pass(words=-(-count // LANES)),
        Store(sink=Sink.RESULTS, walk=walk(0x800, count)),
        Halt(),
    ]
    machine = Executor(TINY, memory)
    machine.run(commands)
    (outcome,) = run(TINY, memory, [encode(commands)])
    assert np.array_equal(outcome.memory, machine.memory)
    said = execute(TINY, commands, DEFAULT_TIMING, program_address(memory))
    assert (outcome.registers["cycles"], outcome.registers["read_beats"]) == (said.cycles, said.counters["read_beats"])
