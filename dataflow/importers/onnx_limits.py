"""What an ONNX file may ask for, counted before anything is computed or expanded."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import prod

import onnx

from hw.errors import InputError
from hw.inputs import shown

MOST_FILE_BYTES = (1 << 31) - 1
"""Of a model: protobuf has no larger messages."""
MOST_NODES = 20_000
"""Of a graph, with every call of a function counted as what it expands to."""
MOST_DEPTH = 64
"""Functions that call one another, and graphs within graphs."""

MOST_MORE_BYTES = 2 << 30
"""Of memory that ONNX's own shape inference, or its reference of an operator, may take beside what is held already."""

Key = tuple[str, str, str]


@contextmanager
def as_standard(name: str) -> Iterator[None]:
    """`InputError` for whatever a file has that the standard does not: a damaged one fails in any way."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{name}: is not as the standard has it: {type(error).__name__}: {error}") from error


def check_limits(name: str, model: onnx.ModelProto) -> None:
    """`InputError` where functions call themselves, a node makes nothing, the graph is too large, or a constant is no shape."""
    functions = {(f.domain, f.name, f.overload): f for f in model.functions}
    counted: dict[Key, int] = {}
    if (nodes := _nodes(name, model.graph.node, functions, counted, ())) > MOST_NODES:
        raise InputError(f"{name}: {nodes:,} nodes are too many: at most {MOST_NODES:,}")
    for tensor in model.graph.initializer:
        check_dims(name, tensor)


def check_dims(name: str, tensor: onnx.TensorProto) -> None:
    """`InputError` where the axes of a constant are negative, or not those of the values that stand in the file."""
    if min(tensor.dims, default=0) < 0 or prod(tensor.dims) >= 1 << 63:
        raise InputError(f"{name}: constant {shown(tensor.name)}: {shown(list(tensor.dims))} is no shape")


def _nodes(
    name: str,
    nodes: Iterable[onnx.NodeProto],
    functions: dict[Key, onnx.FunctionProto],
    counted: dict[Key, int],
    within: tuple[Key, ...],
) -> int:
    """Nodes with every call expanded, subgraphs included."""
    if len(within) > MOST_DEPTH:
        raise InputError(f"{name}: functions call one another too deep: at most {MOST_DEPTH} of them")
    total = 0
    for node in nodes:
        if not any(node.output):
            raise InputError(f"{name}: node {shown(node.name)} of operator {shown(node.op_type)} makes no output")
        key = (node.domain, node.op_type, node.overload)
        total += 1 + sum(_nodes(name, graph.node, functions, counted, within) for graph in _graphs(node))
        if key not in functions:
            continue
        if key in within:
            raise InputError(f"{name}: function {shown(node.op_type)} calls itself")
        if key not in counted:
            counted[key] = _nodes(name, functions[key].node, functions, counted, (*within, key))
        total += counted[key]
    return total


def _graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Graphs within a node; protobuf itself bounds how deep."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs
