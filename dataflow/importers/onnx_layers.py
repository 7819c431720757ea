"""The network of an ONNX file."""

from collections import Counter
from pathlib import Path

import onnx

from dataflow.importers import Imported
from dataflow.importers.onnx_graph import Given, Graph, read_graph
from dataflow.importers.onnx_limits import as_standard
from dataflow.importers.onnx_operators import FREE
from dataflow.importers.onnx_passes import PASSES
from dataflow.importers.onnx_products import PRODUCTS
from dataflow.importers.onnx_reader import Node, Reader
from dataflow.network import Network, Weighted
from dataflow.rearrange import Gap
from dataflow.tokens import MatMul
from hw.errors import InputError

KNOWN = tuple(sorted({*PRODUCTS, *PASSES, *FREE}))
"""All other operators are unknown."""


def read_onnx(path: Path, *, skip_unknown: bool = False, shapes: Given | None = None) -> Imported:
    """The network of an ONNX file; see `dataflow.importers.load`.

    Raises
    ------
    InputError
        Naming the node and what is allowed; also for whatever a file has that the standard does not.
    """

    def read(*, literal: bool) -> Imported:
        with as_standard(path.name):
            return _network(path, skip_unknown=skip_unknown, shapes=shapes, literal=literal)

    try:
        return read(literal=False)
    except InputError as error:
        if not shapes:
            raise
        try:
            return read(literal=True)  # where no axis is the batch, as where steps of a sequence stand first
        except InputError:
            raise error from None


def _network(path: Path, *, skip_unknown: bool, shapes: Given | None, literal: bool) -> Imported:
    graph = read_graph(path, shapes=shapes, literal=literal)
    unknown = Counter(node.op_type for node in graph.nodes if node.op_type not in KNOWN)
    if unknown and not skip_unknown:
        node = Node.of(graph.name, next(node for node in graph.nodes if node.op_type in unknown))
        if node.kind in ("If", "Loop"):
            raise InputError(
                f"{node.where}: {node.kind} is followed where its condition and count are constants; an input that they depend"
                f" on can be made one by --input-value, such as {graph.more_inputs[-1] if graph.more_inputs else graph.input}=1"
            )
        raise InputError(
            f"{node.where}: operator {node.kind} is not known; known are {', '.join(KNOWN)};"
            " --skip-unknown counts others as no work"
        )
    if unknown:
        graph = read_graph(path, assume=frozenset(unknown), shapes=shapes, literal=literal)
    reader = Reader(graph)
    for node in _needed(graph):
        _read(reader, Node.of(graph.name, node))
    if not any(isinstance(layer, Weighted | MatMul) for layer in reader.layers):
        raise InputError(f"{graph.name}: no node is a matrix product; allowed: {', '.join(PRODUCTS)}")
    notes = [
        f"{graph.name}: {count} node{'s' if count > 1 else ''} of unknown operator {name} counted as no work"
        for name, count in sorted(unknown.items())
    ]
    notes += [f"{graph.name}: {count} {text}" for text, count in sorted(reader.notes.items())]
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in path.stem)
    return Imported(Network(name=name, input_shape=reader.input_shape, layers=tuple(reader.layers)), tuple(notes))


def _needed(graph: Graph) -> list[onnx.NodeProto]:
    """Nodes on the way to an output."""
    wanted = {output.name for output in graph.model.graph.output}
    needed = []
    for node in reversed(graph.nodes):
        if wanted & set(node.output):
            needed.append(node)
            wanted |= set(node.input)
    return needed[::-1]


def _bind_rest(reader: Reader, node: Node) -> None:
    """Further outputs, such as places of maxima, as views of the first where nothing else made them."""
    first = reader.names.get(node.outputs[0])
    for output in node.outputs[1:]:
        if output and output not in reader.names and output in reader.graph.shapes and first is not None:
            reader.add(node, Gap, (first[0],), output=output, shape=reader.sample(output))


def _read(reader: Reader, node: Node) -> None:
    """The layers of a node."""
    for name in (*node.outputs[:1], *filter(None, node.inputs)):
        if name not in reader.graph.shapes and not reader.constant(name):
            raise InputError(f"{node.where}: the shape of {name!r} is not known")
    try:
        handle = PRODUCTS.get(node.kind) or PASSES.get(node.kind) or Reader.view
        handle(reader, node)
        _bind_rest(reader, node)
    except (KeyError, IndexError, AttributeError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{node.where}: {node.kind} is not as the standard has it: {error}") from None
