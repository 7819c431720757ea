"""Largest of each window."""

import numpy as np

from dataflow import network
from training.layers.module import Module, Pass
from training.numbers import Array
from training.windows import gather, positions


class MaxPool(Module[network.MaxPool]):
    """The first of equal maxima takes the gradient; where windows overlap, taps are summed in ascending order."""

    def forward(self, *inputs: Array, how: Pass) -> Array:
        layer, images = self.layer, inputs[0]
        self.shape = images.shape
        height, width, channels = layer.output_shape(images.shape[1:])
        rows, columns = (positions(outputs, layer.kernel, layer.stride, layer.padding) for outputs in (height, width))
        windows = gather(images, rows, columns, channels, outside=-np.inf)
        windows = windows.reshape(len(images), height, width, layer.kernel**2, channels)
        self.chosen = windows.argmax(axis=3)
        return np.take_along_axis(windows, self.chosen[:, :, :, None], axis=3)[:, :, :, 0]

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        layer = self.layer
        batch, height, width, channels = self.shape
        edge, stride = layer.padding, layer.stride
        padded = np.zeros((batch, height + 2 * edge, width + 2 * edge, channels), self.backend.wide)
        for tap, (row, column) in enumerate(np.ndindex(layer.kernel, layer.kernel)):
            read = (
                slice(row, row + stride * (gradient.shape[1] - 1) + 1, stride),
                slice(column, column + stride * (gradient.shape[2] - 1) + 1, stride),
            )
            padded[:, *read] += np.where(self.chosen == tap, gradient, 0)
        return (self.backend.store(padded[:, edge : edge + height, edge : edge + width]),)
