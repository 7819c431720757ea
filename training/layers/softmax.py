"""Softmax over the last axis."""

from math import e, log2

from dataflow import tokens
from hw.isa.functions import Function
from training.layers.module import Module, Pass
from training.numbers import Array


class Softmax(Module[tokens.Softmax]):
    """``y = exp(x - max) / sum``, ``dx = y (dy - sum(dy y))``, with y as it is stored."""

    def forward(self, *inputs: Array, how: Pass) -> Array:
        values, to_base_2 = inputs[0], self.backend.wide(log2(e))
        largest = values.max(axis=-1, keepdims=True) * to_base_2
        raised = self.backend.function(Function.EXP2, values * to_base_2 + -largest)
        total = self.backend.function(Function.RECIPROCAL, self.backend.sum_last(raised))
        self.output = self.backend.store(raised * total)
        return self.output

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        output = self.output.astype(self.backend.wide)
        return (self.backend.store((gradient + -self.backend.sum_last(output * gradient)) * output),)
