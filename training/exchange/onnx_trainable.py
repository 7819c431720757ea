"""What is known while an ONNX file is read as a network that trains: layers, weights, and which layer holds each tensor."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from dataflow.importers.onnx_constants import values_of
from dataflow.importers.onnx_graph import Graph, compute
from dataflow.importers.onnx_reader import Node
from dataflow.network import Layer, Shape
from dataflow.rearrange import Reshape, Transpose
from hw.errors import InputError
from training.exchange.onnx_view import Axes, View

Weights = dict[str, NDArray[np.float32]]


class Constants(Mapping[str, NDArray[Any]]):
    """Values of the tensors that depend on no input, computed when they are asked for.

    Parameters
    ----------
    model : ModelProto
        With its weights.
    graph : Graph
        The same file, which says what is constant.
    """

    def __init__(self, model: onnx.ModelProto, graph: Graph) -> None:
        self._model, self._graph = model, graph
        self._known = {tensor.name: tensor for tensor in model.graph.initializer}
        self._makers = {name: node for node in model.graph.node for name in node.output}
        self._values: dict[str, NDArray[Any]] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._graph.constants

    def __iter__(self) -> Iterator[str]:
        return iter(self._graph.constants)

    def __len__(self) -> int:
        return len(self._graph.constants)

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._values:
            folded = self._graph.constants[name]
            self._values[name] = folded if folded is not None else self._computed(name)
        return self._values[name]

    def _computed(self, name: str) -> NDArray[Any]:
        if name in self._known:
            return values_of(self._graph.name, self._known[name])
        node = self._makers[name]
        results = compute(self._model, node, {one: self[one] for one in node.input if one})
        if results is None:
            raise InputError(f"{Node.of(self._graph.name, node).where}: what makes the constant {name!r} cannot be computed")
        return dict(zip(filter(None, node.output), results, strict=True))[name]


def name_of(tensor: str) -> str:
    """Of the layer that makes a tensor."""
    return tensor.strip("/").replace("/", ".")


@dataclass
class Trainable:
    """What was read so far.

    Parameters
    ----------
    graph : Graph
        The nodes that do work, and shapes with the batch.
    constants : Constants
        The file's tensors that depend on no input.
    held : dict of str to View
        Tensors as they look at layers.
    shapes : dict
        Of layers, per sample.
    factors : dict
        By tensor: what its layer's elements are yet to be multiplied by, which the next product does.
    class_tokens : dict
        By tensor: the class token in front of its layer's rows, which are tokens as soon as positions are added.
    """

    graph: Graph
    constants: Constants
    held: dict[str, View]
    shapes: dict[str, Shape]
    factors: dict[str, float] = field(default_factory=dict)
    class_tokens: dict[str, NDArray[Any]] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    weights: Weights = field(default_factory=dict)
    _turned: dict[View, str] = field(default_factory=dict)

    def layer(self, layer: type[Layer], name: str, sources: tuple[str, ...], **fields: Any) -> View:  # noqa: ANN401
        """Append one; its samples behind the batch."""
        made = layer(name=name, inputs=sources, **fields)
        self.layers.append(made)
        self.shapes[name] = made.output_shape(*(self.shapes[source] for source in sources))
        return View.of(name, self.shapes[name], self.graph.batch)

    def add(
        self,
        node: Node,
        layer: type[Layer],
        sources: tuple[str, ...],
        *,
        image: bool = False,
        seen: Axes | None = None,
        output: str = "",
        **fields: Any,  # noqa: ANN401 (what the layer takes)
    ) -> str:
        """Append a layer that makes the node's output, by default its first.

        The file has it with the batch in front, channels behind that where it is an `image`; or as `seen`.
        """
        output = output or node.output
        view = self.layer(layer, name_of(output), sources, **fields)
        if image:
            view = view.transposed((0, len(view.axes) - 1, *range(1, len(view.axes) - 1)))
        self.held[output] = View(view.layer, seen) if seen else view
        return view.layer

    def learn(self, layer: str, **arrays: NDArray[Any]) -> None:
        """Parameters and statistics of a layer, by our names."""
        self.weights |= {f"{layer}.{kind}": np.ascontiguousarray(array, np.float32) for kind, array in arrays.items()}

    def constant(self, node: Node, place: int) -> NDArray[Any]:
        """An input that must be a constant."""
        name = node.inputs[place] if place < len(node.inputs) else ""
        if name not in self.constants:
            raise InputError(f"{node.where}: input {place} must be a constant")
        return self.constants[name]

    def moving(self, node: Node) -> list[str]:
        """Inputs that depend on the network's."""
        return [name for name in node.inputs if name and name not in self.constants]

    def in_order(self, view: View) -> View:
        """The same of a layer that has a sample's axes in the tensor's order, which views in front of it make."""
        if view not in self._turned:
            name = view.layer
            for number, step in enumerate(view.steps(self.shapes[name])):
                made = f"{view.layer}.view{len(self._turned)}.{number}"
                if step[0] == "order":
                    name = self.layer(Transpose, made, (name,), axes=tuple(step[1])).layer
                else:
                    name = self.layer(Reshape, made, (name,), shape=step).layer
            self._turned[view] = name
        return view.of_runs(self._turned[view])

    def plain(self, node: Node, place: int = 0) -> str:
        """The layer of an input with the file's order of axes behind the batch, which must be the first."""
        view = self.held[node.inputs[place]]
        if not view.samples_first:
            raise InputError(f"{node.where}: the first axis of {node.inputs[place]!r} must be the batch")
        return self.in_order(view).layer

    def rows(self, node: Node, place: int = 0) -> View:
        """An input whose last axis is one of the sample's, wherever the batch is."""
        view = self.held[node.inputs[place]]
        if view.has_batch(-1):
            raise InputError(f"{node.where}: {node.kind} cannot be along the batch")
        return self.in_order(view)

    def image(self, node: Node) -> str:
        """The layer of the first input with channels last; it must be an image."""
        view = self.held[node.inputs[0]]
        if len(view.axes) != 4 or not view.samples_first:
            raise InputError(f"{node.where}: {node.kind} needs (batch, channels, rows, columns)")
        return self.in_order(view.transposed((0, 2, 3, 1))).layer

    def makes(self, layer: Layer, tensor: str) -> bool:
        """Whether a tensor is what a layer's node makes, and no view of it."""
        return layer.name == name_of(tensor)

    def pass_on(self, node: Node, view: View | None = None) -> None:
        """Let the node's output be what it reads, or a view of that."""
        source = node.inputs[0]
        self.held[node.output] = view or self.held[source]
        if source in self.factors:
            self.factors[node.output] = self.factors[source]

    def readers(self, tensor: str) -> int:
        """How many nodes read a tensor."""
        return sum(list(node.input).count(tensor) for node in self.graph.nodes)
