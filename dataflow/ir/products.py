"""A weighted layer's three products as matrix views of its regions.

In each, the reduction runs over (kernel, channels) or (batch, pixels) in ascending order, channels innermost:

- forward: weights (out, kernel·in) times windows of the input;
- input gradient: weights (in, kernel·out) times windows of the output gradient. With a stride, each remainder of the pixel
  position modulo the stride is reached by its own subset of taps and is a product of its own, and so is each run of positions
  with the same taps where most taps would only read zeros beside the output gradient;
- weight gradient: output gradient (out, batch·pixels) times windows of the input.

A grouped convolution has one product a group, in and out being channels of the group: a depthwise one uses one row of the
array. So has attention one a sample and head, dense: forward, gradient of the left operand, gradient of the right.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product as combinations
from math import prod

from dataflow.ir.geometry import BatchMatMul, Geometry
from dataflow.ir.program import Loop, MatrixView, Product, Stage
from hw.ratio import DENSE, Ratio


def forward(layer: Geometry, ratio: Ratio) -> Product:
    """``output = weights · windows(input)``, over (kernel, in)."""
    lead, kernel = len(layer.lead), layer.kernel_shape
    channel_axis = lead + len(kernel)
    taps = tuple(Loop(size, axis) for axis, size in enumerate(kernel))
    weights = _weight_view(layer, ratio, "weight_forward", taps, channels=layer.group_inputs, rows=layer.group_outputs)
    windows = tuple(Loop(window.kernel, axis, window.dilation) for axis, window in enumerate(layer.windows, lead))
    activations = MatrixView(
        f"{layer.name}.input",
        _origin(layer, (-window.padding for window in layer.windows)),
        (*_lead(layer), *(Loop(window.outputs, axis, window.stride) for axis, window in enumerate(layer.windows, lead))),
        (*windows, _channels(ratio, layer.group_inputs, channel_axis)),
        _groups(layer, channel_axis, layer.group_inputs),
    )
    pixels = tuple(Loop(window.outputs, axis) for axis, window in enumerate(layer.windows, lead))
    output = MatrixView(
        f"{layer.name}.output",
        _origin(layer),
        (Loop(layer.group_outputs, channel_axis),),
        (*_lead(layer), *pixels),
        _groups(layer, channel_axis, layer.group_outputs),
    )
    terms = prod(kernel) * kept(ratio, layer.group_inputs)
    return _product(layer.name, Stage.FORWARD, ratio, (weights, activations, output), terms)


def input_gradients(layer: Geometry, ratio: Ratio) -> Iterator[Product]:
    """``input_gradient = weights^T · windows(output_gradient)``, over (kernel, out), one product a phase of the strides."""
    lead, count = len(layer.lead), len(layer.windows)
    channel_axis = lead + count
    for phases in combinations(*(window.gradient_phases for window in layer.windows)):
        taps = tuple(Loop(phase.taps, axis, phase.tap_step) for axis, phase in enumerate(phases))
        weights = _weight_view(
            layer,
            ratio,
            "weight_backward",
            taps,
            channels=layer.group_outputs,
            rows=layer.group_inputs,
            first=tuple(phase.tap for phase in phases),
        )
        activations = MatrixView(
            f"{layer.name}.output_gradient",
            _origin(layer, (phase.origin for phase in phases)),
            (*_lead(layer), *(Loop(phase.positions, axis) for axis, phase in enumerate(phases, lead))),
            (
                *(Loop(phase.taps, axis, -phase.step) for axis, phase in enumerate(phases, lead)),
                _channels(ratio, layer.group_outputs, channel_axis),
            ),
            _groups(layer, channel_axis, layer.group_outputs),
        )
        pixels = (
            Loop(phase.positions, axis, window.stride)
            for axis, (phase, window) in enumerate(zip(phases, layer.windows, strict=True), lead)
        )
        output = MatrixView(
            f"{layer.name}.input_gradient",
            _origin(layer, (phase.start for phase in phases)),
            (Loop(layer.group_inputs, channel_axis),),
            (*_lead(layer), *pixels),
            _groups(layer, channel_axis, layer.group_inputs),
        )
        product = _product(layer.name, Stage.INPUT_GRADIENT, ratio, (weights, activations, output), 0)
        useful = prod(window.useful(phase) for phase, window in zip(phases, layer.windows, strict=True))
        outer = output.count * prod(layer.lead) * layer.group_inputs
        yield replace(product, macs=outer * useful * kept(ratio, layer.group_outputs))


def weight_gradient(layer: Geometry) -> Product:
    """``weight_gradient = output_gradient · windows(input)^T``, dense, over (batch, pixels)."""
    lead, count = len(layer.lead), len(layer.windows)
    channel_axis = lead + count
    pixels = tuple(Loop(window.outputs, axis) for axis, window in enumerate(layer.windows, lead))
    gradient = MatrixView(
        f"{layer.name}.output_gradient",
        _origin(layer),
        (Loop(layer.group_outputs, channel_axis),),
        (*_lead(layer), *pixels),
        _groups(layer, channel_axis, layer.group_outputs),
    )
    taps = (Loop(window.kernel, axis, window.dilation) for axis, window in enumerate(layer.windows, lead))
    strides = (Loop(window.outputs, axis, window.stride) for axis, window in enumerate(layer.windows, lead))
    activations = MatrixView(
        f"{layer.name}.input",
        _origin(layer, (-window.padding for window in layer.windows)),
        (*taps, Loop(layer.group_inputs, channel_axis)),
        (*_lead(layer), *strides),
        _groups(layer, channel_axis, layer.group_inputs),
    )
    columns = tuple(Loop(size, axis) for axis, size in enumerate((*layer.kernel_shape, layer.group_inputs)))
    output = MatrixView(
        f"{layer.name}.weight_gradient",
        (0,) * (count + 2),
        (Loop(layer.group_outputs, count + 1),),
        columns,
        _groups(layer, count + 1, layer.group_outputs),
    )
    return _product(layer.name, Stage.WEIGHT_GRADIENT, DENSE, (gradient, activations, output), gradient.shape[1])


def attention(layer: BatchMatMul) -> tuple[Product, Product, Product]:
    """``output = left · right``, then the gradients ``output_gradient · right^T`` of the left and ``left^T · output_gradient``
    of the right operand.
    """
    m, n, k = (len(layer.lead) + place for place in (0, 1, 1))
    k_right, n_right = (n, m) if layer.transposed else (m, n)
    sizes = {"m": layer.m, "n": layer.n, "k": layer.k}

    def view(name: str, rows: tuple[str, int], columns: tuple[str, int]) -> MatrixView:
        row, column = (Loop(sizes[size], axis) for size, axis in (rows, columns))
        each = tuple(Loop(size, axis) for axis, size in enumerate(layer.lead))
        return MatrixView(f"{layer.name}.{name}", (0,) * (len(layer.lead) + 2), (row,), (column,), each)

    forward_views = (
        view("left", ("m", m), ("k", k)), view("right", ("n", n_right), ("k", k_right)), view("output", ("m", m), ("n", n))
    )  # fmt: skip
    left_views = (
        view("output_gradient", ("m", m), ("n", n)), view("right", ("k", k_right), ("n", n_right)),
        view("left_gradient", ("m", m), ("k", k)),
    )  # fmt: skip
    right_views = (
        view("left", ("k", k), ("m", m)), view("output_gradient", ("n", n), ("m", m)),
        view("right_gradient", ("k", k_right), ("n", n_right)),
    )  # fmt: skip
    return (
        _product(layer.name, Stage.FORWARD, DENSE, forward_views, layer.k),
        _product(layer.name, Stage.INPUT_GRADIENT, DENSE, left_views, layer.n),
        _product(layer.name, Stage.WEIGHT_GRADIENT, DENSE, right_views, layer.m),
    )


def kept(ratio: Ratio, channels: int) -> int:
    """Real elements kept of `channels`, the zeros that fill a short last group not counted."""
    return channels // ratio.m * ratio.n + min(ratio.n, channels % ratio.m)


def packed_shape(ratio: Ratio, rows: int, kernel: tuple[int, ...], channels: int) -> tuple[int, ...]:
    """Shape of a packed copy, (*kernel, groups, N, rows)."""
    return (*kernel, ratio.groups(channels), ratio.n, rows)


def _weight_view(
    layer: Geometry,
    ratio: Ratio,
    packed: str,
    taps: tuple[Loop, ...],
    *,
    channels: int,
    rows: int,
    first: tuple[int, ...] = (),
) -> MatrixView:
    """Weights as (rows, taps · channels): the dense region, or the packed one whose last axes are groups, N and rows."""
    kernel = len(taps)
    inner: tuple[Loop, ...]
    if not ratio.is_dense:
        name, inner, row_axis = packed, (Loop(ratio.groups(channels), kernel), Loop(ratio.n, kernel + 1)), kernel + 2
        each = _groups(layer, row_axis, rows)
    else:
        name, out_axis = "weight", kernel + 1
        row_axis = out_axis if packed == "weight_forward" else kernel
        inner = (Loop(channels, kernel if row_axis == out_axis else out_axis),)
        each = _groups(layer, out_axis, layer.group_outputs)
    origin = (*first, *(0 for _ in taps[len(first) :]), 0, 0, *(() if ratio.is_dense else (0,)))
    return MatrixView(f"{layer.name}.{name}", origin, (Loop(rows, row_axis),), (*taps, *inner), each)


def _groups(layer: Geometry, axis: int, channels: int) -> tuple[Loop, ...]:
    """The loop over a convolution's groups, each of `channels` along `axis`; none where there is one group."""
    return (Loop(layer.groups, axis, channels),) if layer.groups > 1 else ()


def _channels(ratio: Ratio, channels: int, axis: int) -> Loop:
    """All channels, up to a whole group: what lies beyond the last one reads as zero."""
    return Loop(ratio.groups(channels) * ratio.m, axis)


def _lead(layer: Geometry) -> tuple[Loop, ...]:
    return tuple(Loop(size, axis) for axis, size in enumerate(layer.lead))


def _origin(layer: Geometry, windows: Iterator[int] | None = None) -> tuple[int, ...]:
    starts = tuple(windows) if windows is not None else (0,) * len(layer.windows)
    return (*(0 for _ in layer.lead), *starts, 0)


def _product(
    layer: str,
    stage: Stage,
    ratio: Ratio,
    views: tuple[MatrixView, MatrixView, MatrixView],
    terms: int,
) -> Product:
    """Close a product: `terms` are the real multiply-accumulates of one output."""
    weights, activations, output = views
    return Product(
        layer=layer,
        stage=stage,
        ratio=ratio,
        weights=weights,
        activations=activations,
        output=output,
        macs=output.count * prod(output.shape) * terms,
    )
