"""A trained model as an ONNX file: images come as (N, C, H, W), layers keep their names."""

from collections.abc import Callable, Mapping
from math import pi, sqrt
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from dataflow import axes, network, rearrange, tokens
from dataflow.network import INPUT, Layer
from hw.errors import InputError
from training.exchange.names import to_torch, torch_name
from training.layers.dropout import Dropout
from training.model import Model
from training.numbers import Array

OPSET, IR = 17, 8
FIRST, LAST = (0, 3, 1, 2), (0, 2, 3, 1)
"""Permutations to channels first and to channels last."""


class Writer:
    """Gathers nodes; a tensor stands with channels first, last or both, by what reads it."""

    def __init__(self, model: Model, weights: Mapping[str, Array] | None) -> None:
        self.model, self.weights = model, weights or {}
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        shape = model.network.input_shape
        self.first: set[str] = {INPUT} if len(shape) == 3 else set()
        """Names whose tensor stands with channels first; with them last it is ``<name>.last``."""
        self.turned: set[str] = set()

    def read(self, name: str, *, first: bool = False) -> str:
        """The tensor of a layer, in the order that is wanted."""
        if (name in self.first) == first:
            return name
        turned = f"{name}.{'first' if first else 'last'}"
        if turned not in self.turned:
            self.turned.add(turned)
            self.nodes.append(helper.make_node("Transpose", [name], [turned], name=turned, perm=FIRST if first else LAST))
        return turned

    def node(self, layer: Layer, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:  # noqa: ANN401
        """Append one; its output, by default the layer's."""
        output = output or layer.name
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, array: Any) -> str:  # noqa: ANN401 (whatever NumPy takes)
        """A tensor of the file."""
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def learned(self, layer: Layer, kind: str) -> str:
        """A parameter or statistic of a layer, in PyTorch's layout."""
        module = self.model.modules[layer.name]
        array = self.weights[layer.name] if kind == "weight" and layer.name in self.weights else module.state[kind]
        name = torch_name(self.model.network, layer.name, kind)
        return self.constant(name, to_torch(module, kind, array.astype(np.float32)))


def to_onnx(model: Model, weights: Mapping[str, Array] | None = None) -> onnx.ModelProto:
    """The model for inference, binary32.

    Parameters
    ----------
    model : Model
        Trained.
    weights : mapping of str to ndarray, optional
        What stands in place of the master weights, by layer.
    """
    writer = Writer(model, weights)
    for layer in model.network.layers:
        if type(layer) not in RULES:
            raise InputError(f"layer {layer.name!r}: {type(layer).__name__} cannot be written as ONNX")
        RULES[type(layer)](writer, layer)
    shape = model.network.input_shape
    shape = (shape[2], *shape[:2]) if len(shape) == 3 else shape
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *sizes])
        for name, sizes in ((INPUT, shape), (model.network.layers[-1].name, (model.network.classes,)))
    ]
    graph = helper.make_graph(writer.nodes, model.network.name, ends[:1], ends[1:], writer.constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR, producer_name="nmtrain")
    onnx.checker.check_model(made)
    return made


def _conv(w: Writer, layer: network.Conv) -> None:
    inputs = [w.read(layer.inputs[0], first=True), w.learned(layer, "weight")]
    inputs += [w.learned(layer, "bias")] if layer.bias else []
    pads, strides, dilations = ([one] * count for one, count in ((layer.padding, 4), (layer.stride, 2), (layer.dilation, 2)))
    attributes: dict[str, Any] = {"pads": pads, "strides": strides, "dilations": dilations, "group": layer.groups}
    w.node(layer, "Conv", inputs, kernel_shape=[layer.kernel] * 2, **attributes)
    w.first.add(layer.name)


def _linear(w: Writer, layer: network.Linear) -> None:
    source, weight = w.read(layer.inputs[0]), w.learned(layer, "weight")
    bias = [w.learned(layer, "bias")] if layer.bias else []
    if len(w.model.network.shapes[layer.inputs[0]]) == 1:
        w.node(layer, "Gemm", [source, weight, *bias], transB=1)
        return
    turned = w.node(layer, "Transpose", [weight], f"{layer.name}.turned", perm=[1, 0])
    product = w.node(layer, "MatMul", [source, turned], f"{layer.name}.product" if bias else "")
    if bias:
        w.node(layer, "Add", [product, *bias])


