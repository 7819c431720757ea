"""ONNX nodes that only look at a tensor otherwise, or at a part of it."""

from collections.abc import Callable

import numpy as np

from dataflow.importers.onnx_reader import Node
from dataflow.rearrange import Concat, Slice
from dataflow.tokens import Select
from hw.errors import InputError
from training.exchange.onnx_trainable import Trainable
from training.exchange.onnx_view import BATCH, ONE, View

SHAPES = ("Reshape", "Squeeze", "Unsqueeze", "Flatten")
"""Operators that give a tensor another shape."""


def reshape(found: Trainable, node: Node) -> None:
    """Any other shape that keeps samples apart."""
    if node.kind == "Flatten" and node.get("axis", 1) != 1:
        raise InputError(f"{node.where}: axis must be 1, not {node.get('axis', 1)}")
    view = found.held[node.inputs[0]].reshaped(found.graph.shapes[node.output])
    if view is None:
        before, after = (found.graph.shapes[name] for name in (node.inputs[0], node.output))
        raise InputError(f"{node.where}: {node.kind} from {before} to {after} does not keep samples apart")
    found.pass_on(node, view)


def transpose(found: Trainable, node: Node) -> None:
    """Axes in any other order."""
    view = found.held[node.inputs[0]]
    order = list(node.get("perm", [*reversed(range(len(view.axes)))]))
    found.pass_on(node, view.transposed(order))


def slices(found: Trainable, node: Node) -> None:
    """Neighbouring entries of one axis."""
    view = found.held[node.inputs[0]]
    starts, ends = (found.constant(node, place).tolist() for place in (1, 2))
    axes = found.constant(node, 3).tolist() if len(node.inputs) > 3 else list(range(len(starts)))
    steps = found.constant(node, 4).tolist() if len(node.inputs) > 4 else [1] * len(starts)
    if len(axes) != 1 or steps != [1]:
        raise InputError(f"{node.where}: Slice must be along one axis, by steps of 1")
    axis = axes[0] % len(view.axes)
    start, end, _ = slice(starts[0], ends[0]).indices(view.shape[axis])
    _cut(found, node, node.output, axis, start, end - start)


def split(found: Trainable, node: Node) -> None:
    """Each output is a slice."""
    axis, start = node.get("axis", 0) % len(found.held[node.inputs[0]].axes), 0
    for output in node.outputs:
        size = found.graph.shapes[output][axis]
        _cut(found, node, output, axis, start, size)
        start += size


def _cut(found: Trainable, node: Node, output: str, axis: int, start: int, size: int) -> None:
    """Some entries of an axis as a layer."""
    view = found.in_order(found.held[node.inputs[0]])
    place = _place(node, view, axis)
    axes = (*view.axes[:axis], ((view.axes[axis][0][0], size),), *view.axes[axis + 1 :])
    found.add(node, Slice, (view.layer,), seen=axes, output=output, axis=place, start=start, size=size)


def _place(node: Node, view: View, axis: int) -> int:
    """Which of a sample's axes an axis of the tensor is."""
    if view.has_batch(axis):
        raise InputError(f"{node.where}: {node.kind} must not be along the batch")
    return view.axes[axis][0][0][0]


def gather(found: Trainable, node: Node) -> None:
    """One entry of an axis, such as the class token; the axis is gone, unless the index has one."""
    index, axis = found.constant(node, 1), node.get("axis", 0) % len(found.held[node.inputs[0]].axes)
    if index.size != 1 or index.ndim > 1:
        raise InputError(f"{node.where}: Gather must choose one entry of an axis, not {index.size}")
    view = found.in_order(found.held[node.inputs[0]])
    place, number = _place(node, view, axis), int(index.reshape(())) % view.shape[axis]
    kept = (((ONE, 1),),) if index.ndim else ()
    if place:
        _cut(found, node, node.output, axis, number, 1)
        axes = found.held[node.output].axes
    else:
        found.add(node, Select, (view.layer,), index=number)
        axes = tuple(tuple((key if key == BATCH else (key[0] - 1,), size) for key, size in one) for one in view.axes)
    found.held[node.output] = View(found.held[node.output].layer, (*axes[:axis], *kept, *axes[axis + 1 :]))


def concat(found: Trainable, node: Node) -> None:
    """Of tensors along an axis; or of a constant row in front of others, which is a class token."""
    moving = found.moving(node)
    views = [found.in_order(found.held[name]) for name in moving]
    axis = node.get("axis", 0) % len(views[0].axes)
    if len(moving) == len(node.inputs):
        if len({tuple(tuple(key for key, _ in one) for one in view.axes) for view in views}) != 1:
            raise InputError(f"{node.where}: Concat needs tensors whose axes are in one order")
        size = sum(view.shape[axis] for view in views)
        axes = (*views[0].axes[:axis], ((views[0].axes[axis][0][0], size),), *views[0].axes[axis + 1 :])
        found.add(node, Concat, tuple(view.layer for view in views), seen=axes, axis=_place(node, views[0], axis))
        return
    token = found.constant(node, 0)
    first = views[0].samples_first and len(views[0].axes) == 3 and len(node.inputs) == 2 and axis == 1
    if not first or token.shape[1:] != (1, views[0].shape[2]) or np.any(token != token[:1]):
        raise InputError(f"{node.where}: a constant can only stand in front of tokens, as one token that all samples share")
    found.held[node.output] = views[0]
    found.class_tokens[node.output] = token[0, 0]


MOVES: dict[str, Callable[[Trainable, Node], None]] = {
    **dict.fromkeys(SHAPES, reshape),
    "Concat": concat,
    "Gather": gather,
    "Slice": slices,
    "Split": split,
    "Transpose": transpose,
}
"""By operator."""
