"""ONNX If and Loop whose condition and count are known: their bodies take their place."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from dataflow.importers.onnx_limits import MOST_NODES
from hw.errors import InputError

Constants = Mapping[str, NDArray[Any] | None]

MOST_ROUNDS = 512
"""A longer loop stays a loop, which nobody reads."""


def expand(graph: onnx.GraphProto, constants: Constants) -> bool:
    """Replace what can be replaced in `graph`; whether anything was."""
    nodes: list[onnx.NodeProto] = []
    changed = False
    for node in graph.node:
        body = _branch(graph, node, constants) if node.op_type == "If" else _rounds(graph, node, constants)
        nodes += body if body is not None else [node]
        if len(nodes) > MOST_NODES:
            raise InputError(f"graph {graph.name!r}: its loops have too many nodes: at most {MOST_NODES:,}")
        changed |= body is not None
    if changed:
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(copies)
    return changed


def _attribute(node: onnx.NodeProto, name: str) -> onnx.GraphProto:
    return next(attribute.g for attribute in node.attribute if attribute.name == name)


def _branch(graph: onnx.GraphProto, node: onnx.NodeProto, constants: Constants) -> list[onnx.NodeProto] | None:
    condition = constants.get(node.input[0])
    if condition is None or condition.size != 1:
        return None
    branch = _attribute(node, "then_branch" if condition.item() else "else_branch")
    graph.initializer.extend(branch.initializer)
    ends = [_same(one.name, output) for one, output in zip(branch.output, node.output, strict=True)]
    return [*branch.node, *ends]


def _rounds(graph: onnx.GraphProto, node: onnx.NodeProto, constants: Constants) -> list[onnx.NodeProto] | None:
    """A loop of a known number of rounds, each with names of its own."""
    if node.op_type != "Loop":
        return None
    most, condition = (constants.get(name) if name else np.array(1) for name in node.input[:2])
    body = _attribute(node, "body")
    if most is None or condition is None or not node.input[0] or not condition.item() or not _goes_on(body):
        return None
    count = int(most.item())
    if not 0 < count <= MOST_ROUNDS:
        return None
    graph.initializer.extend(body.initializer)
    number, _, *inputs = (value.name for value in body.input)
    _, *outputs = (value.name for value in body.output)
    carried, scanned, nodes = list(node.input[2:]), [], []
    for place in range(count):
        names = dict(zip(inputs, carried, strict=True))
        number_here = f"{node.output[0]}.round{place}.number"
        nodes.append(helper.make_node("Constant", [], [number_here], value=numpy_helper.from_array(_int64(place))))
        names[number] = number_here
        names |= {made: f"{made}.round{place}" for one in body.node for made in one.output if made}
        nodes += [_renamed(one, names) for one in body.node]
        carried = [names.get(name, name) for name in outputs[: len(inputs)]]
        scanned.append([names.get(name, name) for name in outputs[len(inputs) :]])
    ends = [_same(name, output) for name, output in zip(carried, node.output, strict=False) if output]
    return [*nodes, *ends, *_stacked(list(zip(*scanned, strict=True)), list(node.output[len(inputs) :]))]


def _stacked(parts: list[tuple[str, ...]], outputs: list[str]) -> list[onnx.NodeProto]:
    """Every round's result along a new first axis."""
    nodes = []
    for names, output in zip(parts, outputs, strict=True):
        axes = f"{output}.axes"
        nodes.append(helper.make_node("Constant", [], [axes], value=numpy_helper.from_array(_int64(0).reshape(1))))
        apart = [f"{output}.part{place}" for place in range(len(names))]
        nodes += [helper.make_node("Unsqueeze", [name, axes], [part]) for name, part in zip(names, apart, strict=True)]
        nodes.append(helper.make_node("Concat", apart, [output], axis=0))
    return nodes


def _goes_on(body: onnx.GraphProto) -> bool:
    """Whether the condition that the body makes is the one that it got, or true."""
    name = body.output[0].name
    made = {output: node for node in body.node for output in node.output}
    while name in made and made[name].op_type in ("Identity", "Cast"):
        name = made[name].input[0]
    if name in made and made[name].op_type == "Constant":
        return bool(numpy_helper.to_array(made[name].attribute[0].t))
    held = next((tensor for tensor in body.initializer if tensor.name == name), None)
    return bool(numpy_helper.to_array(held)) if held is not None else name == body.input[1].name


def _renamed(node: onnx.NodeProto, names: dict[str, str]) -> onnx.NodeProto:
    copy = onnx.NodeProto.FromString(node.SerializeToString())
    for field in (copy.input, copy.output):
        field[:] = [names.get(name, name) for name in field]
    copy.name = f"{node.name}.{copy.output[0]}" if node.name else ""
    return copy


def _same(name: str, output: str) -> onnx.NodeProto:
    return helper.make_node("Identity", [name], [output])


def _int64(value: int) -> NDArray[np.int64]:
    return np.array(value, np.int64)
