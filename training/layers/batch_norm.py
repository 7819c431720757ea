"""Batch normalisation."""

from collections.abc import Callable
from functools import reduce

import numpy as np

from dataflow import network
from hw.isa.functions import Function
from training.layers.module import Module, Parameter, Pass
from training.numbers import Array


class BatchNorm(Module[network.BatchNorm]):
    """``(x - mean) / sqrt(variance + epsilon) * scale + shift`` per channel over batch and pixels.

    In training the mean and the biased variance are the batch's, and running ones follow with the layer's momentum (the
    variance unbiased); else the running ones are used. Ioffe and Szegedy, ICML 2015.
    """

    def setup(self, shape: network.Shape, rng: np.random.Generator) -> None:
        ones, wide = np.ones(shape[-1]), self.backend.wide
        self.parameters = {"scale": Parameter(ones.astype(wide)), "shift": Parameter(np.zeros_like(ones, wide))}
        self.statistics = {"mean": np.zeros_like(ones, wide), "variance": ones.astype(wide)}

    def forward(self, *inputs: Array, how: Pass) -> Array:
        self.rows = inputs[0].reshape(-1, inputs[0].shape[-1])
        if how.training:
            self.mean, variance = self._measure()
        else:
            self.mean, variance = self.statistics["mean"], self.statistics["variance"]
        self.root = self.backend.function(Function.RECIPROCAL_ROOT, variance + self.backend.wide(self.layer.epsilon))
        self.factor = self.root * self.parameters["scale"].value
        offset = self.parameters["shift"].value - self.mean * self.factor
        return self._fill(inputs[0], lambda part: _line(self.rows[part], self.factor, offset))

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        """``factor · (g - mean g - x̂ · mean(g x̂))``, of which the part that depends on x is a line for each channel."""
        wide, rows = self.backend.wide, gradient.reshape(self.rows.shape)
        scale, shift = self.parameters["scale"], self.parameters["shift"]
        offset = -(self.mean * self.root)
        scale.gradient = self._sum(lambda part: _line(self.rows[part], self.root, offset) * rows[part])
        shift.gradient = self._sum(lambda part: rows[part])
        share = wide(1 / len(rows))
        slope = -(self.root * (scale.gradient * share))
        height = -(slope * self.mean) - shift.gradient * share
        return (self._fill(gradient, lambda part: (_line(self.rows[part], slope, height) + rows[part]) * self.factor),)

    def _fill(self, like: Array, values: Callable[[slice], Array]) -> Array:
        """A tensor of the shape of `like`, stored, made in parts."""
        result = np.empty(self.rows.shape, like.dtype)

        def fill(part: slice) -> None:
            result[part] = self.backend.store(values(part))

        self.backend.map(fill, self.backend.parts(self.rows))
        return result.reshape(like.shape)

    def _measure(self) -> tuple[Array, Array]:
        """Mean and biased variance of the batch; the running ones move towards them."""
        wide, count = self.backend.wide, len(self.rows)
        sums = self._sum(lambda part: self.rows[part])
        mean = sums * wide(1 / count)
        squares = self._sum(lambda part: (self.rows[part] - mean) ** 2)
        variance = squares * wide(1 / count)
        for name, total, divisor in (("mean", sums, count), ("variance", squares, max(count - 1, 1))):
            away = self.statistics[name] - total * wide(1 / divisor)
            self.statistics[name] = self.statistics[name] - away * wide(self.layer.momentum)
        return mean, variance

    def _sum(self, terms: Callable[[slice], Array]) -> Array:
        """(channels,), wide: the sum over rows, whose terms are made in parts."""
        sums = self.backend.map(lambda part: self.backend.sum_rows(terms(part)), self.backend.parts(self.rows))
        return reduce(np.add, sums)


def _line(rows: Array, slope: Array, height: Array) -> Array:
    """``rows * slope + height``, each operation rounded to the precision of the factors."""
    line = rows * slope
    line += height
    return line
