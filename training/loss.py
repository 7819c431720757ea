"""Softmax cross entropy, on the host in binary64."""

import numpy as np
from numpy.typing import NDArray

from training.numbers import Array


def cross_entropy(logits: Array, labels: NDArray[np.integer]) -> tuple[float, NDArray[np.float64]]:
    """Mean loss of a batch and its gradient.

    Parameters
    ----------
    logits : ndarray, (batch, classes), any float
        The network's output.
    labels : ndarray of int, (batch,)
        The right classes.

    Returns
    -------
    float, ndarray (batch, classes) float64
        ``-mean(log softmax(logits)[label])`` and ``(softmax(logits) - onehot(label)) / batch``.
    """
    with np.errstate(all="ignore"):
        shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True).astype(np.float64)
        logarithm = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    rows = np.arange(len(labels))
    gradient = np.exp(logarithm)
    gradient[rows, labels] -= 1
    return float(-logarithm[rows, labels].mean()), gradient / len(labels)
