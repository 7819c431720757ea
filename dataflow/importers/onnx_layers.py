"""ONNX nodes as layers. Images are (H, W, C) here and (C, H, W) there: a view between the two costs nothing."""

from collections import Counter
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import onnx

from dataflow.axes import Affine, AxisConv, AxisPool, Combine, Reduce
from dataflow.importers import Imported
from dataflow.importers.onnx_graph import Graph, Shape, read_graph
from dataflow.importers.onnx_operators import BINARY, KEPT, KNOWN, LINEAR, MASKED, NORMS, REDUCING
from dataflow.importers.onnx_windows import read_windows
from dataflow.network import INPUT, Add, BatchNorm, GlobalPool, Layer, Linear, Network, Relu, Weighted
from dataflow.rearrange import Concat, Gap, Reshape, Slice, Transpose
from dataflow.tokens import Activation, LayerNorm, MatMul, Softmax
from hw.errors import InputError


def read_onnx(path: Path, *, skip_unknown: bool = False) -> Imported:
    """The network of an ONNX file.

    Raises
    ------
    InputError
        Naming the node and what is allowed.
    """
    graph = read_graph(path)
    unknown = Counter(node.op_type for node in graph.nodes if node.op_type not in KNOWN)
    if unknown and not skip_unknown:
        node = next(node for node in graph.nodes if node.op_type in unknown)
        raise InputError(
            f"{graph.name}: {_where(node)}: operator {node.op_type} is not known; known are {', '.join(KNOWN)};"
            " --skip-unknown counts others as no work"
        )
    if unknown:
        graph = read_graph(path, assume=frozenset(unknown))
    reader = _Reader(graph)
    reader.run()
    notes = tuple(
        f"{graph.name}: {count} node{'s' if count > 1 else ''} of unknown operator {name} counted as no work"
        for name, count in sorted(unknown.items())
    )
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in path.stem)
    layers, shape = reader.layers, reader.input_shape
    return Imported(Network(name=name, input_shape=shape, layers=tuple(layers)), (*reader.notes, *notes))


