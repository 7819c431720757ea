"""All axes of a sample in one."""

from dataflow import network
from training.layers.module import Module, Pass
from training.numbers import Array


class Flatten(Module[network.Flatten]):
    """(batch, ...) to (batch, F), channels innermost."""

    def forward(self, *inputs: Array, how: Pass) -> Array:
        self.shape = inputs[0].shape
        return inputs[0].reshape(len(inputs[0]), -1)

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        return (gradient.reshape(self.shape),)
