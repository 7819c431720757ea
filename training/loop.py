"""The training loop."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from math import isfinite
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from dataflow.network import Network
from hw.errors import DivergedError, InputError
from training.data import Data
from training.journal import Journal
from training.methods.site import Moment
from training.model import Model
from training.operand import Operand
from training.optimiser import Optimiser
from training.schedule import load_schedule
from training.step import Stepper, training_step
from training.watching import gradient_norm, mask_change, packed_operands

EVALUATION_BATCH = 256

BLAS_THREADS = 1
"""The backend's own threads work on parts of a batch; BLAS's would mostly wait for each other, and change the last bits."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How long and how fast to train.

    Parameters
    ----------
    epochs : int
        Passes over the training images, at least 1.
    batch : int
        Images of a step, at least 1; an epoch's last step takes what is left.
    learning_rate : float
        η at the start, above 0.
    schedule : str
        Name in `training.schedule.SCHEDULES`, over all steps.
    warm_up : float
        Fraction of the training in which the rate first rises from 0; see `training.schedule`.
    label_smoothing : float
        At least 0 and below 1; see `training.loss`.
    until : float
        Share of the test images, above 0: an epoch after which as many are classified right is the last one. At 1 nothing is
        tested for it.
    """

    epochs: int
    batch: int = 32
    learning_rate: float = 0.1
    schedule: str = "cosine"
    warm_up: float = 0.0
    label_smoothing: float = 0.0
    until: float = 1.0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not (self.learning_rate > 0 and isfinite(self.learning_rate)):
            raise InputError(f"learning_rate must be above 0, not {self.learning_rate}")
        if not 0 <= self.label_smoothing < 1:
            raise InputError(f"label_smoothing must be in 0..1, below 1, not {self.label_smoothing}")
        if not 0 < self.until <= 1:
            raise InputError(f"until must be above 0 and at most 1, not {self.until}")
        load_schedule(self.schedule, self.warm_up)


@dataclass(frozen=True)
class Progress:
    """Where a training stands after a step.

    Parameters
    ----------
    epoch, epochs : int
        The running one, from 1, of how many.
    images, total_images : int
        Trained on so far, and by the end.
    loss, accuracy : float
        Means over the running epoch so far.
    """

    epoch: int
    epochs: int
    images: int
    total_images: int
    loss: float
    accuracy: float


@dataclass
class Standing:
    """Where a training stands between two steps, as a checkpoint notes it.

    Parameters
    ----------
    epochs : list of dict
        Metrics of the epochs that ended.
    trained, correct : int
        Images of the running epoch so far.
    loss : float
        Their losses' sum.
    skipped : int
        Steps whose gradients were not finite.
    steps, changed : int, float
        Of the running epoch so far: steps, and the sum of the shares of masks that they changed.
    norm : float
        Sum of the gradients' norms of steps that were not skipped.
    updates : int
        How many those are.
    generator : dict or None
        State of the generator at the running epoch's start.
    """

    epochs: list[dict[str, Any]] = field(default_factory=list)
    trained: int = 0
    correct: int = 0
    loss: float = 0.0
    skipped: int = 0
    steps: int = 0
    changed: float = 0.0
    norm: float = 0.0
    updates: int = 0
    generator: Any = None


@dataclass(frozen=True)
class Result:
    """What a training came to.

    Parameters
    ----------
    train_loss, train_accuracy : list of float
        One an epoch, of the samples as they were trained on.
    test_accuracy : float
        Of the trained model, pruned as in training.
    skipped_steps : int
        Steps whose gradients were not finite.
    """

    train_loss: list[float]
    train_accuracy: list[float]
    test_accuracy: float
    skipped_steps: int


def train(
    model: Model,
    optimiser: Optimiser,
    data: Data,
    options: Options,
    rng: np.random.Generator,
    progress: Callable[[Progress], None] = lambda where: None,
    journal: Journal | None = None,
    step: Stepper = training_step,
) -> Result:
    """Train a model; equal generators give equal bits.

    Parameters
    ----------
    model, optimiser
        Both change.
    data : Data
        Trained on and tested with.
    options : Options
        How long and how fast.
    rng : numpy.random.Generator
        Shuffles the images of each epoch and draws their augmentation.
    progress : callable
        Called after every step.
    journal : Journal or None
        Keeps metrics and checkpoints, and gives back where a stopped training was.
    step : Stepper
        Does the steps.

    Raises
    ------
    InputError
        Where the images do not fit the network, or training diverges.
    KeyboardInterrupt
        Where the journal was told to stop; its checkpoint is then written.
    """
    check_fit(model.network, data)
    with threadpool_limits(BLAS_THREADS):
        training = Training(model, optimiser, data, options, rng, progress, journal or Journal(), step)
        return training.run()


class Training:
    """A training as it stands; see `train`."""

    def __init__(
        self,
        model: Model,
        optimiser: Optimiser,
        data: Data,
        options: Options,
        rng: np.random.Generator,
        progress: Callable[[Progress], None],
        journal: Journal,
        step: Stepper,
    ) -> None:
        self.step = step
        self.model, self.optimiser, self.data, self.options = model, optimiser, data, options
        self.rng, self.progress, self.journal = rng, progress, journal
        self.learning_rate, self.started = 0.0, monotonic()
        self.schedule = load_schedule(options.schedule, options.warm_up)
        self.count = len(data.train_labels)
        self.standing = Standing()
        model.moment = Moment(0, options.epochs * -(-self.count // options.batch))
        notes = journal.resume(model, optimiser)
        if notes:
            self.standing = self._resumed(notes)
        else:
            model.prepare()

    def _resumed(self, notes: dict[str, Any]) -> Standing:
        """Where the training stood; `InputError` where the notes cannot be those of one."""
        try:
            standing = Standing(**notes)
            self.rng.bit_generator.state = standing.generator
            known = {"epoch", "train_loss", "train_accuracy", "test_accuracy"}
            numbers = [float(epoch[name]) for epoch in standing.epochs for name in known]
            counts = standing.trained, standing.correct, standing.skipped, standing.steps, standing.updates
            fits = all(type(count) is int and count >= 0 for count in counts) and standing.trained <= self.count
            if not fits or not all(map(isfinite, [*numbers, *map(float, (standing.loss, standing.changed, standing.norm))])):
                raise ValueError("a count that cannot be")
        except Exception as error:
            raise InputError(f"a damaged checkpoint: where it stands: {type(error).__name__}: {error}") from None
        return standing

    def run(self) -> Result:
        """All epochs that are left."""
        epochs = self.standing.epochs
        while len(epochs) < self.options.epochs and not self._reached():
            self._epoch()
        losses, accuracies = ([epoch[name] for epoch in epochs] for name in ("train_loss", "train_accuracy"))
        return Result(losses, accuracies, evaluate(self.model, self.data), self.standing.skipped)

    def _reached(self) -> bool:
        """Whether the last epoch ended as well as was asked for."""
        until, epochs = self.options.until, self.standing.epochs
        return until < 1 and bool(epochs) and epochs[-1]["test_accuracy"] >= until

    def _epoch(self) -> None:
        """One pass over the images, or what is left of it."""
        standing = self.standing
        if standing.generator:
            self.rng.bit_generator.state = standing.generator
        standing.generator = self.rng.bit_generator.state
        order, drawn = self.rng.permutation(self.count), self.rng.spawn(1)[0].integers(2**63)
        while standing.trained < self.count:
            chosen = order[standing.trained : standing.trained + self.options.batch]
            self._step(chosen, np.random.default_rng([int(drawn), standing.trained]))
            if self.journal.stopped or self.journal.is_due():
                self._checkpoint()
            if self.journal.stopped:
                raise KeyboardInterrupt
        self._end_epoch()

    def _step(self, chosen: NDArray[np.integer], rng: np.random.Generator) -> None:
        standing, options = self.standing, self.options
        seen = len(standing.epochs) * self.count + standing.trained
        total = options.epochs * self.count
        rate = options.learning_rate * self.schedule(seen / total)
        images, labels = self.data.batch(chosen, rng)
        packed, scale = packed_operands(self.model), self.optimiser.loss_scale.scale
        outcome = self.step(self.model, self.optimiser, images, labels, rate, smoothing=options.label_smoothing)
        if not isfinite(outcome.loss):
            raise DivergedError("training diverged: the loss is not finite; lower the learning rate")
        standing.trained += len(chosen)
        standing.loss += outcome.loss * len(chosen)
        standing.correct += outcome.correct
        standing.skipped += not outcome.updated
        standing.steps += 1
        self.learning_rate = rate
        self._watch(packed, scale, updated=outcome.updated)
        loss, accuracy = standing.loss / standing.trained, standing.correct / standing.trained
        self.progress(Progress(len(standing.epochs) + 1, options.epochs, seen + len(chosen), total, loss, accuracy))

    def _watch(self, packed: dict[str, Operand], scale: float, *, updated: bool) -> None:
        """Add up what the epoch's metrics say of its steps; nobody reads them without a folder."""
        if self.journal.folder:
            standing = self.standing
            standing.changed += mask_change(packed, packed_operands(self.model)) or 0.0
            standing.updates += updated
            standing.norm += gradient_norm(self.model.parameters(), scale) if updated else 0.0

    def _end_epoch(self) -> None:
        standing = self.standing
        metrics: dict[str, Any] = {
            "epoch": len(standing.epochs) + 1,
            "train_loss": standing.loss / self.count,
            "train_accuracy": standing.correct / self.count,
        }
        if self.journal.folder or self.options.until < 1:
            metrics["test_accuracy"] = evaluate(self.model, self.data)
        if self.journal.folder:
            metrics["learning_rate"] = self.learning_rate
            metrics["gradient_norm"] = standing.norm / max(standing.updates, 1)
            metrics["mask_change_rate"] = standing.changed / standing.steps
            metrics["seconds"] = round(monotonic() - self.started, 3)
        standing.epochs.append(metrics)
        self.standing = standing = Standing(epochs=standing.epochs, skipped=standing.skipped)
        self.started = monotonic()
        self.journal.write_metrics(standing.epochs)
        standing.generator = self.rng.bit_generator.state
        self._checkpoint()

    def _checkpoint(self) -> None:
        self.journal.write_checkpoint(self.model, self.optimiser, asdict(self.standing))


def evaluate(model: Model, data: Data) -> float:
    """Fraction of the test images that the model classifies right."""
    right, count = 0, len(data.test_labels)
    with threadpool_limits(BLAS_THREADS):
        for start in range(0, count, EVALUATION_BATCH):
            images, labels = data.test_batch(slice(start, start + EVALUATION_BATCH))
            right += int((model.forward(images).argmax(axis=1) == labels).sum())
    return right / count


def check_fit(network: Network, data: Data) -> None:
    """Raise `InputError` unless the network takes the images and tells the classes apart."""
    classes = int(data.train_labels.max()) + 1
    if data.train_images.shape[1:] != network.input_shape or network.classes < classes:
        raise InputError(
            f"network {network.name!r} takes {network.input_shape} and {network.classes} classes,"
            f" the data are {data.train_images.shape[1:]} and {classes} classes"
        )
