"""A weighted layer's axes: what is windowed and what is not."""

from dataclasses import dataclass
from math import prod

from dataflow.axes import Axis, AxisConv
from dataflow.ir.sliding import Window
from dataflow.network import Conv, Linear, Network, Weighted
from dataflow.tokens import MatMul
from hw.errors import InputError

MOST_PHASES = 4096
"""Strides of a window, multiplied: the gradient of its input takes as many products."""


@dataclass(frozen=True)
class Geometry:
    """A weighted layer in numbers; its tensors are (*lead, *windows, channels), batch first.

    A linear layer has no windows: all axes but the last lead. `inputs` and `outputs` are channels of all groups together.
    """

    name: str
    lead: tuple[int, ...]
    windows: tuple[Window, ...]
    inputs: int
    outputs: int
    groups: int = 1

    @property
    def group_inputs(self) -> int:
        """Input channels of one group."""
        return self.inputs // self.groups

    @property
    def group_outputs(self) -> int:
        """Output channels of one group."""
        return self.outputs // self.groups

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of ``<layer>.input`` and its gradient."""
        return (*self.lead, *(window.size for window in self.windows), self.inputs)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of ``<layer>.output`` and its gradient."""
        return (*self.lead, *(window.outputs for window in self.windows), self.outputs)

    @property
    def kernel_shape(self) -> tuple[int, ...]:
        """Taps of each window."""
        return tuple(window.kernel for window in self.windows)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the dense weights and their gradient, (*kernel, in of a group, out)."""
        return (*self.kernel_shape, self.group_inputs, self.outputs)


@dataclass(frozen=True)
class BatchMatMul:
    """A product of two activations in numbers: (*lead, m, k) times (*lead, k, n), (*lead, n, k) where `transposed`."""

    name: str
    lead: tuple[int, ...]
    m: int
    n: int
    k: int
    transposed: bool

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of ``<layer>.left``, ``.right`` and ``.output``, which are also those of their gradients."""
        right = (self.n, self.k) if self.transposed else (self.k, self.n)
        return {"left": (*self.lead, self.m, self.k), "right": (*self.lead, *right), "output": (*self.lead, self.m, self.n)}


def measure_matmul(network: Network, layer: MatMul, batch: int) -> BatchMatMul:
    """The geometry of `layer` for a batch."""
    shapes = network.input_shapes(layer)
    return BatchMatMul(layer.name, (batch, *shapes[0][:-2]), *layer.sizes(*shapes), layer.transposed)


def measure(network: Network, layer: Weighted, batch: int) -> Geometry:
    """The geometry of `layer` for a batch; `InputError` where a kind of layer is not supported."""
    source, result = network.shapes[layer.inputs[0]], network.shapes[layer.name]
    if isinstance(layer, Linear):
        return Geometry(layer.name, (batch, *source[:-1]), (), source[-1], result[-1])
    if not isinstance(layer, Conv | AxisConv):
        raise InputError(f"layer {layer.name!r}: {type(layer).__name__} cannot be scheduled; allowed: convolutions, Linear")
    windows = tuple(
        Window(size, outputs, axis.kernel, axis.stride, axis.before, axis.dilation)
        for axis, size, outputs in zip(_axes(layer), source[:-1], result[:-1], strict=True)
    )
    check_phases(f"layer {layer.name!r}", windows)
    return Geometry(layer.name, (batch,), windows, source[-1], result[-1], layer.groups)


def check_phases(what: str, windows: tuple[Window, ...]) -> None:
    """`InputError` where strides make more phases, and so products, than anyone would schedule."""
    phases = prod(min(window.stride, window.size) for window in windows)
    if phases > MOST_PHASES:
        raise InputError(f"{what}: strides of {phases:,} phases are too large: at most {MOST_PHASES:,}")


def _axes(layer: Conv | AxisConv) -> tuple[Axis, ...]:
    """The windows of a convolution."""
    if isinstance(layer, AxisConv):
        return layer.axes
    return (Axis(layer.kernel, layer.stride, layer.padding, layer.padding, layer.dilation),) * 2
