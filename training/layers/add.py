"""The residual sum."""

from dataflow import network
from training.layers.module import Module, Pass
from training.numbers import Array


class Add(Module[network.Add]):
    """One wide addition, rounded once; both inputs get the output's gradient."""

    def forward(self, *inputs: Array, how: Pass) -> Array:
        left, right = (operand.astype(self.backend.wide, copy=False) for operand in inputs)
        return self.backend.store(left + right)

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        return gradient, gradient
