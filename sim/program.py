"""A program on the RTL of the accelerator, against both other executors: memory against NumPy, cycles against SimPy."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dataflow.machine.executor import Execution, execute
from dataflow.machine.units.port import Memory
from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.isa.checks import up_to_halt
from hw.isa.commands import STREAMS, Command, Halt, Load, Store, Sync
from hw.isa.encoding import encode
from hw.isa.registers import ErrorCode
from sim import sat
from sim.asked import ask
from training.machine import order
from training.machine.executor import Executor
from training.machine.walks import Bytes

Row = dict[str, Any]
"""A comparison: what, ``bytes_compared``, ``bytes_different``."""


@dataclass(frozen=True)
class ProgramOnRtl:
    """What a program came to.

    Parameters
    ----------
    outcome : Outcome
        Of all of it on the RTL.
    execution : Execution
        What the SimPy machine says of its cycles and counters.
    rows : list of Row
        Of all of memory, against NumPy, after each operation, ``commands`` by name, and after the whole program; only the
        latter where commands were skipped after an overflow.
    """

    outcome: sat.Outcome
    execution: Execution
    rows: list[Row]

    @property
    def predicted(self) -> dict[str, int]:
        """Cycles and counters that the machine predicts."""
        return {"cycles": self.execution.cycles} | self.execution.counters

    @property
    def counted(self) -> dict[str, int]:
        """The same, of the RTL."""
        return {name: self.outcome.registers[name] for name in self.predicted}

    @property
    def agrees(self) -> bool:
        """Whether nothing differs."""
        return all(not row["bytes_different"] for row in self.rows) and self.counted == self.predicted


@dataclass(frozen=True)
class Refused:
    """A program that the RTL, or a model, does not run to its end.

    Parameters
    ----------
    outcome : Outcome
        Of the RTL: it may have stopped.
    said : dict of str to str
        Why each model refuses the program, by name; an empty text where one does not.
    """

    outcome: sat.Outcome
    said: dict[str, str]


def run_program(
    config: AcceleratorConfig,
    memory: Bytes,
    commands: Sequence[Command],
    timing: Memory = sat.DEFAULT_TIMING,
    behind: bytes = b"",
) -> ProgramOnRtl:
    """Run a program on the RTL as a whole, with bytes behind it, and operation by operation; compare with NumPy and SimPy."""
    (outcome,) = sat.run(config, memory, [encode(commands) + behind], timing=timing)
    return _compared(config, memory, commands, timing, behind, outcome)


def try_program(
    config: AcceleratorConfig, memory: Bytes, commands: Sequence[Command], timing: Memory, behind: bytes = b""
) -> ProgramOnRtl | Refused:
    """As `run_program`, of a program that may be anything.

    The RTL comes first. Where it stops, and where a model fails, there is nothing to compare: each model is asked why.
    """
    (outcome,) = sat.run(config, memory, [encode(commands) + behind], timing=timing)
    if outcome.error is ErrorCode.NONE:
        with suppress(InputError, RuntimeError, ArithmeticError, LookupError, ValueError, StopIteration, MemoryError):
            return _compared(config, memory, commands, timing, behind, outcome)
    address = sat.program_address(memory)
    said = {
        "NumPy": ask(run_numpy, config, memory, commands, memory_bytes=len(memory)),
        "SimPy": ask(execute, config, commands, timing, address, memory_bytes=len(memory)),
    }
    return Refused(outcome, said)


def run_numpy(config: AcceleratorConfig, memory: Bytes, commands: Sequence[Command]) -> None:
    """Run a program in NumPy, for what it says."""
    Executor(config, memory).run(commands)


def _compared(
    config: AcceleratorConfig, memory: Bytes, commands: Sequence[Command], timing: Memory, behind: bytes, outcome: sat.Outcome
) -> ProgramOnRtl:
    """A program that ended on the RTL, beside both models."""
    machine, rows = Executor(config, memory), []
    parts = list(operations(commands))
    if any(command.conditional for command in commands) and outcome.overflow:
        machine.run(commands)
        rows.append(_all_of("the whole program", machine, outcome))
    else:
        outcomes = sat.run(config, memory, [encode(part) for part in parts], timing=timing)
        for part, after in zip(parts, outcomes, strict=True):
            machine.run(part)
            rows.append(_all_of(", ".join(_name(command) for command in part[:-1]), machine, after))
        rows.append(_all_of("the whole program", machine, outcome))
    execution = execute(config, commands, timing, sat.program_address(memory), behind=len(behind), overflow=machine.overflow)
    return ProgramOnRtl(outcome, execution, rows)


def _all_of(name: str, machine: Executor, outcome: sat.Outcome) -> Row:
    different = int(np.count_nonzero(machine.memory != outcome.memory))
    return {"commands": name, "bytes_compared": len(machine.memory), "bytes_different": different}


def _name(command: Command) -> str:
    """Opcode and stream."""
    stream, _ = STREAMS.get(type(command), ("", None))
    return command.OPCODE.name + (f" {getattr(command, stream).name}" if stream else "")


def operations(commands: Sequence[Command]) -> Iterator[list[Command]]:
    """A program's operations, each a program of its own: all that it loads it also stores, and it waits for nothing."""
    for part in order.operations(command for command in up_to_halt(commands)[:-1] if not isinstance(command, Sync)):
        alone = [replace(command, after=0) if isinstance(command, Load | Store) else command for command in part]
        yield [*alone, Halt()]
