"""Softmax over the last axis."""

from dataflow import tokens
from training.layers.module import Module, Pass
from training.numbers import Array


class Softmax(Module[tokens.Softmax]):
    """``y = exp(x - max) / sum``, ``dx = y (dy - sum(dy y))``, with y as it is stored."""

    def forward(self, *inputs: Array, how: Pass) -> Array:
        self.output = self.backend.store(self.backend.softmax(inputs[0]))
        return self.output

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        output = self.output.astype(self.backend.wide)
        return (self.backend.store((gradient + -self.backend.sum_last(output * gradient)) * output),)
