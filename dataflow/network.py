"""What a network is: named layers in order, each with the names it reads.

The one definition that the scheduler lowers to products and the trainer builds its layers from. Shapes are per sample,
NHWC without the batch axis: ``(H, W, C)`` for images, ``(F,)`` for vectors.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

from hw.errors import InputError
from hw.inputs import shown

Shape = tuple[int, ...]
INPUT = "input"
"""The name by which layers refer to the network's input."""

MOST_LAYERS, MOST_NAME = 20_000, 200
"""Layers of a network, characters of a layer's name."""
MOST_SIZE, MOST_ELEMENTS = 1 << 24, 1 << 40
"""Of an axis of a tensor or a window, and of a tensor, of one sample."""
MOST_SLID = 1 << 20
"""Of an axis that a window slides over: what padding leaves of its places is counted one by one."""
MOST_BATCH = 1 << 20
"""Samples of a step."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A node: reads the outputs of `inputs` (layer names, or `INPUT`) and is known as `name`."""

    name: str
    inputs: tuple[str, ...]

    def output_shape(self, *shapes: Shape) -> Shape:
        """Shape of the result for inputs of `shapes`; elementwise unless a layer says otherwise."""
        return shapes[0]

    def learned(self, *shapes: Shape) -> int:
        """Learned numbers beside the weights of `Weighted` layers."""
        return 0

    def macs(self, *shapes: Shape) -> int:
        """Multiply-accumulates of a sample beside those of `Weighted` layers."""
        return 0

    def _reject(self, shape: Shape, wanted: str) -> InputError:
        return InputError(f"layer {self.name!r}: {type(self).__name__} needs {wanted}, not an input of shape {shape}")


@dataclass(frozen=True, kw_only=True)
class Weighted(Layer):
    """A layer whose work is matrix products.

    Parameters
    ----------
    bias : bool
        Whether a bias vector is added to the product.
    prune : bool
        Whether N:M pruning may apply; false keeps the layer dense under every method.
    """

    bias: bool = False
    prune: bool = True

    def weight_shape(self, channels: int) -> Shape:
        """Shape of the weights for an input of `channels`, output channels first and input channels last."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Conv(Weighted):
    """Convolution over (H, W, C) with square parameters; weights are (out_channels, kernel, kernel, C / groups)."""

    out_channels: int
    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1

    def output_shape(self, *shapes: Shape) -> Shape:
        """(H', W', out_channels)."""
        if len(shapes[0]) != 3:
            raise self._reject(shapes[0], "(H, W, C)")
        height, width, channels = shapes[0]
        if channels % self.groups or self.out_channels % self.groups:
            raise InputError(
                f"layer {self.name!r}: groups must divide the {channels} input and {self.out_channels} output channels,"
                f" not be {self.groups}"
            )
        return (
            *(window(self, size, self.kernel, self.stride, self.padding, self.dilation) for size in (height, width)),
            self.out_channels,
        )

    def weight_shape(self, channels: int) -> Shape:
        return (self.out_channels, self.kernel, self.kernel, channels // self.groups)


@dataclass(frozen=True, kw_only=True)
class Linear(Weighted):
    """Matrix product over the last axis; weights are (out_features, in_features)."""

    out_features: int
    bias: bool = True

    def output_shape(self, *shapes: Shape) -> Shape:
        """The input's shape with its last axis replaced."""
        return (*shapes[0][:-1], self.out_features)

    def weight_shape(self, channels: int) -> Shape:
        return (self.out_features, channels)


@dataclass(frozen=True, kw_only=True)
class Normalisation(Layer):
    """What needs sums over its input before it can change a single element of it."""


@dataclass(frozen=True, kw_only=True)
class BatchNorm(Normalisation):
    """Normalisation per channel over batch and pixels, with learned scale and shift."""

    epsilon: float = 1e-5
    momentum: float = 0.1

    def learned(self, *shapes: Shape) -> int:
        """A scale and a shift a channel."""
        return 2 * shapes[0][-1]


@dataclass(frozen=True, kw_only=True)
class Relu(Layer):
    """max(x, 0)."""


@dataclass(frozen=True, kw_only=True)
class MaxPool(Layer):
    """Largest of each window."""

    kernel: int
    stride: int
    padding: int = 0

    def output_shape(self, *shapes: Shape) -> Shape:
        """(H', W', C)."""
        if len(shapes[0]) != 3:
            raise self._reject(shapes[0], "(H, W, C)")
        height, width, channels = shapes[0]
        return (*(window(self, size, self.kernel, self.stride, self.padding, 1) for size in (height, width)), channels)


@dataclass(frozen=True, kw_only=True)
class GlobalPool(Layer):
    """Mean or maximum over all pixels of a channel."""

    kind: str = "mean"

    def output_shape(self, *shapes: Shape) -> Shape:
        """(C,)."""
        return shapes[0][-1:]


@dataclass(frozen=True, kw_only=True)
class Add(Layer):
    """Sum of two inputs of one shape."""

    def output_shape(self, *shapes: Shape) -> Shape:
        """The shape of either."""
        if shapes[0] != shapes[1]:
            raise InputError(f"layer {self.name!r}: Add needs equal shapes, not {shapes[0]} and {shapes[1]}")
        return shapes[0]


