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
from hw.isa.checks import up_to_halt
from sim.learning.curves import CAUSES
from sim.learning.recording import Part, record
from sim.steps.whole_step import Played, StepOnRtl, StepsOnRtl
from training.experiment import Experiment, run
from training.journal import METRICS, Journal
from training.loop import Progress
from training.model import Model
from training.numbers import Array
from training.optimiser import Optimiser
from training.step import Outcome

STEPS = "steps.jsonl"
"""A line a step: ``step``, from 1, ``loss``, ``accuracy`` of its batch, ``updated``, ``loss_scale``, ``bytes_compared``, and
the RTL's counters."""


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
    before : int
        Cycles of those that were there before.
    bytes_different, cycles_different : int
        Of all that was compared here.
    waveforms : list of Path
        That were written.
    """

    def __init__(self, config: AcceleratorConfig, batch: int, timing: Memory, path: Path, wave: Part | None = None) -> None:
        self.wave = wave
        self.config, self.batch, self.timing, self.path = config, batch, timing, path
        self.history: list[dict[str, Any]] = []
        self.before = 0
        self.bytes_different = self.cycles_different = 0
        self.waveforms: list[Path] = []
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
        self.bytes_different += done.different
        self.cycles_different += sum(abs(one.counted["cycles"] - one.predicted["cycles"]) for one in done.programs)
        if not done.agrees:
            names = ", ".join(row["tensor"] for row in done.rows if row["bytes_different"])
            told = f"step {number}: {steps.difference or f'not as the trainer has it: {names}'}"
            raise SimulationError("\n".join([told, *self._record_difference(number, steps, done)]))
        if self.wave and self.wave.step == number:
            self._record(number, steps.played, self.wave.command)
        updated = not done.programs[-1].outcome.overflow
        line = {"step": number, "loss": done.loss, "accuracy": done.correct / len(labels), "updated": updated}
        line |= {"loss_scale": scale, "bytes_compared": done.compared} | _added([program.counted for program in done.programs])
        self.history.append(line)
        append_line(self.path, json.dumps(line))
        return Outcome(done.loss, done.correct, updated)

    def _record(self, number: int, played: Sequence[Played], command: int | None) -> None:
        """Waveforms of a step's programs, or of the operation that one of their commands belongs to."""
        for one in played:
            count = len(up_to_halt(one.commands))
            if command is None or command < count:
                name = f"step{number}_{one.name}" + ("" if command is None else f"_{command}") + ".fst"
                again = self.config, one.memory, one.commands, command, self.timing
                self.waveforms += record(*again, self.path.with_name(name))[:1]
            if command is not None and (command := command - count) < 0:
                return

    def _record_difference(self, number: int, steps: StepsOnRtl, done: StepOnRtl) -> list[str]:
        """Where the waveform of the first operation that differs is, or of the program in which none does, a line each."""
        for played, program in zip(steps.played, done.programs, strict=True):
            if not program.agrees:
                self._record(number, [played], program.first.command if program.first else None)
                return [f"its waveform: {path}" for path in self.waveforms[-1:]]
        return []

    def take_up(self, step: int) -> None:
        """The history up to a step, as another process has left it."""
        if self.path.exists():
            self.history = [line for line in read_history(self.path) if line["step"] <= step]
        self.before = self.cycles

    def _begin(self, model: Model, optimiser: Optimiser) -> StepsOnRtl:
        """Start the accelerator, with the model in its memory."""
        self.take_up(model.moment.step)
        steps = StepsOnRtl(self.config, model, optimiser, self.batch, timing=self.timing)
        self._check_wave(model.moment.step, steps)
        write_whole(self.path, "".join(f"{json.dumps(line)}\n" for line in self.history))
        self._steps = self._opened.enter_context(steps)
        return self._steps

    def _check_wave(self, step: int, steps: StepsOnRtl) -> None:
        """Refuse, before any work, what no waveform can be written of."""
        if not self.wave:
            return
        forward, backward = (len(up_to_halt(commands)) for commands in steps.programs(self.batch))
        if self.wave.step <= step:
            raise InputError(f"--wave: step {self.wave.step} is done; the next one is {step + 1}")
        if self.wave.command is not None and self.wave.command >= forward + backward:
            raise InputError(
                f"--wave: command must be 0..{forward + backward - 1}: forward's are 0..{forward - 1}, backward's those above;"
                f" not {self.wave.command}"
            )


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
        ``bytes_different``, ``cycles_different``, ``rtl_cycles``, ``rtl_cycles_per_second`` (of those done here, over wall
        time), ``counters`` added up, ``waveforms``, ``history`` as `STEPS` has it, and ``tests`` [{``epoch``, ``step``,
        ``steps_on_rtl``, their ``cycles``, ``accuracy``}], one an epoch.

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
        here, history = steps.cycles - steps.before, steps.history
        if not history:  # the training had ended
            steps.take_up(model.moment.step)
            history = steps.history
    if not history:
        raise InputError(f"{journal.folder}: its training has ended; no step is left for the RTL")
    names = [name for name in history[-1] if name not in _OF_A_STEP]
    return model, {
        "accuracy": metrics["test_accuracy"],
        "reached": metrics["test_accuracy"] >= until,
        "epochs": len(metrics["train_loss"]),
        "step_count": len(history),
        "bytes_compared": sum(one["bytes_compared"] for one in history),
        "bytes_different": steps.bytes_different,
        "cycles_different": steps.cycles_different,
        "rtl_cycles": steps.cycles,
        "rtl_cycles_per_second": here / (time.perf_counter() - began),
        "counters": _added([{name: one[name] for name in names} for one in history]),
        "waveforms": [path.name for path in steps.waveforms],
        "tests": _tests(journal.folder / METRICS, -(-metrics["train_images"] // experiment.batch), history),
        "history": history,
    }


def first_test(result: Mapping[str, Any], accuracy: float) -> dict[str, Any] | None:
    """The first test of a training in which so large a share of the images was classified right; None where there is none."""
    return next((one for one in result["tests"] if one["accuracy"] >= accuracy), None)


def read_history(path: Path) -> list[dict[str, Any]]:
    """The lines of `STEPS`; `InputError` where one is none."""
    lines = [parse_json(line, str(path)) for line in read_text(path).splitlines()]
    if lines and not _have(lines, *_HISTORY):
        raise InputError(f"{path}: damaged; each of its lines must be a step's, with {', '.join(_HISTORY)}")
    return lines


def is_result(found: Mapping[str, Any]) -> bool:
    """Whether it can be what `learn` gives, as far as it is compared with another one."""
    texts = all(isinstance(found.get(name), str) for name in ("method", "ratio"))
    lists = _have(found.get("history"), *_HISTORY) and _have(found.get("tests"), *_TEST)
    return texts and lists and _have([found], "step_count") and _have([found.get("counters")], *CAUSES.values())


def _have(lines: object, *names: str) -> bool:
    """Whether they are a list of objects, at least one, with numbers of such names."""
    found = lines if isinstance(lines, list) and lines else [None]
    return all(isinstance(line, dict) and all(isinstance(line.get(name), int | float) for name in names) for line in found)


def _tests(path: Path, steps_an_epoch: int, history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the journal has of each epoch's test, with the steps before it, and those on the RTL with their cycles."""
    tests = []
    for line in read_text(path).splitlines():
        epoch = parse_json(line, str(path))
        step = epoch["epoch"] * steps_an_epoch
        before = [one["cycles"] for one in history if one["step"] <= step]
        found = {"epoch": epoch["epoch"], "step": step, "steps_on_rtl": len(before), "cycles": sum(before)}
        tests.append(found | {"accuracy": epoch["test_accuracy"]})
    return tests


_HISTORY = ("step", "loss", "accuracy", "cycles", "bytes_compared")
_TEST = ("step", "steps_on_rtl", "cycles", "accuracy")
"""What is read of a step, and of a test, again."""

_OF_A_STEP = ("step", "loss", "accuracy", "updated", "loss_scale", "bytes_compared")


def _added(counted: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Counters of several programs."""
    return {name: sum(one[name] for one in counted) for name in (counted[0] if counted else ())}
