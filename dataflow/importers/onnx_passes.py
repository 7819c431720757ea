"""ONNX nodes that are no products: passes of the vector unit, and views."""

from collections.abc import Callable
from math import prod

from dataflow.axes import Affine, AxisPool, Combine, Lookup, Reduce
from dataflow.importers.onnx_operators import BINARY, KEPT, LINEAR, MASKED, NORMS, REDUCING
from dataflow.importers.onnx_reader import Node, Reader
from dataflow.importers.onnx_sequences import quantised
from dataflow.importers.onnx_windows import read_windows
from dataflow.network import Add, BatchNorm, GlobalPool, Relu
from dataflow.rearrange import Concat, Gap, Reshape, Slice, Transpose
from dataflow.tokens import Activation, LayerNorm, Softmax


def batch_norm(reader: Reader, node: Node) -> None:
    """Over all axes but the channels."""
    image = len(reader.shape(node.inputs[0])) > 2
    source = reader.image(node, node.inputs[0]) if image else reader.plain(node.inputs[0])
    reader.add(node, BatchNorm, (source,), image=image)


def norm(reader: Reader, node: Node) -> None:
    """Of each sample by itself."""
    reader.same(node, LayerNorm, size=sum(reader.graph.learned.get(name, 0) for name in node.inputs[1:]))


def pool(reader: Reader, node: Node) -> None:
    """Over windows."""
    sizes = reader.shape(node.inputs[0])[2:]
    axes = read_windows(node.where, node.attributes, tuple(node.attributes["kernel_shape"]), sizes)
    kind, ceil = "max" if node.kind == "MaxPool" else "mean", bool(node.attributes.get("ceil_mode", 0))
    reader.add(node, AxisPool, (reader.image(node, node.inputs[0]),), image=True, axes=axes, kind=kind, ceil=ceil)


def global_pool(reader: Reader, node: Node) -> None:
    """Over all pixels."""
    source = reader.image(node, node.inputs[0])
    pooled = reader.add(node, GlobalPool, (source,), kind="max" if node.kind == "GlobalMaxPool" else "mean")
    reader.add(node, Reshape, (pooled,), image=True, part="pixel", shape=reader.nhwc(node.outputs[0]))


def reduce(reader: Reader, node: Node) -> None:
    """A tensor of another shape."""
    shape = reader.sample(node.outputs[0])
    reader.add(node, Reduce, (reader.plain(node.inputs[0]),), shape=shape, kind=node.kind)


def sum_of_all(reader: Reader, node: Node) -> None:
    """Two at a time."""
    first, *rest = reader.moving(node)
    held, image = reader.names[first]
    for name in rest:
        held = reader.add(node, Add, (held, reader.like(name, image=image)), image=image)
    reader.names[node.outputs[0]] = (held, image)


def binary(reader: Reader, node: Node) -> None:
    """With a constant, or of two activations."""
    what, moving = BINARY[node.kind], reader.moving(node)
    if len(moving) == 1:
        _with_constant(reader, node, what, moving[0])
        return
    shapes = [reader.sample(name) for name in moving]
    image = len(shapes[0]) == len(shapes[1]) and any(reader.names[name][1] for name in moving)
    sources = tuple(reader.like(name, image=image) for name in moving)
    if shapes[0] == shapes[1] and what in ("add", "subtract"):
        reader.add(node, Add, sources, image=image)
    else:
        reader.add(node, Combine, sources, image=image, kind=what)


def _with_constant(reader: Reader, node: Node, what: str, moving: str) -> None:
    learned = sum(reader.graph.learned.get(name, 0) for name in node.inputs)
    shape = reader.sample(node.outputs[0])
    if prod(shape) != prod(reader.sample(moving)):
        reader.add(node, Reduce, (reader.plain(moving),), shape=shape, kind=f"{what} a constant", size=learned)
    elif what in ("power", "maximum", "minimum"):
        reader.same(node, Activation, source=moving, kind=f"{what} of a constant")
    elif len(reader.shape(node.outputs[0])) != len(reader.shape(moving)):  # the constant has more axes
        changed = reader.add(node, Affine, (reader.plain(moving),), kind=f"{what} a constant", size=learned)
        reader.add(node, Reshape, (changed,), part="axes", shape=shape)
    else:
        reader.same(node, Affine, source=moving, kind=f"{what} a constant", size=learned)


