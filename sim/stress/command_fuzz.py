"""Commands with a word changed: the RTL, NumPy and SimPy run such a program alike, or all of them refuse it.

::

    operations of a random training step ── a word changed ──┬─► RTL ─────► error?  memory  cycles, counters
                                                             ├─► NumPy ───► refused? memory
                                                             └─► SimPy ───► refused?         cycles, counters
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from random import Random

import numpy as np

from dataflow.machine.executor import Execution, execute
from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.isa.checks import up_to_halt
from hw.isa.commands import Command, Halt, Load, Store, Sync, Walk
from hw.isa.encoding import decode, encode, words
from hw.isa.registers import ErrorCode
from sim.rtl import sat
from sim.rtl.image import write
from sim.rtl.sat import Outcome
from sim.steps.assembled import assemble_step, initial_memory
from sim.stress.random_steps import draw
from training.machine.executor import Executor
from training.machine.order import Unordered, operations
from training.machine.walks import Bytes, blocks
from training.numbers import to_storage
from training.optimiser import Sgd

WATCHDOG_CYCLES = 3000
MOST_ELEMENTS = 20_000
"""Of a walk: longer ones take minutes, and end no other way."""

PROGRAM_BYTES = 4096
"""Of the window, behind the memory."""


@dataclass(frozen=True)
class Verdict:
    """What became of a program.

    Parameters
    ----------
    changed : str
        The command and its word, before and after.
    end : str
        ``runs``, ``refused``, or why it says nothing: ``races`` where accesses do not wait for each other, which the hardware
        cannot know, ``overwritten`` where a program writes itself.
    problems : list of str
        Where executors differ; it should be empty.
    """

    changed: str
    end: str
    problems: list[str]


def fuzz_commands(config: AcceleratorConfig, seed: int, count: int) -> list[Verdict]:
    """Run `count` programs in one simulation, each an operation of the step of `seed` with a word changed."""
    random = Random(seed)
    memory, bases = _operations(config, seed)
    first, verdicts = sat.program_address(memory), list[Verdict]()
    before = np.zeros(first + PROGRAM_BYTES, np.uint8)
    before[: len(memory)] = memory
    device = sat.Device(config, first, PROGRAM_BYTES, watchdog_cycles=WATCHDOG_CYCLES, window_bytes=len(before))
    with device:
        device.write(0, before)
        for _ in range(count):
            changed, program = _mutant(random, bases)
            whole = program + bytes(-len(program) % device.beat_bytes)
            before[first : first + len(whole)] = np.frombuffer(whole, np.uint8)
            outcome = device.run(program)
            verdicts.append(Verdict(changed, *compare(config, before, program, first, outcome)))
            before[:first] = outcome.memory
            if verdicts[-1].end == "overwritten":
                before[first:] = device.read(first, PROGRAM_BYTES)
    return verdicts


def _operations(config: AcceleratorConfig, seed: int) -> tuple[Bytes, list[list[Command]]]:
    """A memory in the middle of a random step, and all of the step's operations, each a program of its own."""
    drawn, optimiser = draw(seed, config), Sgd()
    assembled = assemble_step(config, drawn.model, optimiser, 0.05, len(drawn.images), drawn.dataflows)
    machine = Executor(config, initial_memory(config, assembled, drawn.model, optimiser, drawn.images))
    machine.run(assembled.forward)
    target, rng = assembled.memory["out.output_gradient"], np.random.default_rng(seed)
    gradient = to_storage(rng.standard_normal(target.shape).astype(np.float32), config.storage_format)
    write(machine.memory, target, gradient, config.storage_format)
    return machine.memory, [*_alone(assembled.forward), *_alone(assembled.backward)]


def _alone(program: Sequence[Command]) -> Iterator[list[Command]]:
    """A program's operations, each a program of its own, which waits for nothing."""
    for part in operations(command for command in up_to_halt(program)[:-1] if not isinstance(command, Sync)):
        yield [*(replace(one, after=0) if isinstance(one, Load | Store) else one for one in part), Halt()]


