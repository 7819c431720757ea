"""Mean or maximum over all pixels of a channel."""

from math import prod

import numpy as np

from dataflow import network
from training.layers.module import Module, Pass
from training.numbers import Array


class GlobalPool(Module[network.GlobalPool]):
    """The mean is a sum from +0 in ascending pixel order times 1/pixels; of equal maxima the first takes the gradient."""

    def forward(self, *inputs: Array, how: Pass) -> Array:
        self.shape = inputs[0].shape
        pixels = inputs[0].reshape(self.shape[0], -1, self.shape[-1])
        if self.layer.kind == "max":
            self.chosen = pixels.argmax(axis=1)[:, None]
            return np.take_along_axis(pixels, self.chosen, axis=1)[:, 0]
        sums = self.backend.sum_in_turn(pixels.swapaxes(0, 1).reshape(pixels.shape[1], -1))
        return self.backend.store(sums.reshape(len(pixels), -1) * self._share())

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        spread = np.zeros((self.shape[0], prod(self.shape[1:-1]), self.shape[-1]), gradient.dtype)
        if self.layer.kind == "max":
            np.put_along_axis(spread, self.chosen, gradient[:, None], axis=1)
        else:
            spread[:] = self.backend.store(gradient.astype(self.backend.wide) * self._share())[:, None]
        return (spread.reshape(self.shape),)

    def _share(self) -> np.floating:
        return self.backend.wide(1 / prod(self.shape[1:-1]))
