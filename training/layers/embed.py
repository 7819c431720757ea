"""Tokens with a class token in front and positions added."""

from math import prod

import numpy as np

from dataflow import network, tokens
from training.layers.module import Module, Parameter, Pass
from training.numbers import Array

SPREAD = 0.02


class Embed(Module[tokens.Embed]):
    """(batch, ..., C) to (batch, T + 1, C); what is learned starts normal with deviation 0.02 (Dosovitskiy et al., 2021)."""

    def setup(self, shape: network.Shape, rng: np.random.Generator) -> None:
        count, width = prod(shape[:-1]), shape[-1]
        drawn = {"token": rng.standard_normal(width), "position": rng.standard_normal((count + 1, width))}
        self.parameters = {name: Parameter((array * SPREAD).astype(self.backend.wide)) for name, array in drawn.items()}

    def forward(self, *inputs: Array, how: Pass) -> Array:
        self.shape = inputs[0].shape
        batch, width = self.shape[0], self.shape[-1]
        patches = inputs[0].reshape(batch, -1, width).astype(self.backend.wide)
        token = np.broadcast_to(self.parameters["token"].value, (batch, 1, width))
        return self.backend.store(np.concatenate([token, patches], axis=1) + self.parameters["position"].value)

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        sums = self.backend.sum_rows(gradient.reshape(len(gradient), -1).astype(self.backend.wide))
        position = sums.reshape(gradient.shape[1:])
        self.parameters["position"].gradient, self.parameters["token"].gradient = position, position[0]
        return (np.ascontiguousarray(gradient[:, 1:]).reshape(self.shape),)
