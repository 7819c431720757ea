"""What an ONNX file may ask for, counted before anything is computed or expanded."""

from collections.abc import Iterable, Iterator
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

Key = tuple[str, str, str]


def check_limits(name: str, model: onnx.ModelProto) -> None:
    """`InputError` where functions call themselves, where the graph is too large, or a constant is not what it says."""
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
