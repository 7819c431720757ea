"""An ONNX file as a network that trains, with the weights that it holds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import numpy_helper

from dataflow.axes import Axis, AxisPool
from dataflow.network import INPUT, Add, BatchNorm, Conv, Flatten, GlobalPool, Layer, Linear, MaxPool, Network, Relu, Shape
from dataflow.rearrange import Transpose
from hw.errors import InputError

Weights = dict[str, NDArray[np.float32]]
FIRST, LAST = [0, 3, 1, 2], [0, 2, 3, 1]


@dataclass(frozen=True)
class Node:
    """A node of the file, and how messages call it."""

    kind: str
    inputs: list[str]
    output: str
    attributes: Mapping[str, Any]
    where: str

    def get(self, name: str, default: Any) -> Any:  # noqa: ANN401 (attributes are of many types)
        """An attribute, or what the standard takes in its place."""
        return self.attributes.get(name, default)


@dataclass
class Trainable:
    """What was read so far.

    Parameters
    ----------
    where : str
        The file, for messages.
    constants : dict
        Its tensors by name.
    held : dict
        By tensor: the layer that has it, and whether that has channels last where the file has them first.
    shapes : dict
        Of layers, per sample.
    """

    where: str
    constants: dict[str, NDArray[Any]]
    held: dict[str, tuple[str, bool]]
    shapes: dict[str, Shape]
    layers: list[Layer] = field(default_factory=list)
    weights: Weights = field(default_factory=dict)

    def add(
        self,
        node: Node,
        layer: type[Layer],
        sources: tuple[str, ...],
        *,
        image: bool,
        **fields: Any,  # noqa: ANN401 (what the layer takes)
    ) -> str:
        """Append a layer that makes the node's output."""
        name = node.output.strip("/").replace("/", ".")
        made = layer(name=name, inputs=sources, **fields)
        self.layers.append(made)
        self.shapes[name] = made.output_shape(*(self.shapes[source] for source in sources))
        self.held[node.output] = (name, image)
        return name

    def learn(self, layer: str, **arrays: NDArray[Any]) -> None:
        """Parameters and statistics of a layer, by our names."""
        self.weights |= {f"{layer}.{kind}": np.ascontiguousarray(array, np.float32) for kind, array in arrays.items()}

    def constant(self, node: Node, place: int) -> NDArray[Any]:
        """An input that must be a constant."""
        name = node.inputs[place] if place < len(node.inputs) else ""
        if name not in self.constants:
            raise InputError(f"{node.where}: input {place} must be a constant")
        return self.constants[name]

    def image(self, node: Node) -> str:
        """The layer of the first input, which must be an image."""
        name, image = self.held[node.inputs[0]]
        if not image:
            raise InputError(f"{node.where}: {node.kind} needs (batch, channels, rows, columns)")
        return name

    def plain(self, node: Node, place: int = 0) -> str:
        """The layer of an input with the file's order of axes, which a transposition makes of an image."""
        name, image = self.held[node.inputs[place]]
        if not image:
            return name
        turned = f"{name}.first"
        if turned not in self.shapes:
            layer = Transpose(name=turned, inputs=(name,), axes=(2, 0, 1))
            self.layers.append(layer)
            self.shapes[turned] = layer.output_shape(self.shapes[name])
        return turned


def read_trainable(path: Path) -> tuple[Network, Weights]:
    """The network of a file and its weights, by our names; training may start from there.

    Raises
    ------
    InputError
        Where the file is none, its weights are not in it, or a node cannot be trained, by name.
    """
    try:
        model = onnx.load(str(path))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file, or not with its weights: {error}") from None
    except (DecodeError, OSError, ValueError, onnx.checker.ValidationError) as error:
        raise InputError(f"{path}: is not an ONNX model with its weights: {error}") from None
    found = _start(path, model.graph)
    for proto in model.graph.node:
        said = f"node {proto.name!r}" if proto.name else f"{proto.op_type} that makes {proto.output[0]!r}"
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
        node = Node(proto.op_type, list(proto.input), proto.output[0], attributes, f"{path.name}: {said}")
        _read(found, node)
    if not found.layers:
        raise InputError(f"{path}: the graph has no layers")
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in path.stem)
    return Network(name=name, input_shape=found.shapes[INPUT], layers=tuple(found.layers)), found.weights


def _start(path: Path, graph: onnx.GraphProto) -> Trainable:
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1:
        raise InputError(f"{path}: a network that trains has one input, not {len(inputs)}")
    sizes = [dimension.dim_value for dimension in inputs[0].type.tensor_type.shape.dim][1:]
    if len(sizes) not in (1, 3) or min(sizes) < 1:
        raise InputError(
            f"{path}: input {inputs[0].name!r} must be (batch, channels, rows, columns) or (batch, features), of fixed sizes"
        )
    shape = (*sizes[1:], sizes[0]) if len(sizes) == 3 else tuple(sizes)
    return Trainable(path.name, constants, {inputs[0].name: (INPUT, len(sizes) == 3)}, {INPUT: shape})


