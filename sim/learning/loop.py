"""A network that learns on the RTL: the training loop of the trainer, whose steps the simulated accelerator does.

::

    images ─► RTL: products, passes, updates, packed copies ─► the next step's weights, in its memory
         └──► NumPy: the same step ──────────────────────────► equal to the last byte, or it stops
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflow.machine.timing import Memory
from hw.config import AcceleratorConfig
from hw.errors import InputError, SimulationError
from hw.files import append_line, write_whole
from hw.inputs import parse_json, read_text
from sim.learning.recording import Part, operations, record
from sim.steps.whole_step import StepOnRtl, StepsOnRtl
from training.experiment import Experiment, run
from training.journal import Journal
from training.loop import Progress
from training.model import Model
from training.numbers import Array
from training.optimiser import Optimiser
from training.step import Outcome

STEPS = "steps.jsonl"
"""A line a step: ``step``, from 1, ``loss``, ``accuracy`` of its batch, ``updated``, and the RTL's ``cycles`` and counters."""


@dataclass(frozen=True)
class Told:
    """Where a training on the RTL stands.

    Parameters
    ----------
    where : Progress
        Of the training.
    step, cycles : int
        Steps, and simulated cycles, since its beginning.
    latest : int
        Cycles of the last step.
    """

    where: Progress
    step: int
    cycles: int
    latest: int


class OnRtl:
    """Steps of a training on the simulated accelerator; see `training.step.Stepper`.

    Parameters
    ----------
    config : AcceleratorConfig
        The accelerator.
    batch : int
        The most images of a step.
    timing : Memory
        Of the memory behind it.
    path : Path
        Of the steps' lines, see `STEPS`. Those of a training that goes on stay. Waveforms come beside it.
    wave : Part, optional
        What to write a waveform of; of an operation that differs one is written anyway.

    Attributes
    ----------
    history : list of dict
        The lines.
    bytes_compared : int
        Of all that was compared here.
    """

    def __init__(self, config: AcceleratorConfig, batch: int, timing: Memory, path: Path, wave: Part | None = None) -> None:
        self.wave = wave
        self.config, self.batch, self.timing, self.path = config, batch, timing, path
        self.history: list[dict[str, Any]] = []
        self.bytes_compared = 0
        self._opened = ExitStack()
        self._steps: StepsOnRtl | None = None

    def __enter__(self) -> "OnRtl":
        return self

    def __exit__(self, *raised: object) -> None:
        self._opened.__exit__(*raised)  # type: ignore[arg-type]

    @property
    def cycles(self) -> int:
        """Of all steps."""
        return sum(one["cycles"] for one in self.history)

    def __call__(
        self,
        model: Model,
        optimiser: Optimiser,
        images: Array,
        labels: NDArray[np.integer],
        learning_rate: float,
        *,
        smoothing: float,
    ) -> Outcome:
        """A step on both; `SimulationError` at the first difference."""
        number, steps = model.moment.step + 1, self._steps or self._begin(model, optimiser)
        scale = optimiser.loss_scale.scale
        done = steps.step(images, labels, learning_rate, smoothing)
        if not done.agrees:
            names = ", ".join(row["tensor"] for row in done.rows if row["bytes_different"])
            told = f"step {number}: {steps.difference or f'not as the trainer has it: {names}'}"
            raise SimulationError("\n".join([told, *self._record_difference(number, steps, done)]))
        if self.wave and self.wave.step == number:
            self._record(number, steps, self.wave.operation)
        updated = not done.programs[-1].outcome.overflow
        self.bytes_compared += done.compared
        line = {"step": number, "loss": done.loss, "accuracy": done.correct / len(labels), "updated": updated}
        line |= {"loss_scale": scale} | _added([program.counted for program in done.programs])
        self.history.append(line)
        append_line(self.path, json.dumps(line))
        return Outcome(done.loss, done.correct, updated)

    def _record(self, number: int, steps: StepsOnRtl, operation: int | None) -> list[Path]:
        """Waveforms of a step's programs, or of one of their operations; where they are."""
        written = []
        for played in steps.played:
            count = len(list(operations(played.commands)))
            if operation is None or operation < count:
                name = f"step{number}_{played.name}" + ("" if operation is None else f"_{operation}") + ".fst"
                again = self.config, played.memory, played.commands, operation, self.timing
                written += record(*again, self.path.with_name(name))[:1]
            if operation is not None and (operation := operation - count) < 0:
                break
        if not written:
            raise InputError("--wave: the step has no such command; nmtrain program show lists them")
        return written

    def _record_difference(self, number: int, steps: StepsOnRtl, done: StepOnRtl) -> list[str]:
        """Where the waveform of the first operation that differs is, a line each."""
        before = 0
        for played, program in zip(steps.played, done.programs, strict=True):
            if program.first:
                return [f"its waveform: {path}" for path in self._record(number, steps, before + program.first.operation)]
            before += len(list(operations(played.commands)))
        return []

    def _begin(self, model: Model, optimiser: Optimiser) -> StepsOnRtl:
        """Start the accelerator, with the model in its memory."""
        if self.path.exists():
            lines = [parse_json(line, str(self.path)) for line in read_text(self.path).splitlines()]
            self.history = [line for line in lines if line["step"] <= model.moment.step]
        write_whole(self.path, "".join(f"{json.dumps(line)}\n" for line in self.history))
        steps = StepsOnRtl(self.config, model, optimiser, self.batch, timing=self.timing)
        self._steps = self._opened.enter_context(steps)
        return self._steps


