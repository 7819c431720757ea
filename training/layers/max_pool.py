"""Largest of each window."""

import numpy as np

from dataflow import network
from training.layers.module import Module, Pass
from training.numbers import Array, blend, lowest, masked


class MaxPool(Module[network.MaxPool]):
    """The first of equal maxima takes the gradient; of a pixel that may be in several windows, those are summed in binary32,
    from +0 and in ascending order of their taps.
    """

    def forward(self, *inputs: Array, how: Pass) -> Array:
        images = inputs[0]
        self.shape, outputs = images.shape, (len(images), *self.layer.output_shape(images.shape[1:]))
        largest = np.empty(outputs, images.dtype)
        self.chosen = np.empty(outputs, np.uint8 if self.layer.kernel < 16 else np.uint32)

        def fill(part: slice) -> None:
            largest[part], self.chosen[part] = self._choose(images[part], outputs[1:3])

        self.backend.map(fill, self.backend.parts(images))
        return largest

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        result = np.empty(self.shape, gradient.dtype)

        def fill(part: slice) -> None:
            result[part] = self.backend.store(self._spread(gradient[part], self.chosen[part]))

        self.backend.map(fill, self.backend.parts(result))
        return (result,)

    def _choose(self, images: Array, outputs: tuple[int, ...]) -> tuple[Array, Array]:
        """The largest of each window and the number of its tap; the first of equal ones, and the first NaN."""
        edges = ((0, 0), *((self.layer.padding, self.layer.padding),) * 2, (0, 0))
        padded = np.pad(images, edges, constant_values=lowest(self.backend.storage)) if self.layer.padding else images
        taps = enumerate(self._taps(*outputs))
        largest = padded[:, *next(taps)[1]]
        chosen = np.zeros(largest.shape, self.chosen.dtype)
        for tap, read in taps:
            values = padded[:, *read]
            larger = ~(values <= largest) & (largest == largest)
            largest = blend(larger, values, largest)
            np.maximum(chosen, larger * chosen.dtype.type(tap), out=chosen)
        return largest, chosen

    def _spread(self, gradient: Array, chosen: Array) -> Array:
        """(batch, height, width, channels), wide: each gradient at its window's largest pixel."""
        edge = self.layer.padding
        batch, height, width, channels = len(gradient), *self.shape[1:]
        padded = np.zeros((batch, height + 2 * edge, width + 2 * edge, channels), self.backend.wide)
        single = [tap < self.layer.stride and tap + self.layer.stride >= self.layer.kernel for tap in range(self.layer.kernel)]
        alone = [row and column for row in single for column in single]  # no other tap comes to the same pixels
        for tap, read in enumerate(self._taps(*gradient.shape[1:3])):
            part = masked(gradient, chosen == tap)
            if alone[tap]:
                padded[:, *read] = part
            else:
                padded[:, *read] += part
        return padded[:, edge : edge + height, edge : edge + width]

    def _taps(self, height: int, width: int) -> list[tuple[slice, slice]]:
        """The padded pixels that each tap of every window reads, taps in ascending order."""
        stride = self.layer.stride
        rows, columns = (
            [slice(tap, tap + stride * (outputs - 1) + 1, stride) for tap in range(self.layer.kernel)]
            for outputs in (height, width)
        )
        return [(row, column) for row in rows for column in columns]
