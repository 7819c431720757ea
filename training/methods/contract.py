"""What a method's hooks may give back."""

import numpy as np

from hw.errors import InputError
from hw.ratio import Ratio
from training.nm import grouped
from training.numbers import Array


def check_like(where: str, result: object, given: Array) -> Array:
    """`result`, which must be floating-point numbers of the shape of `given`; else an `InputError` that starts with `where`."""
    if not isinstance(result, np.ndarray):
        raise InputError(f"{where} gives back a {type(result).__name__}, not an array")
    if result.shape != given.shape or result.dtype.kind != "f":
        raise InputError(f"{where} gives back {result.dtype} {result.shape}, not {given.dtype} {given.shape}")
    return result


def check_order(where: str, order: object, outputs: int) -> None:
    """`InputError` unless `order` is None or has every output channel once."""
    if order is not None and not np.array_equal(np.sort(np.asarray(order)), np.arange(outputs)):
        raise InputError(f"{where} must give back all of 0..{outputs - 1} in some order, or None")


def check_kept(where: str, chosen: Array, given: Array, ratio: Ratio, *, fewer: bool) -> None:
    """`InputError` unless `chosen` keeps N of every M along the last axis, or at most N where `fewer`.

    Of `given` those that are zero may be among the kept ones, and a short last group has fewer to keep.
    """
    left, zeros = (grouped(part.astype(np.uint8), ratio).sum(-1, dtype=np.int64) for part in (chosen != 0, given == 0))
    sizes = grouped(np.ones(given.shape[-1], np.uint8), ratio).sum(-1, dtype=np.int64)
    wrong = left > ratio.n if fewer else (left > ratio.n) | (left + zeros < np.minimum(ratio.n, sizes))
    if wrong.any():
        raise InputError(f"{where} keeps {left[wrong][0]} of {ratio.m} weights, not {'at most ' * fewer}{ratio.n}")