def learn(
    config: AcceleratorConfig,
    experiment: Experiment,
    timing: Memory,
    journal: Journal,
    until: float = 1.0,
    wave: Part | None = None,
    told: Callable[[Told], None] = lambda where: None,
) -> tuple[Model, dict[str, Any]]:
    """Train on the RTL, beside NumPy, until the test accuracy is reached.

    Parameters
    ----------
    config : AcceleratorConfig
        The accelerator.
    experiment : Experiment
        Exact, in the accelerator's storage format; its epochs are the most that it takes.
    timing : Memory
        Of the accelerator's memory.
    journal : Journal
        Of a folder. Its checkpoint is one of ``nmtrain train --exact``, and either goes on from the other's.
    until : float
        Share of the test images; 1: all epochs.
    wave : Part, optional
        What to write a waveform of, beside the journal.
    told : callable
        Told after each step.

    Returns
    -------
    Model
        Trained.
    dict
        What ``cosim.json`` holds: ``accuracy``, ``reached``, ``epochs``, ``step_count``, ``bytes_compared``,
        ``bytes_different``, ``cycles_different``, ``rtl_cycles``, ``rtl_cycles_per_second`` (wall time of all of it),
        ``counters`` added up, ``history``.

    Raises
    ------
    SimulationError
        At the first byte or cycle that differs, with its place; the steps before it stay in the folder.
    """
    assert journal.folder is not None
    began = time.perf_counter()
    with OnRtl(config, experiment.batch, timing, journal.folder / STEPS, wave) as steps:

        def advance(where: Progress) -> None:
            last = steps.history[-1]
            told(Told(where, last["step"], steps.cycles, last["cycles"]))

        model, metrics = run(experiment, advance, journal, steps, until)
        history, before = steps.history, steps.cycles
    names = [name for name in history[-1] if name not in _OF_A_STEP] if history else []
    return model, {
        "accuracy": metrics["test_accuracy"],
        "reached": metrics["test_accuracy"] >= until,
        "epochs": len(metrics["train_loss"]),
        "step_count": len(history),
        "bytes_compared": steps.bytes_compared,
        "bytes_different": 0,
        "cycles_different": 0,
        "rtl_cycles": steps.cycles,
        "rtl_cycles_per_second": before / (time.perf_counter() - began),
        "counters": _added([{name: one[name] for name in names} for one in history]),
        "history": history,
    }


_OF_A_STEP = ("step", "loss", "accuracy", "updated", "loss_scale")


def _added(counted: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Counters of several programs."""
    return {name: sum(one[name] for one in counted) for name in (counted[0] if counted else ())}
