"""An ONNX file with every shape known: batch fixed, constants folded, shapes inferred."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from hw.errors import InputError

Shape = tuple[int, ...]

FOLDED_ELEMENTS = 65536
"""Constants up to this size are computed with; of larger ones, the weights, only the shape matters."""

ROUNDS = 12
"""Times that folding and inference follow each other at most."""


@dataclass
class Graph:
    """The nodes that do work, and what is known of their tensors.

    Attributes
    ----------
    name : str
        What the file is called in messages.
    nodes : list of NodeProto
        In order, without those that only make constants.
    shapes : dict of str to tuple of int
        With the batch axis.
    constants : dict of str to array or None
        Tensors that do not depend on the input; None where only the shape is known.
    input : str
        The input, and `batch` the size of its first axis.
    """

    name: str
    model: onnx.ModelProto
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    constants: dict[str, NDArray[Any] | None] = field(default_factory=dict)
    input: str = ""
    batch: int = 1

    def sample_shape(self, tensor: str) -> Shape:
        """Shape of one sample: the batch axis dropped, or divided out of an axis that it was merged into."""
        first, *rest = self.shapes[tensor] or (1,)
        if first == self.batch:
            return tuple(rest) or (1,)
        return (first // self.batch if first % self.batch == 0 else first, *rest)


def read_graph(path: Path, *, assume: frozenset[str] = frozenset()) -> Graph:
    """Read, fix the batch, fold constants and infer shapes.

    Parameters
    ----------
    path : Path
        An ONNX file; weights in files of their own need not be there.
    assume : frozenset of str
        Operators whose result is taken to have the shape of their first input, where inference says nothing.
    """
    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, OSError, ValueError) as error:
        raise InputError(f"{path}: is not an ONNX model: {error}") from None
    if not model.graph.node:
        raise InputError(f"{path}: the graph has no nodes")
    graph = Graph(path.name, model)
    _drop_weights(graph)
    _fix_input(graph)
    nodes = list(model.graph.node)
    for _ in range(ROUNDS):
        _infer(graph)
        before = len(nodes), len(graph.shapes)
        nodes = [node for node in nodes if not _fold(graph, node)]
        _guess(graph, nodes, assume)
        if (len(nodes), len(graph.shapes)) == before:
            break
    graph.nodes = nodes
    return graph


def _drop_weights(graph: Graph) -> None:
    """Keep the shapes of large constants and the values of small ones."""
    for tensor in graph.model.graph.initializer:
        shape = tuple(tensor.dims)
        graph.shapes[tensor.name] = shape
        inline = tensor.data_location != onnx.TensorProto.EXTERNAL
        small = inline and np.prod(shape, dtype=np.int64) <= FOLDED_ELEMENTS
        graph.constants[tensor.name] = numpy_helper.to_array(tensor) if small else None


def _fix_input(graph: Graph) -> None:
    """The one tensor that is not a constant; a batch of unknown size counts as one sample."""
    inputs = [value for value in graph.model.graph.input if value.name not in graph.constants]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise InputError(f"{graph.name}: the graph must have one input, not {len(inputs)}: {names}")
    graph.input = inputs[0].name
    dimensions = inputs[0].type.tensor_type.shape.dim
    if len(dimensions) < 2:
        raise InputError(f"{graph.name}: input {graph.input!r} must have a batch axis and at least one more")
    for place, dimension in enumerate(dimensions):
        if dimension.HasField("dim_value") and dimension.dim_value > 0:
            continue
        if place:
            named = dimension.dim_param or "?"
            raise InputError(
                f"{graph.name}: axis {place} of input {graph.input!r} is {named!r}; only the batch, axis 0, may be symbolic"
            )
        dimension.dim_value = 1
    graph.batch = dimensions[0].dim_value
    graph.shapes[graph.input] = tuple(dimension.dim_value for dimension in dimensions)
    for output in graph.model.graph.output:  # inferred again for the batch that was just fixed
        output.type.tensor_type.ClearField("shape")
    del graph.model.graph.value_info[:]


def _infer(graph: Graph) -> None:
    """Shapes of all tensors that inference finds."""
    try:
        inferred = shape_inference.infer_shapes(graph.model, data_prop=True)
    except (shape_inference.InferenceError, ValueError, RuntimeError) as error:
        raise InputError(f"{graph.name}: shapes cannot be inferred: {error}") from None
    for value in (*inferred.graph.value_info, *inferred.graph.output):
        kind = value.type.tensor_type
        if kind.HasField("shape") and all(dimension.HasField("dim_value") for dimension in kind.shape.dim):
            graph.shapes.setdefault(value.name, tuple(dimension.dim_value for dimension in kind.shape.dim))


def _fold(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether `node` makes constants only; they are then known from here on."""
    if node.op_type == "Shape" and node.input[0] in graph.shapes and not node.attribute:
        _know(graph, node.output[0], np.array(graph.shapes[node.input[0]], dtype=np.int64))
        return True
    used = [name for name in node.input if name]
    if not all(name in graph.constants for name in used) or any(a.HasField("g") for a in node.attribute):
        return False
    values = {name: graph.constants[name] for name in used}
    if any(value is None for value in values.values()):
        for name in node.output:
            graph.constants[name] = None
        return True
    try:
        single = onnx.helper.make_graph([node], "one", [], [onnx.ValueInfoProto(name=name) for name in node.output if name])
        for name, value in values.items():
            single.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        model = onnx.helper.make_model(single, opset_imports=graph.model.opset_import)
        results = ReferenceEvaluator(model).run(None, {})
    except Exception:
        return False
    for name, value in zip(filter(None, node.output), results, strict=True):
        _know(graph, name, np.asarray(value))
    return True


def _know(graph: Graph, name: str, value: NDArray[Any]) -> None:
    """Remember a constant, and let inference see it."""
    graph.constants[name] = value
    graph.shapes[name] = value.shape
    graph.model.graph.initializer.append(numpy_helper.from_array(value, name))
    makers = [node for node in graph.model.graph.node if name in node.output and len(node.output) == 1]
    for node in makers:
        graph.model.graph.node.remove(node)


def _guess(graph: Graph, nodes: list[onnx.NodeProto], assume: frozenset[str]) -> None:
    """Results of operators that nobody knows, as large as what they read."""
    for node in nodes:
        if node.op_type in assume and node.input and node.input[0] in graph.shapes and node.output[0] not in graph.shapes:
            shape = graph.shapes[node.input[0]]
            graph.shapes[node.output[0]] = shape
            kind = onnx.TensorProto.FLOAT
            graph.model.graph.value_info.append(onnx.helper.make_tensor_value_info(node.output[0], kind, shape))
