"""Sums and maxima in the order of the vector unit's reductions, bit for bit."""

import numpy as np
from numpy.typing import NDArray

from hw.isa.reductions import PARTIAL_SUMS
from training.exact import Float32
from training.numbers import Array, canonical


def sum_terms(terms: Array, partial_sums: int = PARTIAL_SUMS) -> Float32:
    """Sum (n, ...) along its first axis to (...), binary32.

    Term i is added to partial sum i mod 16, from +0 and in ascending order, each addition rounded once; then the partial sums
    are folded: j + 8 is added to j, then j + 4, j + 2 and j + 1. `partial_sums` is another power of two than 16.
    """
    partial = np.zeros((partial_sums, *terms.shape[1:]), np.float32)
    with np.errstate(all="ignore"):
        for start in range(0, len(terms), partial_sums):
            part = terms[start : start + partial_sums]
            partial[: len(part)] += part
        half = partial_sums
        while half > 1:
            half //= 2
            partial[:half] += partial[half : 2 * half]
    return canonical(partial[:1])[0]


def largest_term(terms: Array) -> tuple[Float32, NDArray[np.int64]]:
    """The largest of (n, ...) along the first axis and its place, (...) each: NaN before all numbers, the first of equals."""
    wide = terms.astype(np.float32)
    nan = np.isnan(wide)
    places = np.where(nan.any(axis=0), nan.argmax(axis=0), np.where(nan, -np.inf, wide).argmax(axis=0))
    return np.take_along_axis(wide, places[None], axis=0)[0], places
