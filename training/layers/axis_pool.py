"""Largest or mean of each window, with parameters of their own for each axis."""

import numpy as np

from dataflow import axes
from hw.errors import InputError
from training.layers.module import Module, Pass
from training.numbers import Array, lowest
from training.windows import Positions, gather, positions


class AxisPool(Module[axes.AxisPool]):
    """The mean counts pixels inside the image alone; the first of equal maxima takes the gradient.

    Of a pixel that may be in several windows, gradients are summed in binary32, from +0 and in ascending order of their taps.
    """

    def forward(self, *inputs: Array, how: Pass) -> Array:
        images = inputs[0]
        if images.ndim != 4:
            raise InputError(f"layer {self.layer.name!r}: windows over {images.ndim - 2} axes cannot be trained; allowed: 2")
        self.shape, channels = images.shape, images.shape[-1]
        self.rows, self.columns = self._positions()
        largest = self.layer.kind == "max"
        windows = gather(images, self.rows, self.columns, channels, outside=lowest(self.backend.storage) if largest else 0.0)
        windows = windows.reshape(*windows.shape[:3], -1, channels)
        if largest:
            self.share = np.arange(windows.shape[3])[:, None] == windows.argmax(axis=3)[..., None, :]
            return windows.max(axis=3)
        self.share = self._inside()[None, :, :, :, None]
        ordered = np.moveaxis(windows, 3, 0).astype(self.backend.wide)
        sums = self.backend.sum_in_turn(ordered.reshape(len(ordered), -1)).reshape(ordered.shape[1:])
        return self.backend.store(sums * self.share.max(axis=3))

    def backward(self, gradient: Array, how: Pass) -> tuple[Array, ...]:
        padded = np.zeros((self.shape[0], self.shape[1] + 1, self.shape[2] + 1, self.shape[3]), self.backend.wide)
        alone = [_alone(axis) for axis in self.layer.axes]
        for tap, (row, column) in enumerate(np.ndindex(self.rows.shape[1], self.columns.shape[1])):
            rows = _bounded(self.rows[:, row], self.shape[1])
            columns = _bounded(self.columns[:, column], self.shape[2])
            share = self.share[:, :, :, tap]
            part = np.where(share, gradient, 0) if self.layer.kind == "max" else gradient.astype(self.backend.wide) * share
            if alone[0][row] and alone[1][column]:
                padded[:, rows[:, None], columns] = part
            else:
                padded[:, rows[:, None], columns] += part
        return (self.backend.store(padded[:, :-1, :-1]),)

    def _positions(self) -> tuple[Positions, Positions]:
        outputs = self.layer.output_shape(self.shape[1:])
        pair = [
            positions(count, axis.kernel, axis.stride, axis.before, axis.dilation)
            for count, axis in zip(outputs, self.layer.axes, strict=False)
        ]
        return pair[0], pair[1]

    def _inside(self) -> Array:
        """(rows, columns, taps): 1 / pixels inside, of each window's taps inside; zero outside."""
        row, column = ((at >= 0) & (at < size) for at, size in ((self.rows, self.shape[1]), (self.columns, self.shape[2])))
        inside = (row[:, None, :, None] & column[None, :, None, :]).reshape(len(row), len(column), -1)
        return (inside / inside.sum(axis=-1, keepdims=True)).astype(self.backend.wide)


def _bounded(places: Positions, size: int) -> Positions:
    """Each place along an axis, or `size`, a row that is cut off, where it lies outside; those inside differ."""
    return np.where((places >= 0) & (places < size), places, size)


def _alone(axis: axes.Axis) -> list[bool]:
    """Of each tap along an axis, whether no other one comes to the same pixels."""
    first = [tap * axis.dilation % axis.stride for tap in range(axis.kernel)]
    return [first.count(place) == 1 for place in first]