def _batch_norm(w: Writer, layer: network.BatchNorm) -> None:
    image = len(w.model.network.shapes[layer.name]) == 3
    learned = [w.learned(layer, kind) for kind in ("scale", "shift", "mean", "variance")]
    w.node(layer, "BatchNormalization", [w.read(layer.inputs[0], first=image), *learned], epsilon=layer.epsilon)
    if image:
        w.first.add(layer.name)


def _same(kind: str) -> Callable[[Writer, Layer], None]:
    """Element by element, in whichever order the first input stands."""

    def write(w: Writer, layer: Layer) -> None:
        first = layer.inputs[0] in w.first
        w.node(layer, kind, [w.read(name, first=first) for name in layer.inputs])
        if first:
            w.first.add(layer.name)

    return write


def _max_pool(w: Writer, layer: network.MaxPool) -> None:
    attributes: dict[str, Any] = {
        "kernel_shape": [layer.kernel] * 2,
        "strides": [layer.stride] * 2,
        "pads": [layer.padding] * 4,
    }
    w.node(layer, "MaxPool", [w.read(layer.inputs[0], first=True)], **attributes)
    w.first.add(layer.name)


def _axis_pool(w: Writer, layer: axes.AxisPool) -> None:
    pads = [axis.before for axis in layer.axes] + [axis.after for axis in layer.axes]
    attributes: dict[str, Any] = {"kernel_shape": [axis.kernel for axis in layer.axes], "pads": pads}
    attributes |= {"strides": [axis.stride for axis in layer.axes], "ceil_mode": int(layer.ceil)}
    if any(axis.dilation > 1 for axis in layer.axes):
        attributes["dilations"] = [axis.dilation for axis in layer.axes]
    w.node(layer, "MaxPool" if layer.kind == "max" else "AveragePool", [w.read(layer.inputs[0], first=True)], **attributes)
    w.first.add(layer.name)


def _global_pool(w: Writer, layer: network.GlobalPool) -> None:
    lead = list(range(1, len(w.model.network.shapes[layer.inputs[0]])))
    kind = "ReduceMax" if layer.kind == "max" else "ReduceMean"
    w.node(layer, kind, [w.read(layer.inputs[0])], axes=lead, keepdims=0)


def _reshape(w: Writer, layer: Layer) -> None:
    shape = w.constant(f"{layer.name}.shape", np.array([0, *w.model.network.shapes[layer.name]], np.int64))
    w.node(layer, "Reshape", [w.read(layer.inputs[0]), shape])


def _transpose(w: Writer, layer: rearrange.Transpose) -> None:
    w.node(layer, "Transpose", [w.read(layer.inputs[0])], perm=[0, *(axis + 1 for axis in layer.axes)])


def _softmax(w: Writer, layer: tokens.Softmax) -> None:
    w.node(layer, "Softmax", [w.read(layer.inputs[0])], axis=-1)


def _slice(w: Writer, layer: rearrange.Slice) -> None:
    ends = {"starts": layer.start, "ends": layer.start + layer.size, "axes": layer.axis + 1}
    places = [w.constant(f"{layer.name}.{name}", np.array([value], np.int64)) for name, value in ends.items()]
    w.node(layer, "Slice", [w.read(layer.inputs[0]), *places])


def _select(w: Writer, layer: tokens.Select) -> None:
    index = w.constant(f"{layer.name}.index", np.array(layer.index, np.int64))
    w.node(layer, "Gather", [w.read(layer.inputs[0]), index], axis=1)


def _concat(w: Writer, layer: rearrange.Concat) -> None:
    axis = layer.axis % len(w.model.network.shapes[layer.name]) + 1
    w.node(layer, "Concat", [w.read(name) for name in layer.inputs], axis=axis)


