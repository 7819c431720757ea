"""Traffic for every unit of the accelerator: training steps, walks of all kinds on every stream, and what goes wrong there."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import prod
from random import Random
from typing import Any

import numpy as np

from hw.errors import SimulationError
from hw.isa.bits import PassOption, PassStep, UpdateCopy, union
from hw.isa.commands import (
    ADDRESS_BITS,
    LOOPS,
    NO_LIMIT,
    Command,
    Counter,
    Halt,
    Load,
    Loop,
    Pass,
    Product,
    Sink,
    Source,
    Store,
    Update,
    Walk,
)
from hw.isa.encoding import encode
from hw.isa.operands import loaded_boundaries
from hw.isa.reductions import MOST_GROUPS
from hw.isa.registers import ErrorCode, Unit
from sim.rtl import sat
from sim.rtl.sat import Disturbance, Outcome
from sim.stress.every_block import CONFIG
from sim.stress.faults import backward_program, check_faults, impossible
from sim.stress.random_steps import random_step
from training.machine.executor import Executor
from training.machine.walks import Bytes, blocks

SMALL = replace(CONFIG, w2e_buffer_bytes=1024, n2s_buffer_bytes=1024, output_buffer_bytes=256)
"""Buffers in which products are cut into parts, and their operands are held now and then."""

STEPS, FAULTS, WALKS = 2, 40, 4
"""Training steps; faults; walks of each stream and size."""

LANES = SMALL.vpu_lanes
READ, WRITTEN, MEMORY_BYTES = 4096, 8192, 32768
"""Where in the memory walks begin, and where stores do."""

STALLS, WATCHDOG_CYCLES = 30, 3000

_ONCE = (Loop(),) * (LOOPS - 1)

SIZES_LOG2 = range(4)
WIDEN, NARROW = PassStep.WIDEN, PassStep.NARROW
STREAMS = {
    Source.ELEMENTS: Pass(steps=WIDEN | NARROW),
    Source.FACTORS: Pass(steps=PassStep.SCALE | PassStep.SHIFT, options=PassOption.SCALE_FACTOR | PassOption.SHIFT_FACTOR),
    Source.RESIDUAL: Pass(steps=WIDEN | PassStep.RESIDUAL | NARROW),
    Source.GATE: Pass(steps=WIDEN | NARROW | PassStep.GATE),
}
"""Streams of words, and for each a pass that uses them."""


def play_accelerator(seed: int) -> None:
    """Everything: what memory then holds must be the trainer's, or NumPy's, and every error the right one."""
    random = Random(seed)
    for number in range(STEPS):
        step = random_step(seed + number, SMALL)
        if step.different or any(program.counted != program.predicted for program in step.programs):
            raise SimulationError(f"the step of seed {seed + number} is not the trainer's")
    memory = np.frombuffer(random.randbytes(MEMORY_BYTES), np.uint8)
    _play_programs(memory, [*_walks(random), *_operands(random), *_updates(random), *_reductions(random)], seed)
    _play_stops(memory)
    memory, commands = backward_program(SMALL)
    _play_fields(memory, commands)
    rows, _ = check_faults(SMALL, memory, commands, FAULTS, seed)
    if problems := [problem for row in rows for problem in row["problems"]]:
        raise SimulationError(f"faults: {problems[0]}")


def _play_programs(memory: Bytes, programs: Sequence[list[Command]], seed: int) -> None:
    """One after the other on one memory."""
    machine = Executor(SMALL, memory)
    for number, outcome in enumerate(_run(memory, programs, seed=seed)):
        machine.run(programs[number])
        if outcome.error is not ErrorCode.NONE or not np.array_equal(machine.memory, outcome.memory):
            raise SimulationError(f"program {number} does not leave what NumPy says: {outcome.error.name}")


def _run(memory: Bytes, programs: Sequence[Sequence[Command]], seed: int = 0, **more: object) -> list[Outcome]:
    encoded = [encode(program) for program in programs]
    return sat.run(SMALL, memory, encoded, seed=seed, stalls=STALLS, watchdog_cycles=WATCHDOG_CYCLES, **more)  # type: ignore[arg-type]


def _line(base: int, count: int, size_log2: int, run_limit: int = NO_LIMIT) -> Walk:
    """Elements side by side."""
    return Walk(
        base=base, size_log2=size_log2, boundary=LANES, u_size=count, u_tile=count, u=(Loop(count=count), *_ONCE),
        run_limit=run_limit,
    )  # fmt: skip


def _walks(random: Random) -> Iterator[list[Command]]:
    """Loads of any kind, and stores of elements of all sizes at all places of a beat."""
    for source, step in STREAMS.items():
        for size_log2 in SIZES_LOG2:
            for _ in range(WALKS):
                walk = _any_walk(random, size_log2)
                shapes = (block.addresses.shape for block in blocks(walk, ADDRESS_BITS))
                words = sum(rows * -(-length // LANES) for rows, length in shapes)
                others = [] if source is Source.ELEMENTS else [Load(source=Source.ELEMENTS, walk=_line(READ, words * LANES, 1))]
                yield [*others, Load(source=source, walk=walk), replace(step, words=words), *_store(random, words), Halt()]


def _operands(random: Random) -> Iterator[list[Command]]:
    """Products of operands of all sizes at all places of a beat, either way round."""
    for size_log2 in SIZES_LOG2:
        for across in (0, 1):
            for number in range(WALKS):
                lines, group, size = SMALL.rows, SMALL.max_group, 1 << size_log2
                base = READ + size * random.randrange(8)
                u, v = (lines, group) if across else (group, lines)
                (boundary,) = loaded_boundaries(SMALL, lines, across, group, 0)
                walk = replace(_line(base, u, size_log2, [1, u][number // 2 % 2]), boundary=boundary, v_size=v, v_tile=v)
                runs = (Loop(count=u), *_ONCE), _split(u, 2 * size)
                walk = replace(walk, u=runs[number % 2], v=_split(v, u * size))
                place: dict[str, Any] = {"walk": walk, "across": across, "group": group, "share_words": 1, "line_words": 1}
                share: dict[str, Any] = {
                    f"{side}_{kind}_words": 1 for side in ("weight", "activation") for kind in ("share", "line")
                }
                product = Product(rounds=group, part_rounds=group, group_rounds=group, dense=1, **share)
                loads = [Load(source=source, **place) for source in (Source.WEIGHTS, Source.ACTIVATIONS)]
                sums = Pass(
                    words=lines, options=PassOption.FROM_SUMS, columns=lines, column_tile=lines, rows=lines, row_tile=lines
                )
                yield [*loads, product, sums, *_store(random, lines), Halt()]


def _split(count: int, step: int) -> tuple[Loop, ...]:
    """A space of equal steps in as many loops of 2 as it makes."""
    if count != 1 << LOOPS:
        return (Loop(count=count, delta=step), *_ONCE)
    return (Loop(count=2, delta=step), *(Loop(count=2, delta=step) for _ in _ONCE))


def _any_walk(random: Random, size_log2: int) -> Walk:
    """Any walk of a few dozen elements."""
    size = 1 << size_log2

    def space(*, run: bool) -> tuple[Loop, ...]:
        def loop(number: int) -> Loop:
            guards = [0 if run and not number else random.randint(-3, 3) for _ in range(2)]
            count = random.randint(1, 5 if number == 0 else 3)
            return Loop(count=count, delta=size * random.randint(-20, 20), guard_0=guards[0], guard_1=guards[1])

        return tuple(loop(number) for number in range(LOOPS))

    spaces = {"u": space(run=True), "v": space(run=False)}
    counters = list(Counter)[1:]
    moving = random.sample([*counters, Counter.NONE], 2)
    counts = {counter: random.randint(1, 2) for counter in counters}
    fields: dict[str, int] = {}
    for name, counter in zip("uv", moving, strict=True):
        length = random.randint(1, min(12, prod(loop.count for loop in spaces[name])))
        tile = length if counter is Counter.NONE else random.randint(-(-length // 3), length)
        if counter is not Counter.NONE:
            counts[counter] = -(-length // tile)
        fields |= {f"{name}_counter": counter, f"{name}_size": length, f"{name}_tile": tile}
    return Walk(
        base=READ + size * random.randrange(16), size_log2=size_log2, boundary=LANES, outer=counts[Counter.OUTER],
        middle=counts[Counter.MIDDLE], inner=counts[Counter.INNER], run_limit=random.choice([1, 2, NO_LIMIT]),
        run_guard=random.randrange(2), start_0=random.randint(-4, 4), limit_0=random.choice([3, 65535]),
        start_1=random.randint(-3, 4), limit_1=random.choice([1, 4, 65535]), u=spaces["u"], v=spaces["v"], **fields,
    )  # fmt: skip


def _store(random: Random, words: int, sink: Sink = Sink.RESULTS, place: int = WRITTEN) -> list[Command]:
    """A store of so many words in elements of any size; some of them are outside."""
    size_log2, count = random.randrange(4), words * LANES
    base = place + (random.randrange(8) << size_log2)
    return [Store(sink=sink, walk=_line(base, count, size_log2, run_limit=random.choice([count // 2, count, NO_LIMIT])))]


def _updates(random: Random) -> Iterator[list[Command]]:
    """Updates with all copies, at every M; the copies in elements of all sizes. And of moments."""
    words = SMALL.turned_block_words
    loads = [
        Load(source=source, walk=_line(READ, words * LANES, size))
        for source, size in ((Source.ELEMENTS, 2), (Source.FACTORS, 3))
    ]
    for m in (2, 4, 8, 16):
        for _ in range(WALKS):
            update = Update(
                words=words,
                copies=union(UpdateCopy),
                n=random.choice([1, 2]),
                m=m,
                momentum=0x3F000000,
                learning_rate=0x3F000000,
            )
            packed = words // m * update.n
            places = {Sink.RESULTS: words, Sink.COPY: words, Sink.FORWARD: packed, Sink.BACKWARD: packed}
            stores = [
                store
                for number, (sink, count) in enumerate(places.items())
                for store in _store(random, count, sink, WRITTEN + 4096 * number)
            ]
            yield [*loads, update, *stores, Halt()]
    yield [*loads, Update(words=words, moments=1, momentum=0x3F000000), *_store(random, words), Halt()]


def _reductions(random: Random) -> Iterator[list[Command]]:
    """Sums and maxima of words from memory, several behind each other."""
    for groups, terms, count in ((1, 1, 3), (3, 20, 2), (MOST_GROUPS, 2, 1)):
        for option in (0, PassOption.LARGEST):
            words, results = groups * terms * count, groups * count
            step = Pass(words=words, steps=WIDEN, options=option, groups=groups, terms=terms, results=results)
            yield [Load(source=Source.ELEMENTS, walk=_line(READ, words * LANES, 1)), step, *_store(random, results), Halt()]
    for steps in (WIDEN, WIDEN | NARROW):
        step = Pass(
            words=60, steps=steps, options=PassOption.BESIDE, groups=3, terms=20, results=3, held_block=2, column_tile=16
        )
        stores = [*_store(random, 60), *_store(random, 3, place=WRITTEN + 4096)]
        yield [Load(source=Source.ELEMENTS, walk=_line(READ, 60 * LANES, 1)), step, *stores, Halt()]
    for terms, last in ((1, 1), (20, LANES)):
        words, across = 2 * LANES * terms, PassOption.ACROSS
        step = Pass(words=words, steps=WIDEN, options=across, groups=LANES, terms=terms, results=2, last_lanes=last)
        yield [Load(source=Source.ELEMENTS, walk=_line(READ, step.words * LANES, 1)), step, *_store(random, 2), Halt()]


def _play_stops(memory: Bytes) -> None:
    """Each stream with a walk that cannot be, with one that leaves the window, and with answers that are errors."""
    programs, due = list[list[Command]](), list[tuple[ErrorCode, int]]()
    wrong = {ErrorCode.ILLEGAL_FIELD: _line(READ + 1, 8, 1), ErrorCode.OUTSIDE_WINDOW: _line(sat.MEMORY_BYTES, 8, 1)}
    sound = next(_updates(Random(0)))[:-1]  # what is wrong is told before its end is read
    for code, walk in wrong.items():
        for source in list(Source)[1:]:
            operand = source in (Source.WEIGHTS, Source.ACTIVATIONS)
            boundary = loaded_boundaries(SMALL, SMALL.rows, 0, 16, 0)[0] if operand else LANES
            programs.append([Load(source=source, walk=replace(walk, boundary=boundary), group=16), *sound, Halt()])
            due.append((code, Unit.READERS + source))
        for sink in Sink:
            programs.append([Store(sink=sink, walk=walk), Halt()])
            due.append((code, Unit.WRITERS + sink))
    programs.append([])
    due.append((ErrorCode.ILLEGAL_FIELD, Unit.READERS + Source.FETCH))
    _check_stops(_run(memory, programs), due)
    _check_stops(_run(memory, [[Halt()]], window_bytes=MEMORY_BYTES), [(ErrorCode.OUTSIDE_WINDOW, Unit.READERS + Source.FETCH)])
    random = Random(0)
    reading = [[Load(source=source, walk=_line(READ, 64, 1)), *_store(random, 1), Halt()] for source in STREAMS]
    reading += [next(_operands(random)), [Halt()]]
    faults = []
    for program in reading:
        fetched = len(encode(program)) // 8
        faults += [(program, Disturbance(faulty_read=beat)) for beat in range(max(fetched - 8, 0), fetched + 24)]
    faults += [(next(_updates(random)), Disturbance(faulty_write=number)) for number in range(80)]
    outcomes = _run(memory, [program for program, _ in faults], disturbances=[fault for _, fault in faults])
    for outcome in outcomes:
        if outcome.fault and outcome.error not in (ErrorCode.READ_RESPONSE, ErrorCode.WRITE_RESPONSE):
            raise SimulationError(f"an answer that is an error was told as {outcome.error.name}")


def _play_fields(memory: Bytes, commands: Sequence[Command]) -> None:
    """The first command of each kind with each field that cannot be."""
    programs, due, seen = list[list[Command]](), list[tuple[ErrorCode, int]](), set[tuple[type, int, bool]]()
    for number, command in enumerate(commands):
        kind = type(command), command.unit, isinstance(command, Pass) and bool(command.options & PassOption.FROM_SUMS)
        if kind in seen:
            continue
        seen.add(kind)
        for wrong, unit in impossible(command):
            programs.append([*commands[:number], wrong, *commands[number + 1 :]])
            due.append((ErrorCode.ILLEGAL_FIELD, unit))
    _check_stops(_run(memory, programs), due)


def _check_stops(outcomes: Sequence[Outcome], due: Sequence[tuple[ErrorCode, int]]) -> None:
    for outcome, told in zip(outcomes, due, strict=True):
        if (outcome.error, outcome.registers["error_unit"]) != told:
            raise SimulationError(f"{told} was told as {outcome.error.name} of unit {outcome.registers['error_unit']}")
