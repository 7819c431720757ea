"""ONNX nodes of transformers, as layers that train."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from math import isclose, sqrt
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from dataflow.importers.onnx_graph import Graph
from dataflow.importers.onnx_reader import Node
from dataflow.tokens import Activation, Embed, LayerNorm, MatMul, Softmax
from hw.errors import InputError
from training.exchange.onnx_moves import SHAPES
from training.exchange.onnx_trainable import Constants, Trainable
from training.exchange.onnx_view import View

SAME = ("Identity", "Dropout")
"""Operators that leave what they read."""

PARTS = ("Erf", "Sigmoid")
"""Operators that train as parts of GELU and SiLU alone."""


def layer_norm(found: Trainable, node: Node) -> None:
    """Over the last axis."""
    view = _last(found, node)
    name = found.add(node, LayerNorm, (view.layer,), seen=view.axes, epsilon=float(node.get("epsilon", 1e-5)))
    scale = found.constant(node, 1).reshape(-1)
    shift = found.constant(node, 2).reshape(-1) if len(node.inputs) > 2 and node.inputs[2] else np.zeros_like(scale)
    if {len(scale), len(shift)} != {found.shapes[name][-1]}:
        raise InputError(f"{node.where}: scale and bias must have {found.shapes[name][-1]} elements")
    found.learn(name, scale=scale, shift=shift)


def softmax(found: Trainable, node: Node) -> None:
    """Over the last axis."""
    view = _last(found, node)
    found.add(node, Softmax, (view.layer,), seen=view.axes)


def _last(found: Trainable, node: Node) -> View:
    """The input of what runs along the last axis."""
    view = found.rows(node)
    if node.get("axis", -1) % len(view.axes) != len(view.axes) - 1:
        raise InputError(f"{node.where}: axis must be the last one, not {node.get('axis', -1)}")
    return view


def activation(found: Trainable, node: Node) -> None:
    """GELU in both forms, and SiLU."""
    kind = "silu" if node.kind == "Swish" else "gelu_tanh" if node.get("approximate", b"none") == b"tanh" else "gelu"
    if node.get("alpha", 1.0) != 1:
        raise InputError(f"{node.where}: alpha must be 1, not {node.get('alpha', 1.0)}")
    view = found.held[node.inputs[0]]
    found.add(node, Activation, (view.layer,), seen=view.axes, kind=kind)


def product(found: Trainable, node: Node) -> None:
    """Of two activations; numbers that they were multiplied by come behind it."""
    scale = float(np.prod([found.factors.get(name, 1.0) for name in node.inputs]))
    left, right = found.rows(node), found.held[node.inputs[1]]
    turned = right.transposed((*range(len(right.axes) - 2), -1, -2))
    transposed = len(list(turned.steps(found.shapes[right.layer]))) < len(list(right.steps(found.shapes[right.layer])))
    right = found.in_order(turned if transposed else right)
    if found.graph.batch > 1 and (left.has_batch(-2) or right.has_batch(-1) or right.has_batch(-2)):
        fits = False
    else:
        fits = left.lead(found.graph.batch) == right.lead(found.graph.batch)
    if not fits:
        raise InputError(f"{node.where}: {node.kind} needs (*lead, m, k) and (*lead, k, n), samples along one of the lead")
    columns = right.shape[-2 if transposed else -1]
    axes = (*left.axes[:-1], ((left.axes[-1][0][0], columns),))
    found.add(node, MatMul, (left.layer, right.layer), seen=axes, transposed=transposed, scale=scale)


def scaled(found: Trainable, node: Node) -> None:
    """By a number: part of the product before, or of the one behind."""
    moving, number = found.moving(node), _number(found.constants, node.inputs)
    if len(moving) != 1 or number is None or (node.kind == "Div" and node.inputs[0] != moving[0]):
        raise InputError(f"{node.where}: {node.kind} can be trained of a tensor and one number alone")
    factor = 1 / number if node.kind == "Div" else number
    (tensor,) = moving
    view = found.held[tensor]
    found.held[node.output] = view
    place, layer = next(((place, one) for place, one in enumerate(found.layers) if found.makes(one, tensor)), (0, None))
    if isinstance(layer, MatMul) and found.readers(tensor) == 1:
        found.layers[place] = replace(layer, scale=layer.scale * factor)
    else:
        found.factors[node.output] = found.factors.get(tensor, 1.0) * factor


def embed(found: Trainable, node: Node, tensor: str, positions: NDArray[Any]) -> None:
    """Tokens behind a class token, with positions."""
    token = found.class_tokens[tensor]
    count, width = found.graph.shapes[tensor][1:]
    if positions.shape[-2:] != (count, width) or positions.size != count * width:
        raise InputError(f"{node.where}: positions must be of {(count, width)}, not {positions.shape}")
    name = found.add(node, Embed, (found.held[tensor].layer,))
    found.learn(name, token=token, position=positions.reshape(count, width))


def check_pending(found: Trainable, node: Node) -> None:
    """`InputError` where a node reads what is still to be multiplied by a number, or to become tokens, and cannot."""
    moving = found.moving(node)
    scales = node.kind in ("Mul", "Div", *SAME, *SHAPES, "Transpose") or (node.kind == "MatMul" and len(moving) == 2)
    if not scales and any(name in found.factors for name in moving):
        raise InputError(
            f"{node.where}: {node.kind} cannot be trained of what is multiplied by a number;"
            " allowed: products of two activations"
        )
    if any(name in found.class_tokens for name in moving) and (node.kind != "Add" or len(moving) != 1):
        raise InputError(f"{node.where}: {node.kind} cannot be trained of rows behind a class token; allowed: Add of positions")


def _number(constants: Constants, names: Iterable[str]) -> float | None:
    """The one constant among inputs, where it is one number."""
    found = [constants[name] for name in names if name in constants]
    return float(found[0].reshape(())) if len(found) == 1 and found[0].size == 1 else None


def fused(graph: Graph, constants: Constants) -> Iterator[onnx.NodeProto]:
    """The nodes, with what exporters write in place of one activation as that one: GELU by Erf, SiLU by Sigmoid."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.nodes:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    makers = {name: node for node in graph.nodes for name in node.output}
    made: dict[str, onnx.NodeProto] = {}  # by what it makes
    gone: set[str] = set()
    for node in graph.nodes:
        found = None
        if node.op_type == "Sigmoid":
            found = _silu(node, readers)
        elif node.op_type == "Erf":
            found = _gelu(node, makers, readers, constants)
        if found:
            kind, source, parts = found
            made[parts[-1].output[0]] = onnx.helper.make_node(kind, [source], parts[-1].output, name=node.name)
            gone |= {part.output[0] for part in parts}
    for node in graph.nodes:
        if node.output[0] in made:
            yield made[node.output[0]]
        elif node.output[0] not in gone:
            yield node


