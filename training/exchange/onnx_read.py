"""An ONNX file as a network that trains, with the weights that it holds."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from dataflow.axes import Axis, AxisPool
from dataflow.importers.onnx_constants import inlined
from dataflow.importers.onnx_graph import read_graph
from dataflow.importers.onnx_limits import as_standard
from dataflow.importers.onnx_reader import Node
from dataflow.network import INPUT, Add, BatchNorm, Conv, GlobalPool, Linear, MaxPool, Network, Relu
from hw.errors import InputError
from training.exchange.onnx_moves import MOVES
from training.exchange.onnx_tokens import PARTS, SAME, TOKENS, check_pending, embed, fused, product
from training.exchange.onnx_trainable import Constants, Trainable, Weights
from training.exchange.onnx_view import ONE, View


def read_trainable(path: Path) -> tuple[Network, Weights]:
    """The network of a file and its weights, by our names; training may start from there.

    Raises
    ------
    InputError
        Where the file is none, is not as the standard has it, or without its weights, or a node cannot be trained, by name.
    """
    with as_standard(path.name):
        return _trainable(path)


def _trainable(path: Path) -> tuple[Network, Weights]:
    try:
        model = onnx.load(str(path))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file, or not with its weights: {error}") from None
    except (DecodeError, OSError, ValueError, onnx.checker.ValidationError) as error:
        raise InputError(f"{path}: is not an ONNX model with its weights: {error}") from None
    model = inlined(path.name, model)
    found = _start(path, model)
    for proto in fused(found.graph, found.constants):
        _read(found, Node.of(path.name, proto))
    if not found.layers:
        raise InputError(f"{path}: the graph has no layers")
    _end(path, found)
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in path.stem)
    return Network(name=name, input_shape=found.shapes[INPUT], layers=tuple(found.layers)), found.weights


def _start(path: Path, model: onnx.ModelProto) -> Trainable:
    given = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in given]
    if len(inputs) != 1:
        raise InputError(f"{path}: a network that trains has one input, not {len(inputs)}")
    sizes = [dimension.dim_value for dimension in inputs[0].type.tensor_type.shape.dim][1:]
    if not sizes or min(sizes) < 1:
        raise InputError(f"{path}: input {inputs[0].name!r} must be of fixed sizes, the batch the first")
    _refuse_unknown(path, model.graph)
    graph = read_graph(path)
    image = len(sizes) == 3
    shape = (*sizes[1:], sizes[0]) if image else tuple(sizes)
    view = View.of(INPUT, shape, graph.batch)
    view = view.transposed((0, 3, 1, 2)) if image else view
    return Trainable(graph, Constants(model, graph), {graph.input: view}, {INPUT: shape})


def _refuse_unknown(path: Path, graph: onnx.GraphProto) -> None:
    """The first operator that neither is trained nor makes constants."""
    moving = {value.name for value in graph.input} - {tensor.name for tensor in graph.initializer}
    for proto in graph.node:
        if moving & set(proto.input) and proto.op_type != "Shape":
            moving |= set(proto.output)
            if proto.op_type not in ALLOWED:
                where = Node.of(path.name, proto).where
                raise InputError(f"{where}: operator {proto.op_type} cannot be trained; allowed: {', '.join(sorted(ALLOWED))}")


def _end(path: Path, found: Trainable) -> None:
    """Let the last layer be what the file gives, as it gives it; `InputError` where something of that is still to be done."""
    name = found.graph.model.graph.output[0].name
    if name in found.factors or name in found.class_tokens:
        what = "multiplied by a number" if name in found.factors else "rows behind a class token"
        raise InputError(f"{path}: the output {name!r} cannot be {what}")
    if name in found.held and len(found.graph.model.graph.output) == 1:
        view = found.held[name]
        if not view.samples_first:
            raise InputError(f"{path}: the first axis of the output {name!r} must be the batch")
        found.in_order(view)


def _read(found: Trainable, node: Node) -> None:
    check_pending(found, node)
    if node.kind in PARTS:
        raise InputError(f"{node.where}: {node.kind} can be trained as a part of GELU or SiLU alone")
    try:
        RULES[node.kind](found, node)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{node.where}: {node.kind} is not as it can be trained: {error}") from None


def _even(node: Node, values: list[int], what: str) -> int:
    if len(set(values)) != 1:
        raise InputError(f"{node.where}: {what} must be equal along both axes, not {list(values)}")
    return int(values[0])


def _padding(node: Node) -> int:
    if node.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise InputError(f"{node.where}: auto_pad cannot be trained; give pads")
    return _even(node, list(node.get("pads", [0] * 4)), "pads")


def _conv(found: Trainable, node: Node) -> None:
    weight = found.constant(node, 1)
    if weight.ndim != 4:
        raise InputError(f"{node.where}: weights must have 4 axes, not {weight.ndim}")
    fields: dict[str, Any] = {
        "kernel": _even(node, list(weight.shape[2:]), "kernel"),
        "stride": _even(node, list(node.get("strides", [1, 1])), "strides"),
        "dilation": _even(node, list(node.get("dilations", [1, 1])), "dilations"),
        "padding": _padding(node),
        "groups": int(node.get("group", 1)),
        "bias": len(node.inputs) > 2,
    }
    name = found.add(node, Conv, (found.image(node),), image=True, out_channels=weight.shape[0], **fields)
    found.learn(name, weight=np.moveaxis(weight, 1, -1))
    if fields["bias"]:
        found.learn(name, bias=found.constant(node, 2))


def _batch_norm(found: Trainable, node: Node) -> None:
    view = found.held[node.inputs[0]]
    rest = range(2, len(view.axes))
    inside = found.in_order(view.transposed((0, *rest, 1)))
    axes = inside.transposed((0, len(view.axes) - 1, *(axis - 1 for axis in rest))).axes
    fields: dict[str, Any] = {"epsilon": float(node.get("epsilon", 1e-5)), "momentum": 1 - float(node.get("momentum", 0.9))}
    name = found.add(node, BatchNorm, (inside.layer,), seen=axes, **fields)
    arrays = [found.constant(node, place) for place in range(1, 5)]
    found.learn(name, **dict(zip(("scale", "shift", "mean", "variance"), arrays, strict=True)))


def _gemm(found: Trainable, node: Node) -> None:
    if node.get("alpha", 1.0) != 1 or node.get("beta", 1.0) != 1 or node.get("transA", 0):
        raise InputError(f"{node.where}: alpha and beta must be 1 and transA 0")
    weight = found.constant(node, 1)
    weight = weight if node.get("transB", 0) else weight.T
    name = _linear(found, node, weight, bias=len(node.inputs) > 2)
    if len(node.inputs) > 2:
        found.learn(name, bias=found.constant(node, 2).reshape(-1))


def _linear(found: Trainable, node: Node, weight: NDArray[Any], *, bias: bool) -> str:
    """Along the last axis, the batch being wherever it is."""
    view = found.rows(node)
    axes = (*view.axes[:-1], ((view.axes[-1][0][0], len(weight)),))
    name = found.add(node, Linear, (view.layer,), seen=axes, out_features=len(weight), bias=bias)
    found.learn(name, weight=weight)
    return name


def _matmul(found: Trainable, node: Node) -> None:
    """With weights, or of two activations."""
    if len(found.moving(node)) == 2:
        product(found, node)
        return
    weight = found.constant(node, 1)
    if weight.ndim != 2:
        raise InputError(f"{node.where}: weights must have 2 axes, not {weight.ndim}")
    _linear(found, node, weight.T, bias=False)


def _add(found: Trainable, node: Node) -> None:
    """Of two tensors; of a bias to a product without one; or of positions to tokens."""
    moving = found.moving(node)
    if len(moving) == 2:
        left, right = (found.held[name] for name in moving)
        if left.axes != right.axes or found.shapes[left.layer] != found.shapes[right.layer]:
            left, right = found.in_order(left), found.in_order(right)
        if left.axes != right.axes:
            raise InputError(f"{node.where}: Add needs two tensors of one shape, the batch in the same place")
        found.add(node, Add, (left.layer, right.layer), seen=left.axes)
        return
    (constant,) = (found.constants[name] for name in node.inputs if name in found.constants)
    view = found.held[moving[0]]
    if moving[0] in found.class_tokens:
        embed(found, node, moving[0], constant)
        return
    last = found.layers[-1]
    if not (isinstance(last, Linear) and last.name == view.layer and not last.bias and constant.size == last.out_features):
        raise InputError(
            f"{node.where}: a constant can only be added as the bias of the MatMul before it, or as positions to tokens behind"
            " a class token"
        )
    found.layers[-1] = replace(last, bias=True)
    found.learn(last.name, bias=constant.reshape(-1))
    found.held[node.output] = view


def _pool(found: Trainable, node: Node) -> None:
    kernel = list(node.attributes["kernel_shape"])
    strides, pads = list(node.get("strides", [1] * len(kernel))), list(node.get("pads", [0] * 2 * len(kernel)))
    dilations = list(node.get("dilations", [1] * len(kernel)))
    if node.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise InputError(f"{node.where}: auto_pad cannot be trained; give pads")
    if node.kind == "AveragePool" and node.get("count_include_pad", 0) and any(pads):
        raise InputError(f"{node.where}: count_include_pad cannot be trained")
    sizes, ceil = {*kernel}, bool(node.get("ceil_mode", 0))
    plain = len(sizes) == len({*strides}) == len({*pads}) == 1 and {*dilations} == {1} and not ceil
    if node.kind == "MaxPool" and plain:
        found.add(node, MaxPool, (found.image(node),), image=True, kernel=kernel[0], stride=strides[0], padding=pads[0])
        return
    half = len(kernel)
    windows = tuple(Axis(*one) for one in zip(kernel, strides, pads[:half], pads[half:], dilations, strict=True))
    kind = "max" if node.kind == "MaxPool" else "mean"
    found.add(node, AxisPool, (found.image(node),), image=True, axes=windows, kind=kind, ceil=ceil)


def _global_pool(found: Trainable, node: Node) -> None:
    """Over all of a sample but its channels: pixels, or tokens."""
    view = found.held[node.inputs[0]]
    rank, kept = len(view.axes), True
    gone = set(range(2, rank))
    if node.kind.startswith("Reduce"):
        given = node.get("axes", None)
        gone = {axis % rank for axis in (found.constant(node, 1).tolist() if given is None else given)}
        kept = bool(node.get("keepdims", 1))
    left = [axis for axis in range(1, rank) if axis not in gone]
    if not view.samples_first or 0 in gone or len(left) != 1 or rank < 3:
        raise InputError(f"{node.where}: {node.kind} must be over all of a sample but one axis, not axes {sorted(gone)}")
    source = found.in_order(view.transposed((0, *sorted(gone), *left))).layer
    kind = "max" if node.kind in ("GlobalMaxPool", "ReduceMax") else "mean"
    name = found.add(node, GlobalPool, (source,), kind=kind)
    if kept:
        batch, channels = found.held[node.output].axes
        found.held[node.output] = View(name, (batch, *(((ONE, 1),) if axis in gone else channels for axis in range(1, rank))))


def _same(found: Trainable, node: Node) -> None:
    found.pass_on(node)


def _relu(found: Trainable, node: Node) -> None:
    view = found.held[node.inputs[0]]
    found.add(node, Relu, (view.layer,), seen=view.axes)


RULES: dict[str, Callable[[Trainable, Node], None]] = {
    "Conv": _conv,
    "BatchNormalization": _batch_norm,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Add": _add,
    "Relu": _relu,
    **dict.fromkeys(("MaxPool", "AveragePool"), _pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceMax"), _global_pool),
    **dict.fromkeys(SAME, _same),
    **MOVES,
    **TOKENS,
}
"""By operator; all others cannot be trained."""

ALLOWED = {*RULES, *PARTS}