class _Reader:
    """Walks the nodes; `names` says which layer holds a tensor, and whether channels are its last axis."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.layers: list[Layer] = []
        self.notes: list[str] = []
        self.input_shape = graph.sample_shape(graph.input)
        self.names: dict[str, tuple[str, bool]] = {graph.input: (INPUT, False)}
        if len(self.input_shape) >= 3:  # an image: channels last from the start
            self.input_shape = (*self.input_shape[1:], self.input_shape[0])
            self.names[graph.input] = (INPUT, True)
        self.taken: Counter[str] = Counter()

    def run(self) -> None:
        """All nodes that something still needs."""
        for node in self._needed():
            where = f"{self.graph.name}: {_where(node)}"
            for name in (*node.output[:1], *(n for n in node.input if n)):
                if name not in self.graph.shapes and name not in self.graph.constants:
                    raise InputError(f"{where}: the shape of {name!r} is not known")
            try:
                self._node(where, node)
            except (KeyError, IndexError, AttributeError, TypeError, ValueError) as error:
                if isinstance(error, InputError):
                    raise
                raise InputError(f"{where}: {node.op_type} is not as the standard has it: {error}") from None
        if not any(isinstance(layer, Weighted | MatMul) for layer in self.layers):
            raise InputError(f"{self.graph.name}: no node is a matrix product; allowed: Conv, Gemm, MatMul")

    def _needed(self) -> list[onnx.NodeProto]:
        """Nodes on the way to an output."""
        wanted = {output.name for output in self.graph.model.graph.output}
        needed = []
        for node in reversed(self.graph.nodes):
            if wanted & set(node.output):
                needed.append(node)
                wanted |= set(node.input)
        return needed[::-1]

    def _node(self, where: str, node: onnx.NodeProto) -> None:
        kind = node.op_type
        handlers: dict[str, Callable[[str, onnx.NodeProto], None]] = {
            "Conv": self._conv, "Gemm": self._gemm, "MatMul": self._matmul, "BatchNormalization": self._batch_norm,
            "GlobalAveragePool": self._global_pool, "GlobalMaxPool": self._global_pool,
            "Softmax": self._softmax, "LogSoftmax": self._softmax, "Sum": self._sum, "Concat": self._concat,
            "Transpose": self._transpose, "Slice": self._slice, "Split": self._split,
        }  # fmt: skip
        handlers |= dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), self._pool) | dict.fromkeys(NORMS, self._norm)
        handlers |= dict.fromkeys(REDUCING, self._reduce) | dict.fromkeys(BINARY, self._binary)
        if kind in handlers:
            handlers[kind](where, node)
        elif kind in MASKED:
            self._same(node, Relu)
        elif kind in KEPT:
            self._same(node, Activation, kind=kind.lower())
        elif kind in LINEAR:
            self._same(node, Affine, kind=kind.lower())
        else:
            self._gap(node)

    def _conv(self, where: str, node: onnx.NodeProto) -> None:
        attributes, weight = _attributes(node), self._weight(where, node, 1)
        source = self._image(where, node, node.input[0])
        sizes = self.graph.shapes[node.input[0]][2:]
        if len(weight) != len(sizes) + 2:
            raise InputError(f"{where}: weights must have {len(sizes) + 2} axes, not shape {weight}")
        groups = attributes.get("group", 1)
        channels = self.graph.shapes[node.input[0]][1]
        if groups < 1 or weight[1] * groups != channels:
            raise InputError(f"{where}: {groups} groups of {weight[1]} input channels are not the input's {channels}")
        axes = read_windows(where, attributes, weight[2:], sizes)
        bias = len(node.input) > 2 and bool(node.input[2])
        self._add(node, AxisConv, (source,), image=True, out_channels=weight[0], axes=axes, groups=groups, bias=bias)

    def _gemm(self, where: str, node: onnx.NodeProto) -> None:
        attributes = _attributes(node)
        if node.input[1] not in self.graph.constants:
            self._product(where, node, transposed=bool(attributes.get("transB", 0)))
            return
        if attributes.get("transA", 0):
            raise InputError(f"{where}: transA must be 0 where the first operand is an activation, not {attributes['transA']}")
        weight = self._weight(where, node, 1)
        outputs = weight[0] if attributes.get("transB", 0) else weight[1]
        bias = len(node.input) > 2 and bool(node.input[2])
        self._add(node, Linear, (self._plain(node.input[0]),), out_features=outputs, bias=bias)

    def _matmul(self, where: str, node: onnx.NodeProto) -> None:
        left, right = (name in self.graph.constants for name in node.input[:2])
        if not left and not right:
            self._product(where, node, transposed=False)
        elif right:
            weight = self._weight(where, node, 1)
            if len(weight) != 2:
                raise InputError(f"{where}: a constant operand must have 2 axes, not shape {weight}")
            self._add(node, Linear, (self._plain(node.input[0]),), out_features=weight[1], bias=False)
        else:
            self._left_constant(where, node)

    def _left_constant(self, where: str, node: onnx.NodeProto) -> None:
        """``W x`` as ``(x^T W^T)^T``: the views cost nothing."""
        weight, name = self._weight(where, node, 0), self._name(node)
        shape = self.graph.sample_shape(node.input[1])
        if len(weight) != 2 or len(shape) < 2:
            raise InputError(f"{where}: a constant operand must have 2 axes, not shape {weight}")
        turned = (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2)
        self.layers += [
            Transpose(name=f"{name}.turned", inputs=(self._plain(node.input[1]),), axes=turned),
            Linear(name=name, inputs=(f"{name}.turned",), out_features=weight[0], bias=False),
            Transpose(name=f"{name}.back", inputs=(name,), axes=turned),
        ]
        self.names[node.output[0]] = (f"{name}.back", False)

    def _product(self, where: str, node: onnx.NodeProto, *, transposed: bool) -> None:
        """Two activations; axes of one entry are repeated by reading again."""
        left, right = (self.graph.sample_shape(name) for name in node.input[:2])
        result = self.graph.sample_shape(node.output[0])
        if len(left) < 2 or len(right) < 2:
            raise InputError(f"{where}: a product of two activations needs at least two axes a sample, not {left} and {right}")
        sources = []
        for name, shape in zip(node.input[:2], (left, right), strict=True):
            source = self._plain(name)
            if shape[:-2] != result[:-2]:
                whole = (*result[:-2], *shape[-2:])
                self.layers.append(Gap(name=f"{self._name(node)}.repeated", inputs=(source,), shape=whole))
                source = self.layers[-1].name
            sources.append(source)
        self._add(node, MatMul, tuple(sources), transposed=transposed)

    def _batch_norm(self, where: str, node: onnx.NodeProto) -> None:
        image = len(self.graph.shapes[node.input[0]]) > 2
        source = self._image(where, node, node.input[0]) if image else self._plain(node.input[0])
        self._add(node, BatchNorm, (source,), image=image)

    def _norm(self, where: str, node: onnx.NodeProto) -> None:
        self._same(node, LayerNorm)

    def _softmax(self, where: str, node: onnx.NodeProto) -> None:
        self._same(node, Softmax)

    def _pool(self, where: str, node: onnx.NodeProto) -> None:
        attributes = _attributes(node)
        axes = read_windows(where, attributes, tuple(attributes["kernel_shape"]), self.graph.shapes[node.input[0]][2:])
        kind, ceil = "max" if node.op_type == "MaxPool" else "mean", bool(attributes.get("ceil_mode", 0))
        self._add(node, AxisPool, (self._image(where, node, node.input[0]),), image=True, axes=axes, kind=kind, ceil=ceil)

    def _global_pool(self, where: str, node: onnx.NodeProto) -> None:
        source = self._image(where, node, node.input[0])
        kind = "max" if node.op_type == "GlobalMaxPool" else "mean"
        self._add(node, GlobalPool, (source,), kind=kind)
        name, (*pixels, channels) = self.layers[-1].name, self._nhwc(node.output[0])
        self.layers.append(Reshape(name=f"{name}.pixel", inputs=(name,), shape=(*pixels, channels)))
        self.names[node.output[0]] = (f"{name}.pixel", True)

    def _reduce(self, where: str, node: onnx.NodeProto) -> None:
        shape = self.graph.sample_shape(node.output[0])
        self._add(node, Reduce, (self._plain(node.input[0]),), shape=shape, kind=node.op_type)

    def _sum(self, where: str, node: onnx.NodeProto) -> None:
        first, *rest = [name for name in node.input if name not in self.graph.constants]
        held = self.names[first]
        for name in rest:
            layer = Add(name=self._name(node), inputs=(held[0], self._like(name, image=held[1])))
            self.layers.append(layer)
            held = (layer.name, held[1])
        self.names[node.output[0]] = held

    def _binary(self, where: str, node: onnx.NodeProto) -> None:
        """With a constant, or of two activations."""
        what = BINARY[node.op_type]
        moving = [name for name in node.input[:2] if name not in self.graph.constants]
        if len(moving) == 1:
            constant = next(name for name in node.input[:2] if name in self.graph.constants)
            size = prod(self.graph.shapes.get(constant, ()))
            learned = size if size > 1 and constant in {t.name for t in self.graph.model.graph.initializer} else 0
            shape = self.graph.sample_shape(node.output[0])
            if prod(shape) != prod(self.graph.sample_shape(moving[0])):
                self._add(node, Reduce, (self._plain(moving[0]),), shape=shape, kind=f"{what} a constant", size=learned)
            elif what in ("power", "maximum", "minimum"):
                self._same(node, Activation, source=moving[0], kind=f"{what} of a constant")
            else:
                self._same(node, Affine, source=moving[0], kind=f"{what} a constant", size=learned)
            return
        shapes = [self.graph.sample_shape(name) for name in moving]
        image = len(shapes[0]) == len(shapes[1]) and any(self.names[name][1] for name in moving)
        sources = tuple(self._like(name, image=image) for name in moving)
        if shapes[0] == shapes[1] and what in ("add", "subtract"):
            self._add(node, Add, sources, image=image)
        else:
            self._add(node, Combine, sources, image=image, kind=what)

    def _concat(self, where: str, node: onnx.NodeProto) -> None:
        moving = [name for name in node.input if name not in self.graph.constants]
        shapes = [self.graph.sample_shape(name) for name in node.input]
        axis = _attributes(node)["axis"] % len(self.graph.shapes[node.output[0]]) - 1
        if len(moving) < len(node.input) or axis < 0 or any(len(shape) != len(shapes[0]) for shape in shapes):
            self._gap(node, moving[0])
            return
        image = all(self.names[name][1] for name in moving)
        axis = (len(shapes[0]) - 1 if axis == 0 else axis - 1) if image else axis
        self._add(node, Concat, tuple(self._like(name, image=image) for name in moving), image=image, axis=axis)

    def _transpose(self, where: str, node: onnx.NodeProto) -> None:
        rank = len(self.graph.shapes[node.input[0]])
        axes = tuple(_attributes(node).get("perm") or reversed(range(rank)))
        source = self._plain(node.input[0])
        if axes[0] == 0 and len(self.graph.sample_shape(node.input[0])) == rank - 1:
            self._add(node, Transpose, (source,), axes=tuple(axis - 1 for axis in axes[1:]))
        else:
            self._add(node, Reshape, (source,), shape=self.graph.sample_shape(node.output[0]))

    def _slice(self, where: str, node: onnx.NodeProto) -> None:
        self._gap(node)

    def _split(self, where: str, node: onnx.NodeProto) -> None:
        """Each output is a slice."""
        rank = len(self.graph.shapes[node.input[0]])
        axis = _attributes(node).get("axis", 0) % rank - 1
        source, start = self._plain(node.input[0]), 0
        for output in node.output:
            size = self.graph.shapes[output][axis + 1]
            layer = Slice(name=self._name(node), inputs=(source,), axis=axis, start=start, size=size)
            self.layers.append(layer)
            self.names[output] = (layer.name, False)
            start += size

    def _gap(self, node: onnx.NodeProto, source: str = "") -> None:
        """A view, or nothing that is counted."""
        moving = source or next(name for name in node.input if name in self.names)
        shape = self.graph.sample_shape(node.output[0])
        same = prod(shape) == prod(self.graph.sample_shape(moving))
        self._add(node, Reshape if same else Gap, (self._plain(moving),), shape=shape)

    def _same(self, node: onnx.NodeProto, layer: type[Layer], *, source: str = "", **fields: Any) -> None:  # noqa: ANN401
        """Element by element, in whichever order of axes the input has."""
        name, image = self.names[source or node.input[0]]
        self._add(node, layer, (name,), image=image, **fields)

    def _add(
        self,
        node: onnx.NodeProto,
        layer: type[Layer],
        sources: tuple[str, ...],
        *,
        image: bool = False,
        **fields: Any,  # noqa: ANN401 (what the layer takes)
    ) -> None:
        self.layers.append(layer(name=self._name(node), inputs=sources, **fields))
        self.names[node.output[0]] = (self.layers[-1].name, image)

    def _like(self, tensor: str, *, image: bool) -> str:
        """The layer that holds `tensor` with channels last, or not."""
        name, last = self.names[tensor]
        if last == image:
            return name
        shape = self._nhwc(tensor) if image else self.graph.sample_shape(tensor)
        view = Reshape(name=f"{name}.{'image' if image else 'plain'}{self._count(name)}", inputs=(name,), shape=shape)
        self.layers.append(view)
        self.names[tensor] = (view.name, image)
        return view.name

    def _plain(self, tensor: str) -> str:
        return self._like(tensor, image=False)

    def _image(self, where: str, node: onnx.NodeProto, tensor: str) -> str:
        if len(self.graph.shapes[tensor]) < 3:
            raise InputError(
                f"{where}: {node.op_type} needs (batch, channels, *spatial), not shape {self.graph.shapes[tensor]}"
            )
        return self._like(tensor, image=True)

    def _nhwc(self, tensor: str) -> Shape:
        channels, *spatial = self.graph.shapes[tensor][1:]
        return (*spatial, channels)

    def _weight(self, where: str, node: onnx.NodeProto, place: int) -> Shape:
        name = node.input[place]
        if name not in self.graph.constants:
            raise InputError(f"{where}: {name!r} must be a constant")
        return self.graph.shapes[name]

    def _name(self, node: onnx.NodeProto) -> str:
        base = node.name.strip("/").replace("/", ".") or node.output[0].strip("/").replace("/", ".") or node.op_type
        return f"{base}{self._count(base)}"

    def _count(self, base: str) -> str:
        """Nothing for the first of a name, then numbers."""
        self.taken[base] += 1
        return "" if self.taken[base] == 1 else f".{self.taken[base]}"


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def _where(node: onnx.NodeProto) -> str:
    return f"node {node.name!r}" if node.name else f"{node.op_type} that makes {node.output[0]!r}"
