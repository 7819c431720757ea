"""The training loop."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from dataflow.network import Network
from hw.errors import InputError
from training.data import Data
from training.methods.site import Moment
from training.model import Model
from training.numbers import Array
from training.optimiser import Sgd
from training.schedule import load_schedule
from training.step import training_step

EVALUATION_BATCH = 256


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
    """

    epochs: int
    batch: int = 32
    learning_rate: float = 0.1
    schedule: str = "cosine"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not (self.learning_rate > 0 and isfinite(self.learning_rate)):
            raise InputError(f"learning_rate must be above 0, not {self.learning_rate}")
        load_schedule(self.schedule)


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
    optimiser: Sgd,
    data: Data,
    options: Options,
    rng: np.random.Generator,
    progress: Callable[[Progress], None] = lambda where: None,
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
        Shuffles the images of each epoch.
    progress : callable
        Called after every step.

    Raises
    ------
    InputError
        Where the images do not fit the network, or training diverges.
    """
    check_fit(model.network, data)
    schedule = load_schedule(options.schedule)
    count = len(data.train_labels)
    total, seen, skipped = options.epochs * count, 0, 0
    losses, accuracies = [], []
    model.moment = Moment(0, options.epochs * -(-count // options.batch))
    model.prepare()
    for epoch in range(1, options.epochs + 1):
        loss, correct, trained = 0.0, 0, 0
        for chosen in _batches(count, options.batch, rng):
            rate = options.learning_rate * schedule(seen / total)
            outcome = training_step(model, optimiser, data.train_images[chosen], data.train_labels[chosen], rate)
            if not isfinite(outcome.loss):
                raise InputError("training diverged: the loss is not finite; lower the learning rate")
            seen, trained = seen + len(chosen), trained + len(chosen)
            loss, correct = loss + outcome.loss * len(chosen), correct + outcome.correct
            skipped += not outcome.updated
            progress(Progress(epoch, options.epochs, seen, total, loss / trained, correct / trained))
        losses.append(loss / count)
        accuracies.append(correct / count)
    return Result(losses, accuracies, evaluate(model, data.test_images, data.test_labels), skipped)


def evaluate(model: Model, images: Array, labels: NDArray[np.integer]) -> float:
    """Fraction of `images` that the model classifies right."""
    right = 0
    for start in range(0, len(labels), EVALUATION_BATCH):
        part = slice(start, start + EVALUATION_BATCH)
        right += int((model.forward(images[part]).argmax(axis=1) == labels[part]).sum())
    return right / len(labels)


def _batches(count: int, batch: int, rng: np.random.Generator) -> Iterator[NDArray[np.integer]]:
    """All indices below `count` once, shuffled."""
    order = rng.permutation(count)
    return (order[start : start + batch] for start in range(0, count, batch))


def check_fit(network: Network, data: Data) -> None:
    """Raise `InputError` unless the network takes the images and tells the classes apart."""
    classes = int(data.train_labels.max()) + 1
    if data.train_images.shape[1:] != network.input_shape or network.classes < classes:
        raise InputError(
            f"network {network.name!r} takes {network.input_shape} and {network.classes} classes,"
            f" the data are {data.train_images.shape[1:]} and {classes} classes"
        )
