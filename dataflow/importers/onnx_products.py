"""ONNX nodes that are matrix products."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product as combinations
from math import prod

from dataflow.axes import Affine, Axis, AxisConv
from dataflow.importers.onnx_einsum import einsum
from dataflow.importers.onnx_reader import Node, Reader
from dataflow.importers.onnx_sequences import attention, recurrent
from dataflow.importers.onnx_windows import read_windows
from dataflow.ir.geometry import check_phases
from dataflow.ir.sliding import Window
from dataflow.network import Linear
from dataflow.rearrange import Concat, Gap, Reshape, Transpose
from dataflow.tokens import MatMul
from hw.errors import InputError


def conv(reader: Reader, node: Node) -> None:
    """A convolution of any number of axes."""
    weight, source = reader.weight(node, 1), reader.image(node, node.inputs[0])
    _, channels, *sizes = reader.shape(node.inputs[0])
    groups = _groups(node, weight, len(sizes))
    if weight[1] * groups != channels:
        raise InputError(f"{node.where}: {groups} groups of {weight[1]} input channels are not the input's {channels}")
    axes = read_windows(node.where, node.attributes, weight[2:], tuple(sizes))
    reader.add(node, AxisConv, (source,), image=True, out_channels=weight[0], axes=axes, groups=groups, bias=node.has(2))


def conv_transpose(reader: Reader, node: Node) -> None:
    """One convolution of the input for each remainder of the output's position modulo the strides.

    Each has the taps that reach it, so that no product with an inserted zero is counted.
    """
    weight, source = reader.weight(node, 1), reader.image(node, node.inputs[0])
    _, channels, *sizes = reader.shape(node.inputs[0])
    groups = _groups(node, weight, len(sizes))
    if weight[0] != channels:
        raise InputError(f"{node.where}: weights for {weight[0]} input channels are not for the input's {channels}")
    outputs = reader.shape(node.outputs[0])[2:]
    written = read_windows(node.where, node.attributes, weight[2:], outputs)
    windows = [
        Window(output, size, axis.kernel, axis.stride, _crop(node, place, axis, size, output), axis.dilation)
        for place, (axis, size, output) in enumerate(zip(written, sizes, outputs, strict=True))
    ]
    check_phases(node.where, tuple(windows))
    parts = []
    for phases in combinations(*(window.phases for window in windows)):
        axes = []
        for phase, size in zip(phases, sizes, strict=True):
            before, span = phase.step * (phase.taps - 1) - phase.origin, phase.step * (phase.taps - 1) + 1
            axes.append(Axis(phase.taps, 1, before, phase.positions - 1 + span - size - before, phase.step))
        name = reader.add(node, AxisConv, (source,), out_channels=weight[1] * groups, axes=tuple(axes), groups=groups)
        elements = prod(phase.positions for phase in phases) * weight[1] * groups
        parts.append(reader.add(node, Reshape, (name,), part="part", shape=(elements,)))
    joined = reader.add(node, Concat, tuple(parts), part="parts", axis=0) if len(parts) > 1 else parts[0]
    shape = reader.nhwc(node.outputs[0])
    whole = sum(prod(phase.positions for phase in phases) for phases in combinations(*(w.phases for w in windows)))
    reader.add(node, Reshape if whole == prod(outputs) else Gap, (joined,), image=True, part="whole", shape=shape)
    if node.has(2):
        reader.same(node, Affine, source=node.outputs[0], part="bias", kind="bias", size=weight[1] * groups)


def _crop(node: Node, place: int, axis: Axis, size: int, output: int) -> int:
    """What is cut off in front: the padding that is given, or half of what a given output shape leaves.

    Of an odd number the larger half is in front, but with SAME_UPPER.
    """
    if "output_shape" not in node.attributes and node.attributes.get("auto_pad", b"NOTSET") in (b"NOTSET", "NOTSET"):
        return axis.before
    extra = node.attributes.get("output_padding")
    total = axis.stride * (size - 1) + (extra[place] if extra else 0) + axis.dilation * (axis.kernel - 1) + 1 - output
    upper = node.attributes.get("auto_pad") in (b"SAME_UPPER", "SAME_UPPER")
    return max(0, total) // 2 if upper else (max(0, total) + 1) // 2


def _groups(node: Node, weight: tuple[int, ...], axes: int) -> int:
    if len(weight) != axes + 2:
        raise InputError(f"{node.where}: weights must have {axes + 2} axes, not shape {weight}")
    groups = int(node.attributes.get("group", 1))
    if groups < 1:
        raise InputError(f"{node.where}: group must be at least 1, not {groups}")
    return groups


def gemm(reader: Reader, node: Node) -> None:
    """A linear layer, or a product of two activations."""
    transposed = bool(node.attributes.get("transB", 0))
    if node.attributes.get("transA", 0):
        raise InputError(f"{node.where}: transA must be 0, not {node.attributes['transA']}")
    if not reader.constant(node.inputs[1]):
        _product(reader, node, transposed=transposed)
        return
    weight = reader.weight(node, 1)
    source = reader.plain(node.inputs[0])
    reader.add(node, Linear, (source,), out_features=weight[0 if transposed else 1], bias=node.has(2))


def matmul(reader: Reader, node: Node) -> None:
    """With a constant on either side, or of two activations."""
    left, right = (reader.constant(name) for name in node.inputs[:2])
    if not left and not right:
        _product(reader, node, transposed=False)
        return
    weight = reader.weight(node, 1 if right else 0)
    if len(weight) < 2 or prod(weight[:-2]) != 1:
        raise InputError(f"{node.where}: a constant operand must have 2 axes, not shape {weight}")
    if right:
        reader.add(node, Linear, (reader.plain(node.inputs[0]),), out_features=weight[-1], bias=False)
    else:
        _left_constant(reader, node, weight[-2])


def _left_constant(reader: Reader, node: Node, outputs: int) -> None:
    """``W x`` as ``(x^T W^T)^T``: the views cost nothing."""
    rank = len(reader.sample(node.inputs[1]))
    if rank < 2:
        raise InputError(f"{node.where}: the activation must have at least 2 axes a sample")
    turned = (*range(rank - 2), rank - 1, rank - 2)
    source = reader.add(node, Transpose, (reader.plain(node.inputs[1]),), part="turned", axes=turned)
    product = reader.add(node, Linear, (source,), out_features=outputs, bias=False)
    reader.add(node, Transpose, (product,), part="back", axes=turned)


def _product(reader: Reader, node: Node, *, transposed: bool) -> None:
    """Two activations; axes of one entry are repeated by reading again."""
    left, right = (reader.sample(name) for name in node.inputs[:2])
    result = reader.sample(node.outputs[0])
    if len(left) < 2 or len(right) < 2:
        raise InputError(f"{node.where}: a product of two activations needs at least two axes a sample, not {left} and {right}")
    sources = []
    for name, shape in zip(node.inputs[:2], (left, right), strict=True):
        source = reader.plain(name)
        if shape[:-2] != result[:-2]:
            source = reader.add(node, Gap, (source,), part="repeated", shape=(*result[:-2], *shape[-2:]))
        sources.append(source)
    reader.add(node, MatMul, tuple(sources), transposed=transposed)


def _of(places: tuple[int, ...], handle: Callable[[Reader, Node], None]) -> Callable[[Reader, Node], None]:
    """A quantised product as the plain one: which of its inputs are operands; scales and zero points are the formats'."""

    def read(reader: Reader, node: Node) -> None:
        inputs = tuple(node.inputs[place] if node.has(place) else "" for place in places)
        handle(reader, replace(node, inputs=inputs))
        reader.notes[f"{node.kind} nodes have the accelerator's formats"] += 1

    return read


PRODUCTS: dict[str, Callable[[Reader, Node], None]] = {
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Gemm": gemm,
    "MatMul": matmul,
    "Einsum": einsum,
    "ConvInteger": _of((0, 1), conv),
    "MatMulInteger": _of((0, 1), matmul),
    "QLinearConv": _of((0, 3, 8), conv),
    "QLinearMatMul": _of((0, 3), matmul),
    "Attention": attention,
    **dict.fromkeys(("LSTM", "GRU", "RNN"), recurrent),
}
"""By operator."""
