"""Softmax cross entropy: its value in binary64, its gradient in the arithmetic of a backend."""

import numpy as np
from numpy.typing import NDArray

from training.backend import Backend, ExactBackend
from training.numbers import Array


def cross_entropy(logits: Array, labels: NDArray[np.integer], smoothing: float = 0.0) -> tuple[float, NDArray[np.float64]]:
    """Mean loss of a batch and its gradient.

    Parameters
    ----------
    logits : ndarray, (batch, classes), any float
        The network's output.
    labels : ndarray of int, (batch,)
        The right classes.
    smoothing : float
        s, at least 0 and below 1: the target is 1 - s on the right class plus s / classes on every one (Szegedy et al.,
        CVPR 2016).

    Returns
    -------
    float, ndarray (batch, classes) float64
        ``-mean(target · log softmax(logits))`` and ``(softmax(logits) - target) / batch``.
    """
    with np.errstate(all="ignore"):
        shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True).astype(np.float64)
        logarithm = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    rows = np.arange(len(labels))
    gradient = np.exp(logarithm)
    gradient[rows, labels] -= 1 - smoothing
    gradient -= smoothing / logits.shape[1]
    loss = -(1 - smoothing) * logarithm[rows, labels].mean()
    if smoothing:
        loss -= smoothing * logarithm.mean()
    return float(loss), gradient / len(labels)


def targets(labels: NDArray[np.integer], classes: int, smoothing: float = 0.0) -> NDArray[np.float64]:
    """What the softmax of each sample should be, (batch, classes)."""
    right = labels[:, None] == np.arange(classes)
    return right * (1 - smoothing) + smoothing / classes


def scaled_gradient(
    backend: Backend, logits: Array, labels: NDArray[np.integer], loss_scale: float, smoothing: float = 0.0
) -> Array:
    """The gradient of a batch's loss times the loss scale, stored; in exact mode as the accelerator computes it.

    There the target is stored, the softmax and what follows are binary32: ``(target - softmax) * (-loss scale / batch)``.
    """
    if not isinstance(backend, ExactBackend):
        return backend.store(cross_entropy(logits, labels, smoothing)[1] * loss_scale)
    target = backend.store(targets(labels, logits.shape[1], smoothing))
    return backend.store((target - backend.softmax(logits)) * share(len(labels), loss_scale))


def share(batch: int, loss_scale: float) -> np.float32:
    """What the accelerator multiplies target minus softmax by."""
    return np.float32(-loss_scale / batch)
