"""Convolution, NHWC, with stride, padding, dilation and groups."""

from collections.abc import Iterator
from functools import partial, reduce

import numpy as np

from dataflow import network
from dataflow.ir.sliding import Window
from training.layers.weighted import Weighted
from training.numbers import Array
from training.operand import Operand
from training.windows import Positions, gather, positions

Phase = tuple[slice, list[int], Positions]
"""Pixels ``start:end:stride``, the taps that reach them, and the output position that each reads through each."""


class Conv(Weighted[network.Conv]):
    """Three products over gathered windows.

    Forward and input gradient reduce over (tap row, tap column, channel), channels innermost and padded per tap to whole
    groups where packed; the weight gradient over (sample, row, column). With a stride, pixels of equal remainder are
    reached by the same taps and make one product, see `dataflow.ir.sliding`; what no tap reaches is zero.
    """

    def transposed(self, weights: Array) -> Array:
        outputs, height, width, inputs = weights.shape
        groups = self.layer.groups
        grouped = weights.reshape(groups, outputs // groups, height, width, inputs)
        return np.ascontiguousarray(grouped.swapaxes(1, 4)).reshape(groups * inputs, height, width, outputs // groups)

    def output_product(self, inputs: Array) -> Array:
        rows, columns = self._positions(inputs)
        return self._convolve(self.forward_operand, inputs, rows, columns)

    def input_product(self, gradient: Array) -> Array:
        product = np.zeros(self.input.shape, self.backend.wide)
        height, width = self.input.shape[1:3]
        for pixel_rows, tap_rows, rows in self._phases(height, gradient.shape[1]):
            for pixel_columns, tap_columns, columns in self._phases(width, gradient.shape[2]):
                taps = partial(_take_taps, rows=tap_rows, columns=tap_columns)
                part = self._convolve(self.backward_operand.map(taps), gradient, rows, columns)
                product[:, pixel_rows, pixel_columns] = part
        return product

    def weight_product(self, gradient: Array) -> Array:
        rows, columns = self._positions(self.input)
        flat = gradient.reshape(-1, gradient.shape[-1])
        pruned = self.ask("weight_gradient_operand", flat).reshape(gradient.shape)
        parts = []
        for images, part in zip(self._split(self.input), self._split(pruned), strict=True):
            chunks = self._chunks(images, rows, columns, images.shape[-1])
            sums = self.backend.map(partial(self._weight_part, images, part, rows, columns), chunks)
            parts.append(reduce(np.add, sums))
        weight = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return weight.reshape(self.weight.value.shape)

    def _weight_part(self, images: Array, gradient: Array, rows: Positions, columns: Positions, chunk: slice) -> Array:
        outputs = gradient[chunk].reshape(-1, gradient.shape[-1])
        windows = gather(images[chunk], rows, columns, images.shape[-1]).reshape(len(outputs), -1)
        return self.backend.outer(outputs, windows)

    def _convolve(self, operand: Operand, images: Array, rows: Positions, columns: Positions) -> Array:
        """(batch, out_rows, out_columns, operand rows), one product a group."""
        matrix, groups = self.backend.ready(operand.matrix()), self.layer.groups
        outputs = len(matrix.values) // groups
        result = np.empty((len(images), len(rows), len(columns), outputs * groups), self.backend.wide)
        for number, part in enumerate(self._split(images)):
            weights = matrix.map(partial(_take_group, number=number, groups=groups))
            place = result[..., number * outputs : (number + 1) * outputs]
            chunks = self._chunks(part, rows, columns, operand.channels)
            self.backend.map(partial(self._fill, place, part, weights, rows, columns, operand.channels), chunks)
        return result

    def _fill(
        self,
        result: Array,
        images: Array,
        weights: Operand,
        rows: Positions,
        columns: Positions,
        channels: int,
        chunk: slice,
    ) -> None:
        """Write some images' products to their place."""
        windows = gather(images[chunk], rows, columns, channels)
        reduction = rows.shape[1] * columns.shape[1] * channels
        product = self.backend.product(weights, windows.reshape(-1, reduction)).T
        result[chunk] = product.reshape(result[chunk].shape)

    def _chunks(self, images: Array, rows: Positions, columns: Positions, channels: int) -> list[slice]:
        """Images whose windows are gathered at once."""
        limit = self.backend.window_bytes
        size = max(rows.size * columns.size * channels * images.itemsize, 1)
        step = len(images) if limit is None else max(limit // size, 1)
        return [slice(start, start + step) for start in range(0, len(images), max(step, 1))]

    def _positions(self, images: Array) -> tuple[Positions, Positions]:
        layer = self.layer
        height, width, _ = layer.output_shape(images.shape[1:])
        rows, columns = (
            positions(outputs, layer.kernel, layer.stride, layer.padding, layer.dilation) for outputs in (height, width)
        )
        return rows, columns

    def _phases(self, size: int, outputs: int) -> Iterator[Phase]:
        """Input pixels along one axis by the taps that reach them, as the accelerator's program has them."""
        layer = self.layer
        for phase in Window(size, outputs, layer.kernel, layer.stride, layer.padding, layer.dilation).gradient_phases:
            taps, places = np.arange(phase.taps), np.arange(phase.positions)
            pixels = slice(phase.start, phase.start + layer.stride * phase.positions, layer.stride)
            yield pixels, (phase.tap + phase.tap_step * taps).tolist(), phase.origin + places[:, None] - phase.step * taps

    def _split(self, tensor: Array) -> list[Array]:
        """The channels of each group, widened before windows repeat every pixel once a tap."""
        return np.split(tensor.astype(self.backend.wide, copy=False), self.layer.groups, axis=-1)


def _take_taps(part: Array, rows: list[int], columns: list[int]) -> Array:
    return part[:, rows][:, :, columns]


def _take_group(part: Array, number: int, groups: int) -> Array:
    size = len(part) // groups
    return part[number * size : (number + 1) * size]
