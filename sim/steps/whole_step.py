"""A whole training step on the accelerator's RTL, from the image in memory to the updated weights and their packed copies.

::

    image ─► forward program ─► logits ─► loss, on the host ─► backward program ─► updated weights
              │ all of memory after each of its commands,             │
              │ and its cycles                                        │ all tensors
              ▼                                                       ▼
             training.machine, dataflow.machine                      training.step
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflow.compile.assemble import Assembled
from dataflow.compile.memory import Tensor
from dataflow.compile.updates import at_rates
from dataflow.machine.executor import Execution, execute
from dataflow.machine.timing import Memory as MemoryTiming
from hw.config import AcceleratorConfig
from hw.isa.commands import Command
from hw.isa.encoding import encode as encode_program
from sim.rtl import sat
from sim.rtl.image import Bytes, weights, write
from sim.rtl.written import Journal, Row
from sim.steps.assembled import Dataflows, as_host, as_scheduled, assemble_step, initial_memory, rates_of, tensor_rows
from sim.steps.difference import told_apart
from sim.steps.program import ProgramOnRtl, written_rows
from training.backend import ExactBackend
from training.loss import cross_entropy
from training.machine.executor import Executor
from training.model import Model
from training.numbers import Array
from training.optimiser import Optimiser
from training.step import training_step


@dataclass(frozen=True)
class StepOnRtl:
    """What a step came to.

    Parameters
    ----------
    rows : list of Row
        For each ``tensor`` that the trainer knows.
    programs : (ProgramOnRtl, ProgramOnRtl)
        Forward and backward.
    loss : float
        That the host computed.
    correct : int
        Images that were classified right.
    """

    rows: list[Row]
    programs: tuple[ProgramOnRtl, ProgramOnRtl]
    loss: float
    correct: int

    @property
    def agrees(self) -> bool:
        """Whether no byte and no counter differs."""
        return not self.different and all(program.counted == program.predicted for program in self.programs)

    @property
    def different(self) -> int:
        """Bytes that are not the trainer's, or not the commands'."""
        return self._sum("bytes_different")

    @property
    def compared(self) -> int:
        """Bytes that were compared with either."""
        return self._sum("bytes_compared")

    def _sum(self, what: str) -> int:
        return sum(row[what] for rows in (self.rows, *(one.rows for one in self.programs)) for row in rows)


@dataclass(frozen=True)
class Played:
    """A program of a step, from which it can be played again.

    Parameters
    ----------
    name : str
        ``forward`` or ``backward``.
    memory : array of uint8
        Before it.
    commands : sequence of Command
        The program.
    """

    name: str
    memory: Bytes
    commands: Sequence[Command]


class StepsOnRtl:
    """Training steps of a model on the RTL, one after the other, beside the trainer and both models of the accelerator.

    Weights, velocities and packed copies stay in the accelerator's memory from step to step, and go from one place to the
    other; the host writes images and the gradient of the loss.

    Parameters
    ----------
    config : AcceleratorConfig
        The accelerator.
    model, optimiser : Model, Optimiser
        They go on by each step.
    batch : int
        The most images of a step.
    timing : Memory
        Of the memory behind the accelerator.
    dataflows : Dataflows
        What stays in the array for each product.

    Attributes
    ----------
    difference : str
        What the RTL had otherwise than the NumPy executor or the machine first; empty where nothing was.
    played : list of Played
        The programs of the last step.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        model: Model,
        optimiser: Optimiser,
        batch: int,
        *,
        timing: MemoryTiming = sat.DEFAULT_TIMING,
        dataflows: Dataflows = as_scheduled,
    ) -> None:
        model.set_backend(ExactBackend(config.storage_format))
        self.config, self.model, self.optimiser = config, model, optimiser
        self.timing, self.dataflows = timing, dataflows
        self._assembled: dict[tuple[int, bool], Assembled] = {}
        self._predicted: dict[tuple[int, bool, str, bool], Execution] = {}
        self._exchanged = False  # whether the places are
        first = self._of(batch)
        longest = max(len(encode_program(commands)) for commands in (first.forward, first.backward))
        self.device = sat.Device(config, first.memory.size_bytes, longest, timing=timing, journal=True)
        self.played: list[Played] = []
        self._machine: Journal | None = None
        self._batch = 0
        self.difference = ""

    def __enter__(self) -> "StepsOnRtl":
        self.device.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        self.device.__exit__(*raised)

    def step(self, images: Array, labels: NDArray[np.integer], learning_rate: float, smoothing: float = 0.0) -> StepOnRtl:
        """Train on a batch, see `training.step.training_step`, on the RTL and in NumPy; compare all that both have."""
        batch, self.played = len(labels), []
        assembled, done = self._of(batch), list[ProgramOnRtl]()
        self._settle(batch, assembled)
        rates, capture = rates_of(self.optimiser, learning_rate), dict[str, Any]()

        def run(half: str, commands: Sequence[Command]) -> Bytes:
            done.append(self._run(half, batch, at_rates(commands, rates)))
            return done[-1].outcome.memory

        logits = as_host(self.model, self.optimiser, assembled, images, labels, self._write, run, smoothing)
        loss, _ = cross_entropy(logits, labels, smoothing)
        training_step(self.model, self.optimiser, images, labels, learning_rate, capture, smoothing)
        forward, backward = done
        overflow, memory = backward.outcome.overflow, backward.outcome.memory
        self._exchanged ^= not overflow
        rows = tensor_rows(self.config, assembled, (self.model, self.optimiser), capture, memory, overflow=overflow)
        return StepOnRtl(rows, (forward, backward), loss, int((logits.argmax(axis=1) == labels).sum()))

    def programs(self, batch: int) -> tuple[Sequence[Command], Sequence[Command]]:
        """Forward and backward, for so many images."""
        return self._of(batch).forward, self._of(batch).backward

    def _of(self, batch: int) -> Assembled:
        """The programs for so many images; their rates are those of no step."""
        key = batch, self._exchanged
        if key not in self._assembled:
            found = assemble_step(
                self.config, self.model, self.optimiser, 1.0, batch, self.dataflows, exchanged=self._exchanged
            )
            self._assembled[key] = found
        return self._assembled[key]

    def _settle(self, batch: int, assembled: Assembled) -> None:
        """Have the model in memory where the programs for so many images look for it."""
        if batch == self._batch:
            return
        before = self.device.read() if self._machine else None
        memory = initial_memory(self.config, assembled, self.model, self.optimiser)
        if before is not None:  # what the accelerator has trained so far, from where it was
            known = self._of(self._batch).memory.tensors
            for name in weights(self.model, self.optimiser).keys() & known.keys():
                old, new = known[name], assembled.memory.tensors[name]
                memory[new.offset : new.offset + new.size_bytes] = before[old.offset : old.offset + old.size_bytes]
        self.device.write(0, memory)
        self._machine, self._batch = Journal(Executor(self.config, memory)), batch

    def _write(self, tensor: Tensor, values: Array) -> None:
        """Put a tensor into both memories."""
        assert self._machine is not None
        memory, place = self._machine.machine.memory, slice(tensor.offset, tensor.offset + tensor.size_bytes)
        write(memory, tensor, values, self.config.storage_format)
        self.device.write(tensor.offset, memory[place])

    def _run(self, half: str, batch: int, commands: Sequence[Command]) -> ProgramOnRtl:
        """A program on the RTL, beside both models."""
        assert self._machine is not None
        self.played.append(Played(half, self._machine.machine.memory.copy(), commands))
        self.device.begin(encode_program(commands))
        self._machine.run(commands)
        overflow = self._machine.machine.overflow
        known = batch, self._exchanged, half, overflow
        if known not in self._predicted:
            found = execute(self.config, commands, self.timing, self.device.programs_at, overflow=overflow)
            self._predicted[known] = found
        outcome = self.device.outcome()
        rows = written_rows(self._machine, outcome)
        done = ProgramOnRtl(outcome, self._predicted[known], rows, self._machine.first)
        tensors = self._of(batch).memory.tensors
        self.difference = self.difference or told_apart(
            half, done, tensors, self._machine.machine.memory, self.config.storage_format
        )
        return done


def step_on_rtl(
    config: AcceleratorConfig,
    model: Model,
    optimiser: Optimiser,
    images: Array,
    labels: NDArray[np.integer],
    learning_rate: float,
    timing: MemoryTiming = sat.DEFAULT_TIMING,
    dataflows: Dataflows = as_scheduled,
) -> StepOnRtl:
    """A single step of `StepsOnRtl`."""
    with StepsOnRtl(config, model, optimiser, len(labels), timing=timing, dataflows=dataflows) as steps:
        return steps.step(images, labels, learning_rate)


def step_summary(step: StepOnRtl) -> dict[str, Any]:
    """A step as JSON: loss, comparisons of tensors, and for each program its registers, its parts, and what was predicted."""
    programs = [
        {
            "name": name,
            "registers": program.outcome.registers,
            "commands": program.rows,
            "counted": program.counted,
            "predicted": program.predicted,
        }
        for name, program in zip(("forward", "backward"), step.programs, strict=True)
    ]
    return {
        "loss": step.loss,
        "bytes_compared": sum(row["bytes_compared"] for row in step.rows),
        "bytes_different": step.different,
        "counters_equal": all(program["counted"] == program["predicted"] for program in programs),
        "tensors": step.rows,
        "programs": programs,
    }
