"""Layer normalisation."""

import numpy as np

from dataflow import network, tokens
from training.layers.module import Module, Parameter, Pass
from training.numbers import Array

EPSILON = 1e-5


class LayerNorm(Module[tokens.LayerNorm]):
    """``(x - mean) / sqrt(variance + 1e-5) * scale + shift`` over the last axis. Ba, Kiros and Hinton, 2016."""

    def setup(self, shape: network.Shape, rng: np.random.Generator) -> None:
        ones = np.ones(shape[-1], self.backend.wide)
        self.parameters = {"scale": Parameter(ones), "shift": Parameter(np.zeros_like(ones))}

    def forward(self, *inputs: Array, how: Pass) -> Array:
        rows = inputs[0].reshape(-1, inputs[0].shape[-1]).astype(self.backend.wide)
        centred = rows - self._mean(rows)
        self.spread = np.sqrt(self._mean(centred**2) + self.backend.wide(EPSILON))
        self.normal = centred / self.spread
        scaled = self.normal * self.parameters["scale"].value + self.parameters["shift"].value
        return self.backend.store(scaled).reshape(inputs[0].shape)

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        rows = gradient.reshape(-1, gradient.shape[-1]).astype(self.backend.wide)
        scale, shift = self.parameters["scale"], self.parameters["shift"]
        scale.gradient = self.backend.sum_rows(rows * self.normal)
        shift.gradient = self.backend.sum_rows(rows)
        scaled = rows * scale.value
        centred = scaled - self._mean(scaled) - self.normal * self._mean(scaled * self.normal)
        return (self.backend.store(centred / self.spread).reshape(gradient.shape),)

    def _mean(self, rows: Array) -> Array:
        """(rows, 1): a sum in ascending order, times 1/length."""
        return (self.backend.sum_rows(rows.T) * self.backend.wide(1 / rows.shape[-1]))[:, None]
