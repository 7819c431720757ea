"""Layers that move nothing: another view of the same memory, or of several tensors as one."""

from dataclasses import dataclass
from math import prod

from dataflow.network import Layer, Shape
from hw.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Reshape(Layer):
    """The same elements under another shape; memory access is strided, so that nothing moves."""

    shape: Shape

    def output_shape(self, *shapes: Shape) -> Shape:
        if prod(self.shape) != prod(shapes[0]):
            raise InputError(f"layer {self.name!r}: {shapes[0]} has not as many elements as {self.shape}")
        return self.shape


@dataclass(frozen=True, kw_only=True)
class Transpose(Layer):
    """The axes of a sample in the order `axes`."""

    axes: tuple[int, ...]

    def output_shape(self, *shapes: Shape) -> Shape:
        if sorted(self.axes) != list(range(len(shapes[0]))):
            raise InputError(f"layer {self.name!r}: axes must be all of 0..{len(shapes[0]) - 1}, not {self.axes}")
        return tuple(shapes[0][axis] for axis in self.axes)


@dataclass(frozen=True, kw_only=True)
class Slice(Layer):
    """`size` entries of `axis` from `start`."""

    axis: int
    start: int
    size: int

    def output_shape(self, *shapes: Shape) -> Shape:
        shape = list(shapes[0])
        if not (0 <= self.axis < len(shape) and 0 <= self.start <= self.start + self.size <= shape[self.axis]):
            raise self._reject(shapes[0], f"{self.start + self.size} entries along axis {self.axis}")
        shape[self.axis] = self.size
        return tuple(shape)


@dataclass(frozen=True, kw_only=True)
class Concat(Layer):
    """The inputs one after the other along `axis`; each is written to its place by whatever makes it."""

    axis: int = -1

    def output_shape(self, *shapes: Shape) -> Shape:
        axis = self.axis % len(shapes[0])
        rest = {shape[:axis] + shape[axis + 1 :] for shape in shapes}
        if len(rest) > 1:
            raise InputError(f"layer {self.name!r}: Concat along axis {axis} needs equal other axes, not {shapes}")
        return (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])


@dataclass(frozen=True, kw_only=True)
class Gap(Layer):
    """Work that is not counted: something between two layers that makes a tensor of `shape`."""

    shape: Shape

    def output_shape(self, *shapes: Shape) -> Shape:
        return self.shape
