"""Waveforms of a part of a training, which a simulator that writes all its signals plays again from the memory as it was."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dataflow.machine.timing import Memory
from hw.config import AcceleratorConfig
from hw.dma.port import master_members, masters
from hw.errors import InputError
from hw.files import write_whole
from hw.isa.checks import up_to_halt
from hw.isa.commands import Command, Halt, Load, Sink, Store, Sync
from hw.isa.encoding import encode
from sim.rtl import sat
from training.machine import order
from training.machine.executor import Executor
from training.machine.walks import Bytes

DUT = "sat_bench.body.dut"


@dataclass(frozen=True)
class Part:
    """What a waveform is wanted of.

    Parameters
    ----------
    step : int
        Of the training, from 1.
    command : int, optional
        Of the step's programs, one after the other, from 0, numbered as ``nmtrain program show`` does: the operation that it
        belongs to. All of them otherwise.
    """

    step: int = 1
    command: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Part":
        """From ``step:3``, ``command:17`` of the first step, or ``step:3/command:17``."""
        found = re.fullmatch(r"(?:step:(\d{1,9}))?/?(?:command:(\d{1,9}))?", text)
        if not text or not found or found[1] == "0" or text[0] == "/" or text[-1] == "/":
            raise InputError(f"--wave must be step:S, command:C or step:S/command:C, not {text!r}")
        return cls(int(found[1] or 1), None if found[2] is None else int(found[2]))


@dataclass(frozen=True)
class Operation:
    """A part of a program that can run by itself: all that it loads and computes it also stores.

    Parameters
    ----------
    first, end : int
        Of the program, the number of its first command, and of the first one behind it.
    commands : list of Command
        A program of its own.
    """

    first: int
    end: int
    commands: list[Command]


def operations(commands: Sequence[Command]) -> Iterator[Operation]:
    """A program's operations."""
    group: list[Command] = []
    for number, command in enumerate(up_to_halt(commands)):
        if isinstance(command, Sync | Halt):
            yield from _operations(group, number - len(group))
            group = []
        else:
            group.append(command)


def _operations(group: Sequence[Command], first: int) -> Iterator[Operation]:
    """Those between two synchronisations; what stands between a product and the last of its sums belongs to it."""
    part: list[Command] = []
    tiles, before = order.OpenTiles(), 0
    for operation in order.operations(group):
        tiles.add(operation)
        part += operation
        if not tiles.left:
            yield Operation(first, first + len(part), [*(_sooner(command, before) for command in part), Halt()])
            before += sum(isinstance(command, Store) and command.sink is Sink.RESULTS for command in part)
            first += len(part)
            part = []
    if part:
        yield Operation(first, first + len(part), [*part, Halt()])


def _sooner(command: Command, stores: int) -> Command:
    """The command without the first so many results that it waits for."""
    return replace(command, after=max(0, command.after - stores)) if isinstance(command, Load | Store) else command


def record(
    config: AcceleratorConfig,
    memory: Bytes,
    commands: Sequence[Command],
    command: int | None,
    timing: Memory,
    path: Path,
) -> list[Path]:
    """Write the waveform of a program, or of the operation that one of its commands belongs to.

    Parameters
    ----------
    config : AcceleratorConfig
        The accelerator.
    memory : array of uint8
        Before the program.
    commands : sequence of Command
        The program.
    command : int, optional
        Of the program, from 0.
    timing : Memory
        Of the accelerator's memory.
    path : Path
        Ends in ``.fst``; lists of signals for GTKWave and Surfer get the same name, with other endings.

    Returns
    -------
    list of Path
        What was written: nothing of a command that was skipped since a gradient was not finite, nor of ``HALT``.
    """
    if command is not None:
        operation = next((one for one in operations(commands) if command < one.end), None)
        if not operation:
            return []
        machine = Executor(config, memory)
        machine.run([*commands[: operation.first], Halt()])
        if machine.overflow and any(one.conditional for one in operation.commands):
            return []
        memory, commands = machine.memory, operation.commands
    program = encode(commands)
    path.parent.mkdir(parents=True, exist_ok=True)
    with sat.Device(config, len(memory), len(program), timing=timing, wave=path) as device:
        device.write(0, memory)
        device.run(program)
    names = [name for master in masters(config) for name in master_members(config, master)]
    signals = [f"{DUT}.{name}" for name in ("clk", "rst", "irq", *names)]
    gtkwave, surfer = path.with_suffix(".gtkw"), path.with_suffix(".sucl")
    write_whole(gtkwave, "\n".join([f'[dumpfile] "{path.absolute()}"', *signals, ""]))
    write_whole(surfer, "\n".join([f"load_file {path.absolute()}", *(f"variable_add {name}" for name in signals), ""]))
    return [path, gtkwave, surfer]
