"""Largest of each window."""

import numpy as np

from dataflow import network
from training.layers.module import Module, Pass
from training.numbers import Array


class MaxPool(Module[network.MaxPool]):
    """The first of equal maxima takes the gradient; where windows overlap, taps are summed in ascending order."""

    def forward(self, *inputs: Array, how: Pass) -> Array:
        layer, images = self.layer, inputs[0]
        self.shape = images.shape
        edges = ((0, 0), *((layer.padding, layer.padding),) * 2, (0, 0))
        padded = np.pad(images, edges, constant_values=-np.inf) if layer.padding else images
        height, width, _ = layer.output_shape(images.shape[1:])
        largest = padded[:, *self._read(0, 0, height, width)].copy()
        self.chosen = np.zeros(largest.shape, np.uint8 if layer.kernel < 16 else np.intp)
        for tap, (row, column) in enumerate(np.ndindex(layer.kernel, layer.kernel)):
            values = padded[:, *self._read(row, column, height, width)]
            larger = ~(values <= largest) & (largest == largest)  # the first NaN stays
            np.copyto(largest, values, where=larger)
            self.chosen[larger] = tap
        return largest

    def _read(self, row: int, column: int, height: int, width: int) -> tuple[slice, slice]:
        """The padded pixels that one tap of every window reads."""
        stride = self.layer.stride
        return slice(row, row + stride * (height - 1) + 1, stride), slice(column, column + stride * (width - 1) + 1, stride)

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        layer = self.layer
        batch, height, width, channels = self.shape
        edge = layer.padding
        padded = np.zeros((batch, height + 2 * edge, width + 2 * edge, channels), self.backend.wide)
        for tap, (row, column) in enumerate(np.ndindex(layer.kernel, layer.kernel)):
            read = self._read(row, column, *gradient.shape[1:3])
            padded[:, *read] += np.where(self.chosen == tap, gradient, 0)
        return (self.backend.store(padded[:, edge : edge + height, edge : edge + width]),)
