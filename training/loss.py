"""Softmax cross entropy, on the host in binary64."""

import numpy as np
from numpy.typing import NDArray

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
