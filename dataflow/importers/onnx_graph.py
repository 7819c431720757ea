"""An ONNX file with every shape known: batch fixed, constants folded, shapes inferred."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from dataflow.importers.onnx_branches import Constants, expand
from dataflow.importers.onnx_constants import MASK_ELEMENTS, inlined, is_here, is_mask, values_of
from dataflow.importers.onnx_limits import MOST_FILE_BYTES, MOST_MORE_BYTES
from hw.errors import InputError
from hw.inputs import read_bytes
from hw.processes import memory_limited

Shape = tuple[int, ...]
Given = Mapping[str, Shape | float]
"""Of inputs by name: their sizes, or the number that all their elements are."""

FOLDED_ELEMENTS = 65536
"""Constants up to this size are computed with; of larger ones, the weights, only the shape matters."""

K = TypeVar("K")

FRACTIONS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE)

SHRINKING = ("NonZero", "Unique", "Compress")
"""Operators whose result depends on values and is no larger than what they read; of others inference says how large it is."""

MOST_GIVEN = 4096
"""Elements of an input that is given as one number."""

MOST_ROUNDS = 32
"""Of inference and computing constants by turns."""

SYMBOLIC_BATCH = 251
"""Stands for a batch of unknown size: a prime that is no size of anything else, so that the axis can be told."""


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
    learned : dict of str to int
        Numbers that training changes: constants with a fraction that are no masks, also under another shape.
    origin : dict of str to str
        The initializer that a learned constant is another view of.
    input : str
        The first input, and `batch` the size of its first axis; `more_inputs` are the others.
    """

    name: str
    model: onnx.ModelProto
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    constants: dict[str, NDArray[Any] | None] = field(default_factory=dict)
    learned: dict[str, int] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    input: str = ""
    more_inputs: tuple[str, ...] = ()
    batch: int = 1

    def sample_shape(self, tensor: str) -> Shape:
        """Shape of one sample: the batch axis dropped, or divided out of an axis that it was merged into."""
        shape, axis = self.divided(tensor), self.batch_axis(tensor)
        if axis is not None and shape[axis] == 1:
            shape = shape[:axis] + shape[axis + 1 :]
        return shape or (1,)

    def divided(self, tensor: str) -> Shape:
        """The shape of `tensor` for a batch of one."""
        shape, axis = list(self.shapes[tensor]), self.batch_axis(tensor)
        if axis is not None:
            shape[axis] //= self.batch
        return tuple(shape)

    def batch_axis(self, tensor: str) -> int | None:
        """The first axis where that can be, else the first that is the batch alone, else the first that it divides."""
        shape = self.shapes[tensor]
        alone = [axis for axis, size in enumerate(shape) if size == self.batch]
        merged = [axis for axis, size in enumerate(shape) if size % self.batch == 0]
        return 0 if 0 in merged else next(iter(alone + merged), None)


def read_graph(
    path: Path, *, assume: frozenset[str] = frozenset(), shapes: Given | None = None, literal: bool = False
) -> Graph:
    """Read, fix the batch, fold constants and infer shapes.

    Parameters
    ----------
    path : Path
        An ONNX file; weights in files of their own need not be there.
    assume : frozenset of str
        Operators whose result is taken to have the shape of their first input, where inference says nothing.
    shapes : mapping of str to tuple of int, or to float
        Of inputs with symbolic axes, batch included; an axis of the same name elsewhere gets the same size. A number makes a
        constant of an input.
    literal : bool
        Whether first axes have the sizes that are given, and else 1, instead of `SYMBOLIC_BATCH`.
    """
    try:
        model = onnx.load_model_from_string(read_bytes(path, most_bytes=MOST_FILE_BYTES))
    except DecodeError as error:
        raise InputError(f"{path}: is not an ONNX model: {error}") from None
    if not model.graph.node:
        raise InputError(f"{path}: the graph has no nodes")
    model = inlined(path.name, model)
    graph = Graph(path.name, model)
    given = shapes or {}
    _make_constants(graph, {name: value for name, value in given.items() if not isinstance(value, tuple)})
    _drop_weights(graph, path.parent)
    _fix_input(graph, {name: shape for name, shape in given.items() if isinstance(shape, tuple)}, literal=literal)
    nodes = list(model.graph.node)
    known = (0, 0)
    for _ in range(MOST_ROUNDS):  # a shape may be computed from shapes that are
        if known == (len(nodes), len(graph.shapes)):
            break
        known = len(nodes), len(graph.shapes)
        _infer(graph)
        nodes = [node for node in nodes if not _fold(graph, node)]
        _guess(graph, nodes, assume)
        if any(node.op_type in ("If", "Loop") for node in nodes) and _expanded(path.name, model.graph, graph.constants):
            _drop_weights(graph, path.parent)
            nodes = [
                node for node in model.graph.node if not all(name in graph.constants for name in filter(None, node.output))
            ]
            known = (0, 0)
    graph.nodes = nodes
    return graph


