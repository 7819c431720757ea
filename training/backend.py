"""The arithmetic of a training step: what multiplies, and what is stored between layers."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import e, log2
from typing import TypeVar

import numpy as np

from hw.formats import BINARY16, BINARY32, FloatFormat
from hw.isa.functions import Function
from hw.isa.reductions import ROW_SUMS
from training import exact, fast, functions
from training.nm import Packed
from training.numbers import Array, round_to_binary16, to_storage
from training.operand import Operand
from training.reductions import sum_terms
from training.scalars import true_function

S = TypeVar("S")
T = TypeVar("T")


class Backend(ABC):
    """Every weighted layer calls the same three products through one of these.

    Parameters
    ----------
    storage : FloatFormat
        Of weights, activations and gradients between products.
    """

    wide: type[np.floating] = np.float32
    """What products, master weights and everything between two roundings are in."""

    window_bytes: int | None = None
    """How large a matrix of a convolution's windows may be; None makes one product of the whole batch."""

    part_bytes: int | None = None
    """How much of a tensor an element-wise layer works on at once; None is all of it."""

    def __init__(self, storage: FloatFormat = BINARY16) -> None:
        self.storage = storage

    def store(self, values: Array) -> Array:
        """Round once to the storage format."""
        return to_storage(values, self.storage)

    @abstractmethod
    def product(self, operand: Operand, activations: Array) -> Array:
        """Multiply weights, as (m, k) or packed, by activations (n, k padded to whole groups) to (m, n), `wide`."""

    def map(self, function: Callable[[S], T], items: Sequence[S]) -> list[T]:
        """Results in the order of `items`, which do not depend on each other."""
        return [function(item) for item in items]

    def parts(self, tensor: Array) -> list[slice]:
        """Slices of the first axis of at most `part_bytes`, at least one, which `map` may work on."""
        size = max(tensor.nbytes // max(len(tensor), 1), 1)
        step = max(self.part_bytes // size, 1) if self.part_bytes else max(len(tensor), 1)
        return [slice(start, start + step) for start in range(0, max(len(tensor), 1), step)]

    def ready(self, operand: Operand) -> Operand:
        """A (rows, reduction) operand as `product` likes it best, where it is used several times."""
        return operand

    def products(self, left: Array, right: Array) -> Array:
        """Multiply (..., m, k) by (..., n, k) to (..., m, n), `wide`, one product a leading index."""
        m, n, k = left.shape[-2], right.shape[-2], left.shape[-1]
        pairs = zip(left.reshape(-1, m, k), right.reshape(-1, n, k), strict=True)
        return np.stack([self.product(Operand(one), other) for one, other in pairs]).reshape(*left.shape[:-1], n)

    def outer(self, left: Array, right: Array) -> Array:
        """Multiply (k, m) by (k, n) to (m, n), `wide`, the sum of k outer products in ascending order."""
        return self.product(Operand(left.T), right.T)

    def sum_rows(self, rows: Array) -> Array:
        """Sum (k, n) to (n,), `wide`: what the vector unit adds up by channel."""
        return self.product(Operand(np.ones((1, len(rows)), self.wide)), rows.T)[0]

    def sum_in_turn(self, rows: Array) -> Array:
        """Sum (k, n) to (n,), `wide`: what a pool adds up, one after the other."""
        return self.sum_rows(rows)

    def sum_last(self, values: Array) -> Array:
        """Sum (..., k) to (..., 1), `wide`: what the vector unit adds up by row."""
        return self.sum_rows(values.reshape(-1, values.shape[-1]).T).reshape(*values.shape[:-1], 1)

    def function(self, function: Function, values: Array) -> Array:
        """A scalar function of `wide` numbers."""
        return true_function(function, values)

    def softmax(self, values: Array) -> Array:
        """Of the last axis, `wide`."""
        to_base_2 = self.wide(log2(e))
        largest = values.max(axis=-1, keepdims=True) * to_base_2
        raised = self.function(Function.EXP2, values * to_base_2 + -largest)
        return raised * self.function(Function.RECIPROCAL, self.sum_last(raised))


class ExactBackend(Backend):
    """The accelerator's arithmetic, bit for bit."""

    def product(self, operand: Operand, activations: Array) -> Array:
        weights = operand.weights
        if isinstance(weights, Packed):
            return exact.matmul_packed(weights.values, weights.indices, activations, operand.ratio)
        return exact.matmul(weights, activations)

    def sum_rows(self, rows: Array) -> Array:
        return sum_terms(rows)

    def sum_in_turn(self, rows: Array) -> Array:
        return sum_terms(rows, 1)

    def sum_last(self, values: Array) -> Array:
        return sum_terms(np.moveaxis(values, -1, 0), ROW_SUMS)[..., None]

    def function(self, function: Function, values: Array) -> Array:
        return functions.apply(function, values)


class FastBackend(Backend):
    """BLAS products: the same roundings between layers, sums within `training.fast.fast_error_bound`.

    Parameters
    ----------
    storage : FloatFormat
        See `Backend`.
    threads : int
        Parts of a batch to work on at once. Each is to use one BLAS thread; the result does not depend on their number.
    """

    window_bytes = 1 << 22
    """What stays in cache between gathering and multiplying."""

    part_bytes = 1 << 19
    """What stays in a core's own cache from one operation on it to the next."""

    def __init__(self, storage: FloatFormat = BINARY16, *, threads: int = 1) -> None:
        super().__init__(storage)
        self.threads = threads
        self.pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def map(self, function: Callable[[S], T], items: Sequence[S]) -> list[T]:
        if self.pool is None or len(items) < 2:
            return super().map(function, items)
        left = iter(range(len(items)))  # whoever is free takes the next one

        def work() -> list[tuple[int, T]]:
            return [(number, function(items[number])) for number in left]

        workers = [self.pool.submit(work) for _ in range(min(self.threads, len(items)))]
        done = dict(pair for worker in workers for pair in worker.result())
        return [done[number] for number in range(len(items))]

    def store(self, values: Array) -> Array:
        """Round once to the storage format, whose values are held in binary32, binary16's too: BLAS wants them so."""
        if self.storage == BINARY32:
            return values.astype(np.float32, copy=False)
        if self.storage != BINARY16:
            return super().store(values)
        if values.dtype == np.float16:
            return values.astype(np.float32)
        return round_to_binary16(values) if values.dtype == np.float32 else super().store(values).astype(np.float32)

    def product(self, operand: Operand, activations: Array) -> Array:
        weights = operand.weights
        if isinstance(weights, Packed):
            return fast.matmul_packed(weights.values, weights.indices, activations, operand.ratio)
        return fast.matmul(weights, activations)

    def ready(self, operand: Operand) -> Operand:
        weights = operand.weights
        if isinstance(weights, Packed):
            return Operand(fast.dense(weights.values, weights.indices, operand.ratio))
        return Operand(weights.astype(np.float32, copy=False))

    def products(self, left: Array, right: Array) -> Array:
        return left.astype(np.float32) @ right.astype(np.float32).swapaxes(-1, -2)

    def outer(self, left: Array, right: Array) -> Array:
        return left.astype(np.float32, copy=False).T @ right.astype(np.float32, copy=False)