def _read(found: Trainable, node: Node) -> None:
    if node.kind == "Constant":
        found.constants[node.output] = numpy_helper.to_array(node.attributes["value"])
        return
    if node.kind not in RULES:
        raise InputError(f"{node.where}: operator {node.kind} cannot be trained; allowed: {', '.join(sorted(RULES))}")
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
    source, image = found.held[node.inputs[0]]
    momentum = 1 - float(node.get("momentum", 0.9))
    name = found.add(node, BatchNorm, (source,), image=image, epsilon=float(node.get("epsilon", 1e-5)), momentum=momentum)
    arrays = [found.constant(node, place) for place in range(1, 5)]
    found.learn(name, **dict(zip(("scale", "shift", "mean", "variance"), arrays, strict=True)))


def _gemm(found: Trainable, node: Node) -> None:
    if node.get("alpha", 1.0) != 1 or node.get("beta", 1.0) != 1 or node.get("transA", 0):
        raise InputError(f"{node.where}: alpha and beta must be 1 and transA 0")
    weight = found.constant(node, 1)
    weight = weight if node.get("transB", 0) else weight.T
    name = found.add(node, Linear, (found.plain(node),), image=False, out_features=len(weight), bias=len(node.inputs) > 2)
    found.learn(name, weight=weight)
    if len(node.inputs) > 2:
        found.learn(name, bias=found.constant(node, 2).reshape(-1))


def _matmul(found: Trainable, node: Node) -> None:
    weight = found.constant(node, 1)
    name = found.add(node, Linear, (found.plain(node),), image=False, out_features=weight.shape[1], bias=False)
    found.learn(name, weight=weight.T)


def _add(found: Trainable, node: Node) -> None:
    """Of two tensors, or of a bias to a product without one."""
    constant = [name for name in node.inputs if name in found.constants]
    if not constant:
        (left, image), (right, other) = (found.held[name] for name in node.inputs)
        if image != other:
            left, right, image = found.plain(node), found.plain(node, 1), False
        found.add(node, Add, (left, right), image=image)
        return
    source, image = found.held[next(name for name in node.inputs if name not in found.constants)]
    bias, last = found.constants[constant[0]], found.layers[-1]
    if not (isinstance(last, Linear) and last.name == source and not last.bias and bias.size == last.out_features):
        raise InputError(f"{node.where}: a constant can only be added as the bias of the MatMul before it")
    found.layers[-1] = Linear(name=last.name, inputs=last.inputs, out_features=last.out_features, bias=True)
    found.learn(source, bias=bias.reshape(-1))
    found.held[node.output] = (source, image)


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
    """Over all pixels: the axes that the file keeps at size 1 are gone, as channels are all that is left."""
    name, image = found.held[node.inputs[0]]
    if node.kind.startswith("Reduce"):
        given = node.get("axes", None)
        axes = sorted(axis % 4 for axis in (found.constant(node, 1).tolist() if given is None else given))
        if axes != ([2, 3] if image else [1, 2]) or len(found.shapes[name]) != 3:
            raise InputError(f"{node.where}: {node.kind} must be over rows and columns of an image, not axes {axes}")
    kind = "max" if node.kind in ("GlobalMaxPool", "ReduceMax") else "mean"
    found.add(node, GlobalPool, (name,), image=False, kind=kind)


def _flatten(found: Trainable, node: Node) -> None:
    """To (batch, features); of what has one axis already it is nothing."""
    name, image = found.held[node.inputs[0]]
    elements = prod(found.shapes[name])
    if node.kind == "Reshape":
        shape = found.constant(node, 1).tolist()
        if len(shape) != 2 or shape[1] not in (-1, elements):
            raise InputError(f"{node.where}: Reshape must be to (batch, {elements}), not {shape}")
    elif node.kind == "Flatten" and node.get("axis", 1) != 1:
        raise InputError(f"{node.where}: axis must be 1, not {node.get('axis', 1)}")
    if len(found.shapes[name]) == 1:
        found.held[node.output] = (name, False)
    elif image and found.shapes[name][:2] == (1, 1):
        found.add(node, Flatten, (name,), image=False)
    else:
        found.add(node, Flatten, (found.plain(node),), image=False)


def _transpose(found: Trainable, node: Node) -> None:
    """Between channels first and last nothing moves here; a constant is turned."""
    perm = list(node.get("perm", []))
    if node.inputs[0] in found.constants:
        found.constants[node.output] = np.transpose(found.constants[node.inputs[0]], perm or None)
        return
    name, image = found.held[node.inputs[0]]
    if len(found.shapes[name]) != 3 or perm != (LAST if image else FIRST):
        raise InputError(f"{node.where}: Transpose {perm} cannot be trained; allowed: {FIRST} and {LAST}")
    found.held[node.output] = (name, not image)


def _same(found: Trainable, node: Node) -> None:
    found.held[node.output] = found.held[node.inputs[0]]


def _relu(found: Trainable, node: Node) -> None:
    source, image = found.held[node.inputs[0]]
    found.add(node, Relu, (source,), image=image)


RULES: dict[str, Callable[[Trainable, Node], None]] = {
    "Conv": _conv,
    "BatchNormalization": _batch_norm,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Add": _add,
    "Relu": _relu,
    "Transpose": _transpose,
    **dict.fromkeys(("MaxPool", "AveragePool"), _pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceMax"), _global_pool),
    **dict.fromkeys(("Flatten", "Reshape", "Squeeze"), _flatten),
    **dict.fromkeys(("Identity", "Dropout"), _same),
}
"""By operator; all others cannot be trained."""
