"""Layer normalisation."""

import numpy as np

from dataflow import network, tokens
from hw.isa.functions import Function
from training.layers.module import Module, Parameter, Pass
from training.numbers import Array


class LayerNorm(Module[tokens.LayerNorm]):
    """``(x - mean) / sqrt(variance + epsilon) * scale + shift`` over the last axis. Ba, Kiros and Hinton, 2016.

    What is normalised, and its gradient, are stored between the two halves, by row and by channel, as tensors are.
    """

    def setup(self, shape: network.Shape, rng: np.random.Generator) -> None:
        ones = np.ones(shape[-1], self.backend.wide)
        self.parameters = {"scale": Parameter(ones), "shift": Parameter(np.zeros_like(ones))}

    def forward(self, *inputs: Array, how: Pass) -> Array:
        wide, rows = self.backend.wide, inputs[0].reshape(-1, inputs[0].shape[-1])
        share = wide(1 / rows.shape[-1])
        mean = self.backend.sum_last(rows) * share
        variance = self.backend.sum_last((rows - mean) ** 2) * share
        self.root = self.backend.function(Function.RECIPROCAL_ROOT, variance + wide(self.layer.epsilon))
        self.normal = self.backend.store(rows * self.root + -(mean * self.root))
        scaled = self.normal * self.parameters["scale"].value + self.parameters["shift"].value
        return self.backend.store(scaled).reshape(inputs[0].shape)

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        wide, rows = self.backend.wide, gradient.reshape(self.normal.shape)
        scale, shift = self.parameters["scale"], self.parameters["shift"]
        scale.gradient = self.backend.sum_rows(self.normal.astype(wide) * rows)
        shift.gradient = self.backend.sum_rows(rows)
        scaled, share = self.backend.store(rows * scale.value), wide(1 / gradient.shape[-1])
        slope = -(self.backend.sum_last(self.normal.astype(wide) * scaled) * share)
        height = -(self.backend.sum_last(scaled) * share)
        centred = (self.normal * slope + height) + scaled
        return (self.backend.store(centred * self.root).reshape(gradient.shape),)
