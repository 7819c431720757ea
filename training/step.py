"""One training step: forward, loss, backward, update, pruning anew."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.layers.module import Capture, Pass
from training.loss import cross_entropy, scaled_gradient
from training.model import Model
from training.numbers import Array
from training.optimiser import Optimiser


@dataclass(frozen=True)
class Outcome:
    """What a step did.

    Parameters
    ----------
    loss : float
        Mean of the batch, before the update.
    correct : int
        Samples that were classified right.
    updated : bool
        False where a gradient was not finite and the weights and running statistics stayed.
    """

    loss: float
    correct: int
    updated: bool


class Stepper(Protocol):
    """What does a training step: `training_step`, or an accelerator beside it."""

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
        """Train on a batch, see `training_step`."""
        ...


def training_step(
    model: Model,
    optimiser: Optimiser,
    images: Array,
    labels: NDArray[np.integer],
    learning_rate: float,
    capture: Capture | None = None,
    smoothing: float = 0.0,
) -> Outcome:
    """Train on one batch.

    Parameters
    ----------
    model, optimiser
        Both change.
    images : ndarray, (batch, *input_shape)
        Rounded to storage.
    labels : ndarray of int, (batch,)
        The right classes.
    learning_rate : float
        η of this step.
    capture : dict or None
        Takes the operands and results of every weighted layer's products, as the accelerator's program names them:
        ``<layer>.input``, ``.output_gradient`` storage, batch first, channels last; ``.weight`` storage (*kernel, inputs,
        outputs), what the dense products read; ``.weight_forward`` and ``.weight_backward`` `Packed`, where a product is
        sparse; ``.output``, before the bias, ``.input_gradient`` (but of the first layers) and ``.weight_gradient``, float32.
        Gradients are times the loss scale.
    smoothing : float
        Of the labels; see `training.loss`.
    """
    statistics = [(module, dict(module.statistics)) for module in model.modules.values()]
    how = Pass(training=True, capture=capture)
    logits = model.forward(images, how)
    loss, _ = cross_entropy(logits, labels, smoothing)
    model.backward(scaled_gradient(model.backend, logits, labels, optimiser.loss_scale.scale, smoothing), how)
    updated = optimiser.step(model.parameters(), learning_rate)
    if not updated:
        for module, before in statistics:
            module.statistics = before
    model.advance()
    return Outcome(loss, int((logits.argmax(axis=1) == labels).sum()), updated)
