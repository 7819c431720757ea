"""Batch normalisation."""

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
        rows = inputs[0].reshape(-1, inputs[0].shape[-1]).astype(self.backend.wide, copy=False)
        mean, variance = self._measure(rows) if how.training else (self.statistics["mean"], self.statistics["variance"])
        self.spread = np.sqrt(variance + self.backend.wide(self.layer.epsilon))
        self.normal = rows - mean
        self.normal /= self.spread
        scaled = self.normal * self.parameters["scale"].value
        scaled += self.parameters["shift"].value
        return self.backend.store(scaled).reshape(inputs[0].shape)

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        rows = gradient.reshape(-1, gradient.shape[-1]).astype(self.backend.wide, copy=False)
        scale, shift = self.parameters["scale"], self.parameters["shift"]
        scale.gradient = self.backend.sum_rows(rows * self.normal)
        shift.gradient = self.backend.sum_rows(rows)
        share = self.backend.wide(1 / len(rows))
        centred = self.normal * scale.gradient
        centred += shift.gradient
        centred *= share
        np.subtract(rows, centred, out=centred)
        centred *= scale.value / self.spread
        return (self.backend.store(centred).reshape(gradient.shape),)

    def _measure(self, rows: Array) -> tuple[Array, Array]:
        """Mean and biased variance of the batch; the running ones move towards them."""
        wide, count = self.backend.wide, len(rows)
        mean = self.backend.sum_rows(rows) * wide(1 / count)
        variance = self.backend.sum_rows((rows - mean) ** 2) * wide(1 / count)
        unbiased = variance * wide(count / max(count - 1, 1))
        for name, measured in (("mean", mean), ("variance", unbiased)):
            self.statistics[name] = self.statistics[name] + wide(self.layer.momentum) * (measured - self.statistics[name])
        return mean, variance
