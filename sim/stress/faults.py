"""Programs that go wrong at random moments, on the RTL: the right cause is told, nothing else is touched, what follows runs.

::

    program ── made wrong, or disturbed ──► RTL ──► error code, unit, address      is it the right one?
       │                                     │
       │                                     ├────► memory                         only the program's stores?
       └── as it is, after a soft reset ──► RTL ──► memory                         what NumPy says?
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflow.network import INPUT, Conv, GlobalPool, Linear, Network, Relu
from hw.config import MOST_COUNT_BITS as COUNT_BITS
from hw.config import AcceleratorConfig
from hw.isa.agreement import OPERANDS
from hw.isa.bits import PACKED_COPIES, PassOption, PassStep, UpdateCopy
from hw.isa.commands import ADDRESS_BITS, Command, Counter, Halt, Load, Pass, Product, Source, Store, Update, Walk
from hw.isa.encoding import encode
from hw.isa.functions import Function
from hw.isa.reductions import MOST_GROUPS
from hw.isa.registers import ErrorCode, Unit
from hw.ratio import Ratio
from sim.rtl import sat
from sim.rtl.image import write
from sim.rtl.sat import Disturbance, Outcome
from sim.steps.assembled import assemble_step, initial_memory
from training import methods
from training.backend import ExactBackend
from training.machine.executor import Executor
from training.machine.walks import Bytes, blocks
from training.model import Model
from training.numbers import to_storage
from training.optimiser import Sgd

RUNS_AT_ONCE = 40
"""Of a simulator; then memory starts afresh."""
WATCHDOG_CYCLES = 3000
QUIET = Disturbance()


@dataclass(frozen=True)
class Fault:
    """A program with something wrong.

    Parameters
    ----------
    kind : str
        What is wrong.
    program : bytes
        As it is started.
    code : ErrorCode
        What is to be told; `ErrorCode.NONE` also where the accelerator is reset before it ends.
    unit, command : int, optional
        Who stops, and after how many commands, where it is known before.
    disturbance : Disturbance
        From outside.
    """

    kind: str
    program: bytes
    code: ErrorCode
    unit: int | None = None
    command: int | None = None
    disturbance: Disturbance = QUIET


def check_faults(
    config: AcceleratorConfig,
    memory: Bytes,
    commands: Sequence[Command],
    runs: int,
    seed: int,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[list[dict[str, Any]], int]:
    """Run a program `runs` times with something wrong, and after each time as it is.

    The memory stalls at random and answers out of order; that AXI's rules hold is checked throughout, see `sim.rtl.sat.run`.

    Returns
    -------
    rows : list of dict
        For each run ``kind``, ``told`` (the error's code, by name), and ``problems``, a list of str that should be empty.
    transfers : int
        On all channels of both AXI ports.
    """
    random, rows, transfers = Random(seed), list[dict[str, Any]](), 0
    whole = sat.run(config, memory, [encode(commands)])[0].registers
    written = _written(commands, len(memory))
    while len(rows) < runs:
        faults = [_draw(random, commands, whole) for _ in range(min(RUNS_AT_ONCE, runs - len(rows)))]
        pairs = [(fault.program, encode(commands)) for fault in faults]
        outcomes = sat.run(
            config,
            memory,
            [program for pair in pairs for program in pair],
            seed=random.randrange(1, 1 << 30),
            stalls=random.choice([0, 30, 120]),
            disturbances=[each for fault in faults for each in (fault.disturbance, QUIET)],
            watchdog_cycles=WATCHDOG_CYCLES,
        )
        transfers += outcomes[-1].transfers
        before = memory
        for fault, wrong, right in zip(faults, outcomes[::2], outcomes[1::2], strict=True):
            problems = _told(fault, wrong) + _kept(before, wrong.memory, written) + _recovered(config, commands, wrong, right)
            rows.append({"kind": fault.kind, "told": wrong.error.name, "problems": problems})
            before = right.memory
        progress(len(rows))
    return rows, transfers


def backward_program(config: AcceleratorConfig) -> tuple[Bytes, tuple[Command, ...]]:
    """A memory, and a program that does all there is: the backward half of a small network's step, at 2:8."""
    layers = (
        Conv(name="conv", inputs=(INPUT,), out_channels=8, kernel=2, stride=1, padding=1, bias=True),
        Relu(name="relu", inputs=("conv",)),
        GlobalPool(name="pool", inputs=("relu",), kind="mean"),
        Linear(name="out", inputs=("pool",), out_features=5),
    )
    network = Network(name="small", input_shape=(3, 3, 8), layers=layers)
    rng, storage, batch = np.random.default_rng(0), config.storage_format, 2
    method, optimiser = methods.load("bdwp"), Sgd()
    model = Model(network, ExactBackend(storage), rng, method=method, ratio=Ratio(2, 8), prune_first=True, prune_last=True)
    assembled = assemble_step(config, model, optimiser, 0.05, batch)
    images, gradient = (
        to_storage(rng.standard_normal((batch, *shape)).astype(np.float32), storage)
        for shape in (network.input_shape, network.shapes["out"])
    )
    machine = Executor(config, initial_memory(config, assembled, model, optimiser, images))
    machine.run(assembled.forward)
    write(machine.memory, assembled.memory["out.output_gradient"], gradient, storage)
    return machine.memory, assembled.backward


def _told(fault: Fault, outcome: Outcome) -> list[str]:
    """Whether the registers say what was wrong."""
    registers = outcome.registers
    due: dict[str, int] = {"error_code": fault.code}
    if outcome.fault:
        stream, address = outcome.fault
        first = Unit.READERS if fault.code is ErrorCode.READ_RESPONSE else Unit.WRITERS
        due |= {"error_unit": first + stream, "error_address": address}
    elif fault.disturbance.faulty_read >= 0 or fault.disturbance.faulty_write >= 0:
        due["error_code"] = ErrorCode.NONE  # it had ended before
    if fault.unit is not None:
        due["error_unit"] = fault.unit
    if fault.command is not None:
        due["error_command"] = fault.command
    return [f"{name} is {registers[name]}, not {value}" for name, value in due.items() if registers[name] != value]


def _kept(before: Bytes, after: Bytes, written: NDArray[np.bool_]) -> list[str]:
    """Whether memory beside the program's stores is as it was."""
    changed = np.flatnonzero((before != after) & ~written)
    return [f"byte {changed[0]}, which no store writes, was changed"] if changed.size else []


def _recovered(config: AcceleratorConfig, commands: Sequence[Command], wrong: Outcome, right: Outcome) -> list[str]:
    """Whether the program runs after a reset, on whatever the wrong one left."""
    machine = Executor(config, wrong.memory)
    machine.run(commands)
    if right.error is not ErrorCode.NONE:
        return [f"after the reset: {right.error.name}"]
    different = np.count_nonzero(machine.memory != right.memory)
    return [f"after the reset {different} bytes are wrong"] if different else []


def _written(commands: Sequence[Command], size: int) -> NDArray[np.bool_]:
    """Which bytes a program's stores write."""
    written = np.zeros(size, bool)
    for command in commands:
        if isinstance(command, Store):
            for block in blocks(command.walk, ADDRESS_BITS):
                places = block.addresses[block.inside]
                for byte in range(1 << command.walk.size_log2):
                    written[places + byte] = True
    return written


def _draw(random: Random, commands: Sequence[Command], whole: dict[str, int]) -> Fault:
    return random.choice(KINDS)(random, commands, whole)


def _read_error(random: Random, commands: Sequence[Command], whole: dict[str, int]) -> Fault:
    disturbance = Disturbance(faulty_read=random.randrange(whole["read_beats"]), fault=random.choice([2, 3]))
    return Fault("read response", encode(commands), ErrorCode.READ_RESPONSE, disturbance=disturbance)


def _write_error(random: Random, commands: Sequence[Command], whole: dict[str, int]) -> Fault:
    disturbance = Disturbance(faulty_write=random.randrange(whole["write_beats"] // 2), fault=random.choice([2, 3]))
    return Fault("write response", encode(commands), ErrorCode.WRITE_RESPONSE, disturbance=disturbance)


def _illegal_command(random: Random, commands: Sequence[Command], whole: dict[str, int]) -> Fault:
    """A header that is none: opcode, unit, flags or length."""
    number = random.randrange(len(commands))
    place = len(encode(commands[:number]))
    program = bytearray(encode(commands))
    header = int.from_bytes(program[place : place + 4], "little")
    mask = random.choice([random.randrange(8, 256), 0x80 << 8, 1 << random.randrange(17, 24), random.randrange(1, 256) << 24])
    program[place : place + 4] = (header ^ mask).to_bytes(4, "little")
    return Fault("illegal command", bytes(program), ErrorCode.ILLEGAL_COMMAND, Unit.CONTROL, number + 1)


def _illegal_field(random: Random, commands: Sequence[Command], whole: dict[str, int]) -> Fault:
    """Work for a unit that it cannot do."""
    number = _any(random, commands, Load, Store, Pass, Update, Product)
    wrong, unit = random.choice(list(impossible(commands[number])))
    return Fault("illegal field", _with(commands, number, wrong), ErrorCode.ILLEGAL_FIELD, unit)


def impossible(command: Command) -> Iterator[tuple[Command, int]]:
    """The command with a field that cannot be, and the unit that says so."""

    def each(unit: int, **wrong: Sequence[int]) -> Iterator[tuple[Command, int]]:
        for name, values in wrong.items():
            yield from ((replace(command, **{name: value}), unit) for value in values)  # type: ignore[arg-type]

    if isinstance(command, Load | Store):
        walks = _no_walks(command.walk) if _of_array(command) else chain(_no_walks(command.walk), _behind(command.walk))
        yield from ((replace(command, walk=walk), _stream(command)) for walk in walks)
    if isinstance(command, Load) and command.source <= Source.ACTIVATIONS:
        yield from each(_stream(command), group=[0, 1 << 8], shares=[0], share_words=[1 << COUNT_BITS])
    elif isinstance(command, Product):
        yield from each(Unit.ARRAY, rounds=[0, 1 << COUNT_BITS], part_rounds=[0], slot_rows=[0, 1 << 8], group_rounds=[1 << 8])
        yield from each(Unit.ARRAY, inner=[0, command.inner + 1], outer=[0], weight_shares=[0])
    elif isinstance(command, Pass):
        yield from each(Unit.VECTOR, words=[0], steps=[1 << len(PassStep)], options=[1 << len(PassOption)])
        yield from each(Unit.VECTOR, groups=[MOST_GROUPS + 1], function=[max(Function) + 1])
        if command.groups:
            yield from each(Unit.VECTOR, terms=[0], results=[0])
        if command.options & PassOption.FROM_SUMS:
            yield from each(Unit.VECTOR, outer=[0, command.outer + 1], middle=[command.middle + 1], row_tile=[0], columns=[0])
    elif isinstance(command, Update):
        yield from each(Unit.VECTOR, words=[0], copies=[1 << len(UpdateCopy)], unscale=[-129, 128], moments=[2])
        if command.copies & PACKED_COPIES:
            yield from each(Unit.VECTOR, words=[command.words + 1], n=[0, 5], m=[0, 12])


def _no_walks(walk: Walk) -> Iterator[Walk]:
    """The walk with a field that cannot be."""
    wrong: dict[str, Sequence[int]] = {"u_tile": [0], "v_size": [0, 1 << COUNT_BITS], "outer": [0], "size_log2": [7]}
    wrong |= {"boundary": [0], "v_counter": [4]}
    if walk.size_log2:
        wrong["base"] = [walk.base + 1, walk.base + (1 << walk.size_log2) // 2]
        yield replace(walk, v=(*walk.v[:-1], replace(walk.v[-1], delta=1)))
    for name, values in wrong.items():
        yield from (replace(walk, **{name: value}) for value in values)  # type: ignore[arg-type]


def _behind(walk: Walk) -> Iterator[Walk]:
    """The walk with a tile behind the end."""
    for counter, size, tile in ((walk.u_counter, walk.u_size, walk.u_tile), (walk.v_counter, walk.v_size, walk.v_tile)):
        if counter != Counter.NONE:
            behind = {Counter(counter).name.lower(): -(-size // tile) + 1}
            yield replace(walk, **behind)  # type: ignore[arg-type]


def _outside(random: Random, commands: Sequence[Command], whole: dict[str, int]) -> Fault:
    """A walk that leaves the window."""
    number = _any(random, [command if _reaches(command) else Halt() for command in commands], Load, Store)
    command = commands[number]
    assert isinstance(command, Load | Store)
    beyond = random.choice([sat.MEMORY_BYTES, 1 << 28, 1 << 36])
    walk: Walk = replace(command.walk, base=(command.walk.base + beyond) % (1 << ADDRESS_BITS))
    return Fault("outside", _with(commands, number, replace(command, walk=walk)), ErrorCode.OUTSIDE_WINDOW, _stream(command))


def _deadlock(random: Random, commands: Sequence[Command], whole: dict[str, int]) -> Fault:
    """A command of the vector unit's is missing: units wait for each other, until the watchdog says so."""
    number = _any(random, [Halt() if _of_array(command) else command for command in commands], Load, Store, Pass, Update)
    return Fault("deadlock", encode([*commands[:number], *commands[number + 1 :]]), ErrorCode.NO_PROGRESS, Unit.CONTROL)


def _disagreement(random: Random, commands: Sequence[Command], whole: dict[str, int]) -> Fault:
    """A command of a product is missing, or is another product's."""
    number = _any(random, [command if _of_array(command) else Halt() for command in commands], Load, Product, Pass)
    command, others = commands[number], list[Command]()
    if isinstance(command, Pass):  # without it, what waits for its words might stop the program before the next product does
        others = [replace(command, slot_rows=command.slot_rows + 1)]
    elif isinstance(command, Product) and random.random() < 0.5:
        others = [replace(command, weight_base=command.weight_base + 1)]
    wrong = [*commands[:number], *others, *commands[number + 1 :]]
    return Fault("disagreement", encode(wrong), ErrorCode.ILLEGAL_FIELD)


def _of_array(command: Command) -> bool:
    """Whether it is a product, or goes with one."""
    if isinstance(command, Pass):
        return bool(command.options & PassOption.FROM_SUMS)
    return isinstance(command, Product) or (isinstance(command, Load) and command.source in OPERANDS)


def _abort(random: Random, commands: Sequence[Command], whole: dict[str, int]) -> Fault:
    disturbance = Disturbance(abort_cycles=random.randrange(1, whole["cycles"]))
    return Fault("soft reset", encode(commands), ErrorCode.NONE, disturbance=disturbance)


KINDS = (_read_error, _write_error, _illegal_command, _illegal_field, _outside, _deadlock, _disagreement, _abort)


def _any(random: Random, commands: Sequence[Command], *kinds: type[Command]) -> int:
    """The number of some command of these kinds."""
    return random.choice([number for number, command in enumerate(commands) if isinstance(command, kinds)])


def _with(commands: Sequence[Command], number: int, wrong: Command) -> bytes:
    return encode([*commands[:number], wrong, *commands[number + 1 :]])


def _stream(command: Load | Store) -> int:
    return Unit.READERS + command.source if isinstance(command, Load) else Unit.WRITERS + command.sink


def _reaches(command: Command) -> bool:
    """Whether a walk comes to memory at all."""
    return isinstance(command, Load | Store) and any(block.inside.any() for block in blocks(command.walk, ADDRESS_BITS))