@dataclass(frozen=True, kw_only=True)
class Flatten(Layer):
    """All axes of a sample in one, channels innermost."""

    def output_shape(self, *shapes: Shape) -> Shape:
        """(F,)."""
        return (prod(shapes[0]),)


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network: its input, its classes and its layers in an order in which each follows what it reads.

    Parameters
    ----------
    name : str
        What commands and reports call it.
    input_shape : tuple of int
        Per sample, (H, W, C) or (F,).
    layers : tuple of Layer
        The last one's output are the logits.
    """

    name: str
    input_shape: Shape
    layers: tuple[Layer, ...] = field(repr=False)

    def __post_init__(self) -> None:
        if not self.layers:
            raise InputError(f"network {self.name!r} has no layers")
        if len(self.layers) > MOST_LAYERS:
            raise InputError(f"network {self.name!r}: {len(self.layers):,} layers are too many: at most {MOST_LAYERS:,}")
        known = {INPUT}
        for layer in self.layers:
            missing = [name for name in layer.inputs if name not in known]
            if missing:
                raise InputError(f"layer {layer.name!r} reads {missing[0]!r}, which no earlier layer makes")
            if layer.name in known:
                raise InputError(f"layer {layer.name!r} stands twice in network {self.name!r}")
            if not 0 < len(layer.name) <= MOST_NAME or not layer.name.isprintable():
                raise InputError(f"layer {shown(layer.name)}: a name must be 1 to {MOST_NAME} printable characters")
            known.add(layer.name)
        check_shape(f"network {self.name!r}: input", self.input_shape)
        _ = self.shapes
        for layer in self.weighted():
            check_shape(f"layer {layer.name!r}: weights", self.weight_shape(layer))

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Output shape of every layer by name, and of `INPUT`."""
        shapes = {INPUT: self.input_shape}
        for layer in self.layers:
            shape = layer.output_shape(*(shapes[name] for name in layer.inputs))
            check_shape(f"layer {layer.name!r}", shape)  # at once: sizes that grow from layer to layer take ever longer
            shapes[layer.name] = shape
        return shapes

    @property
    def classes(self) -> int:
        """Logits of a sample."""
        return self.shapes[self.layers[-1].name][-1]

    def weighted(self) -> Iterator[Weighted]:
        """The layers that hold weights, in order."""
        return (layer for layer in self.layers if isinstance(layer, Weighted))

    @property
    def parameters(self) -> int:
        """Learned numbers: weights, biases, and scale and shift of every batch norm."""
        weights = sum(prod(self.weight_shape(layer)) for layer in self.weighted())
        biases = sum(self.weight_shape(layer)[0] for layer in self.weighted() if layer.bias)
        return weights + biases + sum(layer.learned(*self.input_shapes(layer)) for layer in self.layers)

    @property
    def forward_macs(self) -> int:
        """Multiply-accumulates of one sample's dense forward pass, taps that fall in the padding counted as usual."""
        return sum(self.macs(layer) for layer in self.layers)

    def input_shapes(self, layer: Layer) -> tuple[Shape, ...]:
        """Shapes of what `layer` reads."""
        return tuple(self.shapes[name] for name in layer.inputs)

    def macs(self, layer: Layer) -> int:
        """Multiply-accumulates of one sample's dense forward pass in `layer`."""
        if not isinstance(layer, Weighted):
            return layer.macs(*self.input_shapes(layer))
        return prod(self.shapes[layer.name][:-1]) * prod(self.weight_shape(layer))

    def weight_shape(self, layer: Weighted) -> Shape:
        """Shape of a layer's weights, output channels first and input channels last."""
        return layer.weight_shape(self.shapes[layer.inputs[0]][-1])


def check_shape(what: str, shape: Shape) -> None:
    """`InputError` unless `shape` is of at least one axis, each of 1 to `MOST_SIZE`, of `MOST_ELEMENTS` together."""
    if not shape or not all(type(size) is int and size >= 1 for size in shape):
        raise InputError(f"{what}: each axis must be a whole number of at least 1, not {shown(shape)}")
    if max(shape) > MOST_SIZE or prod(shape) > MOST_ELEMENTS:
        raise InputError(
            f"{what}: {shown(shape)} is too large: at most {MOST_SIZE:,} an axis and {MOST_ELEMENTS:,} elements a sample"
        )


def check_batch(batch: int) -> None:
    """`InputError` unless a step can have so many samples."""
    if batch < 1:
        raise InputError(f"batch must be at least 1, not {shown(batch)}")
    if batch > MOST_BATCH:
        raise InputError(f"batch {shown(batch)} is too large: at most {MOST_BATCH:,}")


def window(layer: Layer, size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Positions of a sliding window along an axis of `size`; `InputError` where there is none."""
    if min(kernel, stride, dilation) < 1 or padding < 0 or max(kernel, stride, padding, dilation) > MOST_SIZE:
        raise InputError(
            f"layer {layer.name!r}: kernel, stride and dilation must be in 1..{MOST_SIZE:,}, padding in 0..{MOST_SIZE:,}, not"
            f" {shown((kernel, stride, dilation, padding))}"
        )
    span = dilation * (kernel - 1) + 1
    if size > MOST_SLID:
        raise InputError(f"layer {layer.name!r}: an axis of {size:,} is too large for a window: at most {MOST_SLID:,}")
    if size + 2 * padding < span:
        raise InputError(f"layer {layer.name!r}: a window of {span} does not fit an axis of {size} with padding {padding}")
    return (size + 2 * padding - span) // stride + 1
