"""The machine as a whole: a program's cycles, without its numbers."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import simpy

from dataflow.machine.native import Machine, last_byte
from dataflow.machine.numbers import Moment, Run
from dataflow.machine.timing import Memory
from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.isa.agreement import Agreement
from hw.isa.checks import check, check_order, up_to_halt
from hw.isa.commands import Command, Halt, Load, Store, Sync, Walk
from hw.isa.encoding import words as length


@dataclass(frozen=True)
class Execution:
    """What a program takes.

    Parameters
    ----------
    cycles : int
        From start to end, as the register of that name counts them.
    counters : dict of str to int
        Those of `hw.isa.registers.COUNTERS`, but ``cycles``.
    stepped : int
        Of the cycles, those that were not skipped as repetitions of others.
    moments : tuple of Moment
        When each ``STORE.RESULTS`` was complete.
    """

    cycles: int
    counters: dict[str, int]
    stepped: int = field(default=0, compare=False)
    moments: tuple[Moment, ...] = field(default=(), compare=False)


def execute(
    config: AcceleratorConfig, commands: Sequence[Command], memory: Memory, address: int = 0, *, behind: int = 0,
    overflow: bool = False, skip: bool = True, window_bytes: int | None = None,
) -> Execution:  # fmt: skip
    """Run a program on the machine.

    Parameters
    ----------
    config : AcceleratorConfig
        The accelerator.
    commands : sequence of Command
        The program; what stands behind its `hw.isa.commands.Halt` has no effect, though some of it is read.
    memory : Memory
        What is behind each port.
    address : int
        Where the program stands, a byte in the window.
    behind : int
        Bytes of the program behind those of `commands`.
    overflow : bool
        Whether a gradient is not finite, so that conditional commands are skipped.
    skip : bool
        Whether what happens again is skipped, which changes nothing but how long this takes.
    window_bytes : int, optional
        Length of the window, where walks are to be held to it, each element of each.

    Raises
    ------
    InputError
        If a field cannot be, see `hw.isa.checks`, or commands do not agree, see `hw.isa.agreement`; if the program does not end
        with `Halt`, or comes to a byte beyond the window.
    RuntimeError
        If it does not end: units wait for each other.
    """
    run, agreement = up_to_halt(commands), Agreement(config)
    for command in run:
        agreement.check_condition(command)
        if isinstance(command, Sync | Halt) or not (command.conditional and overflow):
            check(config, command)
            agreement.follow(command)
            if window_bytes is not None and isinstance(command, Load | Store):
                _check_window(config, command.walk, window_bytes)
    check_order(run)
    size = sum(length(type(command)) for command in commands) + behind // 4
    if size > config.most_counted or address >= 1 << config.address_bits:
        most = f"a program has at most {config.most_counted} words and begins before byte {1 << config.address_bits}"
        raise InputError(f"{most}; it has {size}, at {address}")
    machine = Machine(config, run, Run(memory.latency_cycles, memory.interval_cycles, size, address, overflow, skip))
    environment = simpy.Environment()
    environment.process(_accelerator(environment, machine))
    environment.run()
    if machine.done_at < 0:
        raise RuntimeError(f"the program does not end: nothing moves after cycle {machine.cycles}")
    return Execution(machine.done_at + 1, machine.counters(), machine.stepped, machine.moments())


def _accelerator(environment: simpy.Environment, machine: Machine) -> Generator[simpy.Event, Any, None]:
    """The machine as a process of SimPy, whose time goes on from results to results."""
    while machine.run():
        yield environment.timeout(machine.cycles - environment.now)


def _check_window(config: AcceleratorConfig, walk: Walk, window_bytes: int) -> None:
    last = last_byte(config, walk)
    if last >= window_bytes:
        raise InputError(f"a walk comes to byte {last}; the window has {window_bytes} bytes")
