"""Softmax over the last axis."""

import numpy as np

from dataflow import tokens
from training.layers.module import Module, Pass
from training.numbers import Array


class Softmax(Module[tokens.Softmax]):
    """``y = exp(x - max) / sum``, ``dx = y (dy - sum(dy y))``; the derivative uses y before it is rounded."""

    def forward(self, *inputs: Array, how: Pass) -> Array:
        wide = inputs[0].astype(self.backend.wide)
        raised = np.exp(wide - wide.max(axis=-1, keepdims=True))
        self.output = raised / self._sum(raised)
        return self.backend.store(self.output)

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        wide = gradient.astype(self.backend.wide)
        return (self.backend.store(self.output * (wide - self._sum(wide * self.output))),)

    def _sum(self, values: Array) -> Array:
        rows = values.reshape(-1, values.shape[-1])
        return self.backend.sum_rows(rows.T).reshape(*values.shape[:-1], 1)
