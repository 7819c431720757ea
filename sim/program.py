"""A program on the RTL of the accelerator, against both other executors: memory against NumPy, cycles against SimPy."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dataflow.machine.executor import Execution, execute
from dataflow.machine.units.port import Memory
from hw.config import AcceleratorConfig
from hw.isa.checks import up_to_halt
from hw.isa.commands import STREAMS, Command, Halt, Load, Store, Sync
from hw.isa.encoding import encode
from sim import sat
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


def run_program(
    config: AcceleratorConfig,
    memory: Bytes,
    commands: Sequence[Command],
    timing: Memory = sat.DEFAULT_TIMING,
    behind: bytes = b"",
) -> ProgramOnRtl:
    """Run a program on the RTL as a whole, with bytes behind it, and operation by operation; compare with NumPy and SimPy."""
    (outcome,) = sat.run(config, memory, [encode(commands) + behind], timing=timing)
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
