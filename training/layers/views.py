"""Layers that rearrange: another shape, another order of axes, a part, several as one."""

import numpy as np

from dataflow import rearrange, tokens
from training.layers.module import Module, Pass
from training.numbers import Array


class Reshape(Module[rearrange.Reshape]):
    """The same elements in the same order."""

    def forward(self, *inputs: Array, how: Pass) -> Array:
        self.shape = inputs[0].shape
        return inputs[0].reshape(self.shape[0], *self.layer.shape)

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        return (gradient.reshape(self.shape),)


class Transpose(Module[rearrange.Transpose]):
    """Axes of a sample in another order."""

    def forward(self, *inputs: Array, how: Pass) -> Array:
        return inputs[0].transpose(self._axes())

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        return (gradient.transpose(np.argsort(self._axes())),)

    def _axes(self) -> tuple[int, ...]:
        return (0, *(axis + 1 for axis in self.layer.axes))


class Slice(Module[rearrange.Slice]):
    """Entries of one axis; the others' gradient is zero."""

    def forward(self, *inputs: Array, how: Pass) -> Array:
        self.shape = inputs[0].shape
        return inputs[0][self.part]

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        whole = np.zeros(self.shape, gradient.dtype)
        whole[self.part] = gradient
        return (whole,)

    @property
    def part(self) -> tuple[slice, ...]:
        """Where its entries stand in what it reads."""
        return (*[slice(None)] * (self.layer.axis + 1), slice(self.layer.start, self.layer.start + self.layer.size))


class Select(Module[tokens.Select]):
    """One entry of a sample's first axis; the others' gradient is zero."""

    def forward(self, *inputs: Array, how: Pass) -> Array:
        self.shape = inputs[0].shape
        return inputs[0][:, self.layer.index]

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        whole = np.zeros(self.shape, gradient.dtype)
        whole[:, self.layer.index] = gradient
        return (whole,)


class Concat(Module[rearrange.Concat]):
    """Inputs one after the other along an axis."""

    def forward(self, *inputs: Array, how: Pass) -> Array:
        self.axis = self.layer.axis % (inputs[0].ndim - 1) + 1
        self.sizes = [part.shape[self.axis] for part in inputs]
        return np.concatenate(inputs, axis=self.axis)

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        return tuple(np.split(gradient, np.cumsum(self.sizes)[:-1], axis=self.axis))