def where(reader: Reader, node: Node) -> None:
    """A choice between two; what it depends on passes no gradient."""
    chosen = [name for name in node.inputs[1:] if name in reader.names]
    if len(chosen) == 2:
        sources = tuple(reader.plain(name) for name in chosen)
        reader.add(node, Combine, sources, kind="choose")
    elif chosen and prod(reader.sample(chosen[0])) == prod(reader.sample(node.outputs[0])):
        reader.same(node, Relu, source=chosen[0])
    else:
        reader.view(node)


def concat(reader: Reader, node: Node) -> None:
    """Parts side by side in memory, in any order where the batch is not the first axis or a part is a constant."""
    moving = reader.moving(node)
    shapes = [reader.sample(name) for name in node.inputs]
    axis = node.attributes["axis"] % len(reader.shape(node.outputs[0])) - 1
    plain = len(moving) < len(node.inputs) or axis < 0 or reader.graph.batch_axis(node.outputs[0]) != 0
    if plain or any(len(shape) != len(shapes[0]) for shape in shapes):
        _side_by_side(reader, node, moving)
        return
    image = all(reader.names[name][1] for name in moving)
    axis = (len(shapes[0]) - 1 if axis == 0 else axis - 1) if image else axis
    reader.add(node, Concat, tuple(reader.like(name, image=image) for name in moving), image=image, axis=axis)


def _side_by_side(reader: Reader, node: Node, moving: list[str]) -> None:
    parts = [
        reader.add(node, Reshape, (reader.plain(name),), part="part", shape=(prod(reader.sample(name)),)) for name in moving
    ]
    joined = reader.add(node, Concat, tuple(parts), part="parts", axis=0) if len(parts) > 1 else parts[0]
    shape = reader.sample(node.outputs[0])
    whole = prod(shape) == sum(prod(reader.sample(name)) for name in moving)
    reader.add(node, Reshape if whole else Gap, (joined,), shape=shape)


def transpose(reader: Reader, node: Node) -> None:
    """Axes in another order, the batch where it was; else only another shape."""
    rank = len(reader.shape(node.inputs[0]))
    axes = tuple(node.attributes.get("perm") or reversed(range(rank)))
    if axes[0] == 0 and len(reader.sample(node.inputs[0])) == rank - 1:
        reader.add(node, Transpose, (reader.plain(node.inputs[0]),), axes=tuple(axis - 1 for axis in axes[1:]))
    else:
        reader.view(node)


def split(reader: Reader, node: Node) -> None:
    """Each output is a slice, of which only the size counts where the batch is not the first axis."""
    axis = node.attributes.get("axis", 0) % len(reader.shape(node.inputs[0])) - 1
    source, start = reader.plain(node.inputs[0]), 0
    sliced = axis >= 0 and reader.graph.batch_axis(node.inputs[0]) == 0
    for output in node.outputs:
        size = reader.shape(output)[axis + 1]
        if sliced:
            reader.add(node, Slice, (source,), output=output, axis=axis, start=start, size=size)
        else:
            reader.add(node, Gap, (source,), output=output, shape=reader.sample(output))
        start += size


def gather(reader: Reader, node: Node) -> None:
    """Rows of a learned table, or a view."""
    table = node.inputs[0]
    size = reader.graph.learned.get(table, 0)
    if not reader.constant(table) or not size or node.inputs[1] not in reader.names:
        reader.view(node)
        return
    shared = reader.is_counted(table)
    shape = reader.sample(node.outputs[0])
    reader.add(node, Lookup, (reader.plain(node.inputs[1]),), shape=shape, size=size, shared=shared)


PASSES: dict[str, Callable[[Reader, Node], None]] = {
    "BatchNormalization": batch_norm,
    "Concat": concat,
    "Gather": gather,
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"), quantised),
    "GlobalAveragePool": global_pool,
    "GlobalMaxPool": global_pool,
    "LogSoftmax": lambda reader, node: reader.same(node, Softmax),
    "Softmax": lambda reader, node: reader.same(node, Softmax),
    "Split": split,
    "Sum": sum_of_all,
    "Transpose": transpose,
    "Where": where,
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), pool),
    **dict.fromkeys(REDUCING, reduce),
    **dict.fromkeys(BINARY, binary),
    **dict.fromkeys(NORMS, norm),
    **dict.fromkeys(MASKED, lambda reader, node: reader.same(node, Relu)),
    **dict.fromkeys(KEPT, lambda reader, node: reader.same(node, Activation, kind=node.kind.lower())),
    **dict.fromkeys(LINEAR, lambda reader, node: reader.same(node, Affine, kind=node.kind.lower())),
}
"""By operator."""