def _expanded(name: str, graph: onnx.GraphProto, constants: Constants) -> bool:
    """Whether branches or loops were put in their places."""
    try:
        return expand(graph, constants)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    except (ValueError, TypeError, LookupError, StopIteration) as error:
        raise InputError(f"{name}: an If or a Loop is not as ONNX has it: {error}") from None


def _drop_weights(graph: Graph, folder: Path) -> None:
    """Keep the shapes of large constants and the values of small ones, also of those in a file beside the model."""
    for tensor in graph.model.graph.initializer:
        if tensor.name in graph.shapes:
            continue
        shape = tuple(tensor.dims)
        elements = prod(shape)
        graph.shapes[tensor.name] = shape
        here = elements <= MASK_ELEMENTS and is_here(tensor, folder)
        values = values_of(graph.name, tensor) if here else None
        if tensor.data_type in FRACTIONS and elements > 1 and not is_mask(values):
            graph.learned[tensor.name], graph.origin[tensor.name] = elements, tensor.name
        small = here and elements <= FOLDED_ELEMENTS
        graph.constants[tensor.name] = values if small else None
        if not small:  # inference would copy them in every round
            for data in ("raw_data", "float_data", "double_data", "int32_data", "int64_data"):
                tensor.ClearField(data)


def _make_constants(graph: Graph, values: Mapping[str, float]) -> None:
    """Initializers in place of inputs, of their types."""
    for name, value in values.items():
        found = _input_named(graph, {one.name: one for one in graph.model.graph.input}, name)
        kind = found.type.tensor_type
        sizes = [dimension.dim_value for dimension in kind.shape.dim]
        if min(sizes, default=1) < 1 or prod(sizes) > MOST_GIVEN:
            raise InputError(f"{graph.name}: input {name!r} cannot be one number: its sizes must be fixed, of few elements")
        array = np.full(sizes, value, onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
        graph.model.graph.initializer.append(numpy_helper.from_array(array, name))


def _input_named(graph: Graph, known: Mapping[str, K], name: str) -> K:
    if name not in known:
        raise InputError(f"{graph.name}: has no input {name!r}; its inputs are {', '.join(map(repr, known))}")
    return known[name]


def _fix_input(graph: Graph, given: Mapping[str, Shape], *, literal: bool) -> None:
    """What is not a constant; a batch of unknown size is given one."""
    inputs = [value for value in graph.model.graph.input if value.name not in graph.constants]
    if not inputs:
        raise InputError(f"{graph.name}: the graph must have an input")
    graph.input, *more = (value.name for value in inputs)
    graph.more_inputs = tuple(more)
    sizes = _given_sizes(graph, inputs, given)
    for value in inputs:
        dimensions = value.type.tensor_type.shape.dim
        if value is inputs[0] and len(dimensions) < 2:
            raise InputError(f"{graph.name}: input {value.name!r} must have a batch axis and at least one more")
        for place, dimension in enumerate(dimensions):
            if dimension.dim_value < 1:  # symbolic, or -1 as some exporters have it
                known = place or (literal and value.name in given)
                dimension.dim_value = _size(graph, inputs, value, place, sizes) if known else 1 if literal else SYMBOLIC_BATCH
        graph.shapes[value.name] = tuple(dimension.dim_value for dimension in dimensions)
    graph.batch = graph.shapes[graph.input][0]
    for output in graph.model.graph.output:  # inferred again for the batch that was just fixed
        output.type.tensor_type.ClearField("shape")
    del graph.model.graph.value_info[:]


def _given_sizes(graph: Graph, inputs: list[onnx.ValueInfoProto], given: Mapping[str, Shape]) -> dict[str, int]:
    """Sizes by ``input:axis`` and by an axis's own name; `InputError` where what is given does not fit the file."""
    known = {value.name: value.type.tensor_type.shape.dim for value in inputs}
    sizes: dict[str, int] = {}
    for name, shape in given.items():
        dimensions = _input_named(graph, known, name)
        if len(shape) != len(dimensions):
            raise InputError(f"{graph.name}: input {name!r} has {len(dimensions)} axes, not {len(shape)}")
        for place, (size, dimension) in enumerate(zip(shape, dimensions, strict=True)):
            if dimension.dim_value > 0 and dimension.dim_value != size:
                raise InputError(f"{graph.name}: axis {place} of input {name!r} is {dimension.dim_value}, not {size}")
            sizes[f"{name}:{place}"] = size
            if dimension.dim_param and place:
                sizes.setdefault(dimension.dim_param, size)
    return sizes


def _size(
    graph: Graph, inputs: list[onnx.ValueInfoProto], value: onnx.ValueInfoProto, place: int, sizes: dict[str, int]
) -> int:
    """Size of a symbolic axis; `InputError` with the option that gives it."""
    dimensions = value.type.tensor_type.shape.dim
    named = dimensions[place].dim_param or "?"
    size = sizes.get(f"{value.name}:{place}", sizes.get(named))
    if size is None:
        axes = [str(one.dim_value) if one.dim_value > 0 else one.dim_param or "?" for one in dimensions]
        axes[0] = "1" if dimensions[0].dim_value in (SYMBOLIC_BATCH, 0, -1) else axes[0]
        raise InputError(
            f"{graph.name}: axis {place} of input {value.name!r} is {named!r}; give its size by"
            f" --input-shape {value.name}={','.join(axes)}"
        )
    return size


def _infer(graph: Graph) -> None:
    """Shapes of all tensors that inference finds."""
    try:
        with memory_limited(MOST_MORE_BYTES):
            inferred = shape_inference.infer_shapes(graph.model, data_prop=True)
    except MemoryError:
        raise InputError(f"{graph.name}: shapes cannot be inferred in {MOST_MORE_BYTES:,} bytes of memory") from None
    except (shape_inference.InferenceError, ValueError, RuntimeError) as error:
        raise InputError(f"{graph.name}: shapes cannot be inferred: {error}") from None
    for value in (*inferred.graph.value_info, *inferred.graph.output):
        kind = value.type.tensor_type
        if kind.HasField("shape") and all(dimension.HasField("dim_value") for dimension in kind.shape.dim):
            graph.shapes.setdefault(value.name, tuple(dimension.dim_value for dimension in kind.shape.dim))


def _fold(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether `node` makes constants only; they are then known from here on."""
    if node.op_type == "Shape" and node.input[0] in graph.shapes:
        ends = {attribute.name: attribute.i for attribute in node.attribute}
        shape = graph.shapes[node.input[0]][ends.get("start", 0) : ends.get("end")]
        _know(graph, node, [np.array(shape, dtype=np.int64)])
        return True
    used = [name for name in node.input if name]
    if not all(name in graph.constants for name in used) or any(a.HasField("g") for a in node.attribute):
        return False
    sizes = [prod(graph.shapes[name]) if name in graph.shapes else None for name in filter(None, node.output)]
    if None in sizes and node.op_type not in SHRINKING:
        return False  # inference may know more in the next round
    values = {name: graph.constants[name] for name in used}
    known = {name: value for name, value in values.items() if value is not None}
    small = all(size is None or size <= FOLDED_ELEMENTS for size in sizes)
    results = compute(graph.model, node, known) if small and len(known) == len(values) else None
    if results is None:
        graph.constants.update(dict.fromkeys(filter(None, node.output)))
    else:
        _know(graph, node, results)
    for name in used:
        if graph.learned.get(name) == prod(graph.shapes.get(node.output[0], ())):
            graph.learned[node.output[0]], graph.origin[node.output[0]] = graph.learned[name], graph.origin[name]
    return True


def compute(model: onnx.ModelProto, node: onnx.NodeProto, values: dict[str, NDArray[Any]]) -> list[NDArray[Any]] | None:
    """Results of a node with constant inputs; None where the reference does not know it."""
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    single = onnx.helper.make_graph([node], "one", [], outputs)
    single.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in values.items())
    try:
        model = onnx.helper.make_model(single, opset_imports=model.opset_import)
        with memory_limited(MOST_MORE_BYTES):
            return [np.asarray(result) for result in ReferenceEvaluator(model).run(None, {})]
    except Exception:
        return None


def _know(graph: Graph, node: onnx.NodeProto, results: list[NDArray[Any]]) -> None:
    """Remember constants, and let inference see them."""
    for name, value in zip(filter(None, node.output), results, strict=True):
        graph.constants[name] = value
        graph.shapes[name] = value.shape
    if len(results) == 1:
        node.CopyFrom(onnx.helper.make_node("Constant", [], node.output, value=numpy_helper.from_array(results[0])))


def _guess(graph: Graph, nodes: list[onnx.NodeProto], assume: frozenset[str]) -> None:
    """Results of operators that nobody knows, as large as what they read."""
    for node in nodes:
        if node.op_type in assume and node.input and node.input[0] in graph.shapes and node.output[0] not in graph.shapes:
            shape = graph.shapes[node.input[0]]
            graph.shapes[node.output[0]] = shape
            kind = onnx.TensorProto.FLOAT
            graph.model.graph.value_info.append(onnx.helper.make_tensor_value_info(node.output[0], kind, shape))
