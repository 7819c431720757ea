"""A program on the RTL of the accelerator, against both other executors: memory against NumPy, cycles against SimPy."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from dataflow.machine.executor import Execution, execute
from dataflow.machine.timing import Memory
from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.isa.commands import Command
from hw.isa.encoding import encode
from hw.isa.registers import ErrorCode
from sim.rtl import sat
from sim.rtl.written import Journal, Place, Row
from sim.steps.asked import ask
from training.machine.executor import Executor
from training.machine.walks import Bytes


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
        Against NumPy: of what each operation wrote, ``commands`` by name, and of all of memory after the program.
    first : Place, optional
        Where what they wrote differs first.
    """

    outcome: sat.Outcome
    execution: Execution
    rows: list[Row]
    first: Place | None = None

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
    """Run a program on the RTL, with bytes behind it; compare all that it writes with NumPy, and its cycles with SimPy."""
    return _compared(config, memory, commands, timing, behind, _run(config, memory, commands, timing, behind))


def try_program(
    config: AcceleratorConfig, memory: Bytes, commands: Sequence[Command], timing: Memory, behind: bytes = b""
) -> ProgramOnRtl | Refused:
    """As `run_program`, of a program that may be anything.

    The RTL comes first. Where it stops, and where a model fails, there is nothing to compare: each model is asked why.
    """
    outcome = _run(config, memory, commands, timing, behind)
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


def written_rows(journal: Journal, outcome: sat.Outcome) -> list[Row]:
    """Of a program that both have run: a comparison of each operation's bytes, and one of all of memory."""
    left = journal.machine.memory
    different = int(np.count_nonzero(left != outcome.memory[: len(left)]))
    whole = {"commands": "the whole program", "bytes_compared": len(left), "bytes_different": different}
    assert outcome.writes is not None, "the device has a journal"
    return [*journal.rows(outcome.writes), whole]


def _run(config: AcceleratorConfig, memory: Bytes, commands: Sequence[Command], timing: Memory, behind: bytes) -> sat.Outcome:
    (outcome,) = sat.run(config, memory, [encode(commands) + behind], timing=timing, journal=True)
    return outcome


def _compared(
    config: AcceleratorConfig, memory: Bytes, commands: Sequence[Command], timing: Memory, behind: bytes, outcome: sat.Outcome
) -> ProgramOnRtl:
    """A program that ended on the RTL, beside both models."""
    journal = Journal(Executor(config, memory))
    journal.run(commands)
    overflow = journal.machine.overflow
    execution = execute(config, commands, timing, sat.program_address(memory), behind=len(behind), overflow=overflow)
    return ProgramOnRtl(outcome, execution, written_rows(journal, outcome), journal.first)