def _mutant(random: Random, bases: Sequence[Sequence[Command]]) -> tuple[str, bytes]:
    """What was changed, and the program."""
    while True:
        commands = random.choice(bases)
        number = random.randrange(len(commands))
        first = len(encode(commands[:number])) // 4
        place = first + random.randrange(words(type(commands[number])))
        program = list(struct.unpack(f"<{len(encode(commands)) // 4}I", encode(commands)))
        before, program[place] = program[place], _changed(random, program, program[place])
        mutant = struct.pack(f"<{len(program)}I", *program)
        if program[place] != before and not _takes_long(mutant):
            name = commands[number].OPCODE.name
            return f"{name} word {place - first}: {before:#010x} became {program[place]:#010x}", mutant


def _changed(random: Random, program: Sequence[int], word: int) -> int:
    """A word like this one: a bit of it, half of it, or all of it is another."""
    half = random.choice([0, 16])
    value = word >> half & 0xFFFF
    others = (0, 1, 2, 3, value + 1, value - 1, 2 * value, 0x7FFF, 0x8000, 0xFFFF, random.choice(program) & 0xFFFF)
    return random.choice(
        [
            word ^ 1 << random.randrange(32),
            word ^ 1 << half + random.randrange(6),
            word & ~(0xFFFF << half) | (random.choice(others) & 0xFFFF) << half,
            random.choice([*program, word + 1 & 0xFFFFFFFF, word - 1 & 0xFFFFFFFF]),
        ]
    )


def _takes_long(program: bytes) -> bool:
    """Whether some walk has very many elements."""
    walks = [command.walk for command in _decoded(program) if isinstance(command, Load | Store)]
    return any(
        prod((walk.outer, walk.middle, walk.inner, min(walk.u_tile, walk.u_size), min(walk.v_tile, walk.v_size)))
        > MOST_ELEMENTS
        for walk in walks
    )


def _decoded(program: bytes) -> list[Command]:
    """The commands; none where there is no program."""
    try:
        return decode(program)
    except InputError:
        return []


def compare(config: AcceleratorConfig, before: Bytes, program: bytes, place: int, outcome: Outcome) -> tuple[str, list[str]]:
    """How a program ended, and where executors differ in it."""
    commands, machine = _decoded(program), Executor(config, before)
    behind = len(program) - 4 * sum(words(type(command)) for command in commands)
    said: dict[str, str] = {"RTL": "" if outcome.error is ErrorCode.NONE else outcome.error.name}
    execution: Execution | None = None
    try:
        said["NumPy"] = ""
        machine.run(commands)
        if any(_reaches(config, command.walk, place) for command in commands if isinstance(command, Store)):
            return "overwritten", []
    except Unordered:
        return "races", []
    except InputError as error:
        said["NumPy"] = str(error)
    try:
        said["SimPy"] = ""
        execution = execute(config, commands, sat.DEFAULT_TIMING, place, behind=behind, window_bytes=len(before))
    except (InputError, RuntimeError) as error:
        said["SimPy"] = str(error)
    if all(said.values()):
        return "refused", []
    if any(said.values()) or execution is None:
        return "refused", [", ".join(f"{name}: {why or 'runs'}" for name, why in said.items())]
    return "runs", list(_differences(machine, execution, outcome))


def _reaches(config: AcceleratorConfig, walk: Walk, place: int) -> bool:
    """Whether a walk comes to a byte from `place` on, be it in the window or beyond."""
    found, size = blocks(walk, config.address_bits), 1 << walk.size_log2
    return any((block.addresses[block.inside] + size > place).any() for block in found)


def _differences(machine: Executor, execution: Execution, outcome: Outcome) -> Iterator[str]:
    different = int(np.count_nonzero(machine.memory[: len(outcome.memory)] != outcome.memory))
    if different:
        yield f"{different} bytes are not NumPy's"
    for name, due in ({"cycles": execution.cycles} | execution.counters).items():
        if outcome.registers[name] != due:
            yield f"{name} is {outcome.registers[name]}; SimPy says {due}"
