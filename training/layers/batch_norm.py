"""Batch normalisation."""

from collections.abc import Callable
from functools import reduce

import numpy as np

from dataflow import network
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
        self.spread = np.sqrt(variance + self.backend.wide(self.layer.epsilon))
        scale, shift = self.parameters["scale"].value, self.parameters["shift"].value
        result = np.empty_like(self.rows)

        def fill(part: slice) -> None:
            scaled = self._normal(part)
            scaled *= scale
            scaled += shift
            result[part] = self.backend.store(scaled)

        self.backend.map(fill, self.backend.parts(self.rows))
        return result.reshape(inputs[0].shape)

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        wide, rows = self.backend.wide, gradient.reshape(self.rows.shape)
        scale, shift = self.parameters["scale"], self.parameters["shift"]
        scale.gradient = self._sum(lambda part: rows[part] * self._normal(part))
        shift.gradient = self._sum(lambda part: rows[part])
        share, factor = wide(1 / len(rows)), scale.value / self.spread
        result = np.empty_like(rows)

        def fill(part: slice) -> None:
            centred = self._normal(part)
            centred *= scale.gradient
            centred += shift.gradient
            centred *= share
            np.subtract(rows[part], centred, out=centred)
            centred *= factor
            result[part] = self.backend.store(centred)

        self.backend.map(fill, self.backend.parts(rows))
        return (result.reshape(gradient.shape),)

    def _measure(self) -> tuple[Array, Array]:
        """Mean and biased variance of the batch; the running ones move towards them."""
        wide, count = self.backend.wide, len(self.rows)
        mean = self._sum(lambda part: self.rows[part]) * wide(1 / count)
        variance = self._sum(lambda part: (self.rows[part] - mean) ** 2) * wide(1 / count)
        unbiased = variance * wide(count / max(count - 1, 1))
        for name, measured in (("mean", mean), ("variance", unbiased)):
            self.statistics[name] = self.statistics[name] + wide(self.layer.momentum) * (measured - self.statistics[name])
        return mean, variance

    def _normal(self, part: slice) -> Array:
        """Some rows less the mean, over the standard deviation, wide."""
        normal = self.rows[part] - self.mean
        normal /= self.spread
        return normal

    def _sum(self, terms: Callable[[slice], Array]) -> Array:
        """(channels,), wide: the sum over rows, whose terms are made in parts."""
        sums = self.backend.map(lambda part: self.backend.sum_rows(terms(part)), self.backend.parts(self.rows))
        return reduce(np.add, sums)
