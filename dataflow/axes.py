"""Windows with parameters of their own for each axis, as networks from outside have them."""

from dataclasses import dataclass

from dataflow.network import Layer, Shape, Weighted, window
from hw.errors import InputError


@dataclass(frozen=True)
class Axis:
    """A window along one axis: `before` and `after` are its paddings."""

    kernel: int
    stride: int = 1
    before: int = 0
    after: int = 0
    dilation: int = 1

    def positions(self, layer: Layer, size: int, *, ceil: bool = False) -> int:
        """Outputs along an axis of `size`; with `ceil`, a last window may hang over its end."""
        over = (self.stride - 1) if ceil else 0
        positions = window(layer, size + self.before + self.after + over, self.kernel, self.stride, 0, self.dilation)
        hangs = ceil and (positions - 1) * self.stride >= size + self.before
        return positions - 1 if hangs else positions


@dataclass(frozen=True, kw_only=True)
class AxisConv(Weighted):
    """Convolution over (*spatial, C); weights are (out_channels, *kernel, C / groups)."""

    out_channels: int
    axes: tuple[Axis, ...]
    groups: int = 1

    def output_shape(self, *shapes: Shape) -> Shape:
        """(*spatial', out_channels)."""
        *spatial, channels = shapes[0]
        if len(spatial) != len(self.axes):
            raise self._reject(shapes[0], f"{len(self.axes)} axes and channels")
        if channels % self.groups or self.out_channels % self.groups:
            raise InputError(
                f"layer {self.name!r}: groups must divide the {channels} input and {self.out_channels} output channels,"
                f" not be {self.groups}"
            )
        return (*(axis.positions(self, size) for axis, size in zip(self.axes, spatial, strict=True)), self.out_channels)

    def weight_shape(self, channels: int) -> Shape:
        return (self.out_channels, *(axis.kernel for axis in self.axes), channels // self.groups)


@dataclass(frozen=True, kw_only=True)
class AxisPool(Layer):
    """Largest or mean of each window."""

    axes: tuple[Axis, ...]
    kind: str = "max"
    ceil: bool = False

    def output_shape(self, *shapes: Shape) -> Shape:
        """(*spatial', C)."""
        *spatial, channels = shapes[0]
        if len(spatial) != len(self.axes):
            raise self._reject(shapes[0], f"{len(self.axes)} axes and channels")
        pairs = zip(self.axes, spatial, strict=True)
        return (*(axis.positions(self, size, ceil=self.ceil) for axis, size in pairs), channels)


@dataclass(frozen=True, kw_only=True)
class Combine(Layer):
    """Element-wise function of two inputs, the smaller one repeated: products, quotients, differences."""

    kind: str = "multiply"

    def output_shape(self, *shapes: Shape) -> Shape:
        """The shape to which both are repeated."""
        long, short = sorted(shapes[:2], key=len, reverse=True)
        short = (1,) * (len(long) - len(short)) + short
        if any(a != b and 1 not in (a, b) for a, b in zip(long, short, strict=True)):
            raise InputError(f"layer {self.name!r}: shapes {shapes[0]} and {shapes[1]} cannot be repeated to one")
        return tuple(max(a, b) for a, b in zip(long, short, strict=True))


@dataclass(frozen=True, kw_only=True)
class Affine(Layer):
    """Element-wise function whose gradient does not need its input, such as adding or multiplying by constants.

    Parameters
    ----------
    kind : str
        What it does.
    size : int
        Learned numbers.
    """

    kind: str = "add a constant"
    size: int = 0

    def learned(self, *shapes: Shape) -> int:
        return self.size


@dataclass(frozen=True, kw_only=True)
class Lookup(Layer):
    """Rows of a learned table, chosen by the input.

    Parameters
    ----------
    shape : tuple of int
        Of the result.
    size : int
        Numbers of the table.
    shared : bool
        Whether another layer has the same table, which then counts and updates it.
    """

    shape: Shape
    size: int
    shared: bool = False

    def output_shape(self, *shapes: Shape) -> Shape:
        return self.shape

    def learned(self, *shapes: Shape) -> int:
        return 0 if self.shared else self.size


@dataclass(frozen=True, kw_only=True)
class Reduce(Layer):
    """A pass that makes a tensor of another `shape`: sums and means over axes, interpolation.

    Parameters
    ----------
    shape : tuple of int
        Of the result.
    kind : str
        What it does.
    size : int
        Learned numbers.
    """

    shape: Shape
    kind: str = "mean"
    size: int = 0

    def output_shape(self, *shapes: Shape) -> Shape:
        return self.shape

    def learned(self, *shapes: Shape) -> int:
        return self.size