def _matmul(w: Writer, layer: tokens.MatMul) -> None:
    left, right = (w.read(name) for name in layer.inputs)
    if layer.transposed:
        rank = len(w.model.network.shapes[layer.inputs[1]]) + 1
        turned = [*range(rank - 2), rank - 1, rank - 2]
        right = w.node(layer, "Transpose", [right], f"{layer.name}.turned", perm=turned)
    if layer.scale == 1:
        w.node(layer, "MatMul", [left, right])
        return
    product = w.node(layer, "MatMul", [left, right], f"{layer.name}.product")
    w.node(layer, "Mul", [product, w.constant(f"{layer.name}.scale", np.float32(layer.scale))])


def _activation(w: Writer, layer: tokens.Activation) -> None:
    """``x Φ(x)``, Φ by erf or by tanh, or ``x sigmoid(x)``."""
    source, name = w.read(layer.inputs[0]), layer.name

    def node(kind: str, inputs: list[str], part: str) -> str:
        return w.node(layer, kind, inputs, f"{name}.{part}")

    def number(part: str, value: float) -> str:
        return w.constant(f"{name}.{part}", np.float32(value))

    if layer.kind == "silu":
        w.node(layer, "Mul", [source, node("Sigmoid", [source], "sigmoid")])
        return
    if layer.kind == "gelu":
        bent = node("Erf", [node("Div", [source, number("root", sqrt(2))], "scaled")], "erf")
    else:
        cube = node("Mul", [node("Mul", [source, source], "square"), source], "cube")
        inner = node("Add", [source, node("Mul", [cube, number("third", 0.044715)], "bent")], "inner")
        bent = node("Tanh", [node("Mul", [inner, number("root", sqrt(2 / pi))], "scaled")], "tanh")
    above = node("Add", [bent, number("one", 1)], "above")
    w.node(layer, "Mul", [node("Mul", [source, above], "double"), number("half", 0.5)])


def _layer_norm(w: Writer, layer: tokens.LayerNorm) -> None:
    learned = [w.learned(layer, kind) for kind in ("scale", "shift")]
    w.node(layer, "LayerNormalization", [w.read(layer.inputs[0]), *learned], axis=-1, epsilon=layer.epsilon)


def _embed(w: Writer, layer: tokens.Embed) -> None:
    """Tokens in a row, the class token of every sample in front."""
    source, name = w.read(layer.inputs[0]), layer.name
    count, width = w.model.network.shapes[name]
    shape = w.constant(f"{name}.shape", np.array([0, count - 1, width], np.int64))
    rows = w.node(layer, "Reshape", [source, shape], f"{name}.rows")
    samples = w.node(layer, "Shape", [rows], f"{name}.samples", start=0, end=1)
    one = w.constant(f"{name}.one", np.array([1, width], np.int64))
    all_of_them = w.node(layer, "Concat", [samples, one], f"{name}.token_shape", axis=0)
    token = w.node(layer, "Expand", [w.learned(layer, "token"), all_of_them], f"{name}.token")
    joined = w.node(layer, "Concat", [token, rows], f"{name}.joined", axis=1)
    w.node(layer, "Add", [joined, w.learned(layer, "position")])


RULES: dict[type[Layer], Callable[[Writer, Any], None]] = {
    network.Conv: _conv,
    network.Linear: _linear,
    network.BatchNorm: _batch_norm,
    network.Relu: _same("Relu"),
    network.Add: _same("Add"),
    Dropout: _same("Identity"),
    network.MaxPool: _max_pool,
    axes.AxisPool: _axis_pool,
    network.GlobalPool: _global_pool,
    network.Flatten: _reshape,
    rearrange.Reshape: _reshape,
    rearrange.Slice: _slice,
    rearrange.Concat: _concat,
    rearrange.Transpose: _transpose,
    tokens.Select: _select,
    tokens.MatMul: _matmul,
    tokens.Softmax: _softmax,
    tokens.Activation: _activation,
    tokens.LayerNorm: _layer_norm,
    tokens.Embed: _embed,
}