Found = tuple[str, str, list[onnx.NodeProto]] | None
"""An activation: its operator, what it reads, and the nodes that it stands for, the last one making its result."""


def _silu(sigmoid: onnx.NodeProto, readers: dict[str, list[onnx.NodeProto]]) -> Found:
    source, after = sigmoid.input[0], readers.get(sigmoid.output[0], [])
    if len(after) == 1 and after[0].op_type == "Mul" and set(after[0].input) == {source, sigmoid.output[0]}:
        return "Swish", source, [sigmoid, after[0]]
    return None


def _gelu(
    erf: onnx.NodeProto,
    makers: dict[str, onnx.NodeProto],
    readers: dict[str, list[onnx.NodeProto]],
    constants: Constants,
) -> Found:
    """``x · (erf(x / √2) + 1) · ½``, the factors in any order."""
    before = makers.get(erf.input[0])
    if before is None or before.op_type not in ("Div", "Mul"):
        return None
    number = _number(constants, before.input)
    moving = [name for name in before.input if name not in constants]
    if (
        len(moving) != 1
        or number is None
        or not isclose(number, sqrt(2) if before.op_type == "Div" else sqrt(0.5), rel_tol=1e-3)
    ):
        return None
    (source,), parts, factor, sides = moving, [before, erf], 1.0, 0
    while True:
        after = readers.get(parts[-1].output[0], [])
        if len(after) != 1:
            break
        (node,) = after
        others = [name for name in node.input if name != parts[-1].output[0]]
        number = _number(constants, node.input)
        if node.op_type == "Add" and len(parts) == 2 and number == 1:
            pass
        elif node.op_type == "Mul" and number is not None:
            factor *= number
        elif node.op_type == "Mul" and others == [source] and not sides:
            sides = 1
        elif node.op_type == "Mul" and not sides and (half := makers.get(others[0])) and _halves(half, source, constants):
            sides, factor = 1, factor * 0.5
            parts.insert(0, half)
        else:
            break
        parts.append(node)
        if sides and factor == 0.5:
            return "Gelu", source, parts
    return None


def _halves(node: onnx.NodeProto, source: str, constants: Constants) -> bool:
    return node.op_type == "Mul" and source in node.input and _number(constants, node.input) == 0.5


TOKENS: dict[str, Callable[[Trainable, Node], None]] = {
    "LayerNormalization": layer_norm,
    "Softmax": softmax,
    **dict.fromkeys(("Gelu", "Swish"), activation),
    **dict.fromkeys(("Mul", "Div"), scaled),
}
"""By operator."""
