"""What is known while an ONNX graph is read: the layers so far, and which of them holds each tensor.

Images are (H, W, C) here and (C, H, W) there: a view between the two costs nothing.
"""

from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from math import prod
from typing import Any

import onnx

from dataflow.importers.onnx_graph import Graph, Shape
from dataflow.network import INPUT, Layer
from dataflow.rearrange import Gap, Reshape
from hw.errors import InputError

WEIGHTED = frozenset({
    "Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", "LSTM", "GRU", "RNN", "ConvInteger", "MatMulInteger", "QLinearConv",
    "QLinearMatMul",
})  # fmt: skip
"""Products, which count their own weights."""


MOST_NAME = 120
"""Characters of a node's name that its layers take over."""


@dataclass(frozen=True)
class Node:
    """An ONNX node: inputs that are left out are empty names; `where` says which one it is, for messages."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    where: str
    name: str

    @classmethod
    def of(cls, file: str, node: onnx.NodeProto) -> "Node":
        """The node of a file; one without a name is known by what it makes."""
        said = f"node {node.name!r}" if node.name else f"{node.op_type} that makes {node.output[0]!r}"
        return cls(
            kind=node.op_type,
            inputs=tuple(node.input),
            outputs=tuple(node.output),
            attributes={a.name: onnx.helper.get_attribute_value(a) for a in node.attribute},
            where=f"{file}: {said}",
            name=short((node.name or node.output[0]).strip("/").replace("/", ".") or node.op_type),
        )

    @property
    def output(self) -> str:
        """The first one."""
        return self.outputs[0]

    def get(self, name: str, default: Any) -> Any:  # noqa: ANN401 (attributes are of many types)
        """An attribute, or what the standard takes in its place."""
        return self.attributes.get(name, default)

    def has(self, place: int) -> bool:
        """Whether the input at `place` is given."""
        return len(self.inputs) > place and bool(self.inputs[place])


def short(name: str) -> str:
    """A name that leaves room for parts: of a longer one, as converters join many to one, the start and what tells it apart."""
    return name if len(name) <= MOST_NAME else f"{name[: MOST_NAME - 9]}~{sha256(name.encode()).hexdigest()[:8]}"


class Reader:
    """Gathers layers.

    Attributes
    ----------
    layers : list of Layer
        In order.
    names : dict of str to (str, bool)
        The layer that holds a tensor, and whether channels are its last axis although the file has them first.
    input_shape : tuple of int
        Of one sample.
    notes : Counter of str
        What of the file is not taken at its word, and how many nodes each concerns.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.layers: list[Layer] = []
        self.taken: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.counted = {graph.origin.get(name, name) for node in graph.nodes if node.op_type in WEIGHTED for name in node.input}
        shape = self.sample(graph.input)
        image = len(shape) >= 3
        self.input_shape = (*shape[1:], shape[0]) if image else shape
        self.names: dict[str, tuple[str, bool]] = {graph.input: (INPUT, image)}
        for name in graph.more_inputs:  # their values are not counted as read
            self.layers.append(Gap(name=self.fresh(name), inputs=(INPUT,), shape=self.sample(name)))
            self.names[name] = (self.layers[-1].name, False)

    def shape(self, tensor: str) -> Shape:
        """With the batch."""
        return self.graph.shapes[tensor]

    def sample(self, tensor: str) -> Shape:
        """Shape of one sample."""
        return self.graph.sample_shape(tensor)

    def constant(self, tensor: str) -> bool:
        """Whether `tensor` does not depend on the input."""
        return tensor in self.graph.constants

    def is_counted(self, tensor: str) -> bool:
        """Whether a product, or a layer that called this before, has the learned numbers of `tensor`."""
        origin = self.graph.origin.get(tensor, tensor)
        counted = origin in self.counted
        self.counted.add(origin)
        return counted

    def moving(self, node: Node) -> list[str]:
        """Inputs of `node` that depend on the network's."""
        return [name for name in node.inputs if name in self.names]

    def weight(self, node: Node, place: int) -> Shape:
        """Shape of an input that must be a constant."""
        name = node.inputs[place]
        if not self.constant(name):
            raise InputError(f"{node.where}: {name!r} must be a constant")
        return self.shape(name)

    def add(
        self,
        node: Node,
        layer: type[Layer],
        sources: tuple[str, ...],
        *,
        image: bool = False,
        part: str = "",
        output: str = "",
        **fields: Any,  # noqa: ANN401 (what the layer takes)
    ) -> str:
        """The layer that makes `output`, by default the node's first, or a `part` of the work that does."""
        name = self.fresh(f"{node.name}.{part}" if part else node.name)
        self.layers.append(layer(name=name, inputs=sources, **fields))
        self.names[output or node.outputs[0]] = (self.layers[-1].name, image)
        return self.layers[-1].name

    def same(self, node: Node, layer: type[Layer], *, source: str = "", **fields: Any) -> None:  # noqa: ANN401
        """Element by element, in whichever order of axes the input has."""
        name, image = self.names[source or node.inputs[0]]
        self.add(node, layer, (name,), image=image, **fields)

    def view(self, node: Node, source: str = "") -> None:
        """Other axes of the same elements, or nothing that is counted; what depends on no input stands beside the first."""
        moving = source or next(iter(self.moving(node)), self.graph.input)
        shape = self.sample(node.outputs[0])
        same = prod(shape) == prod(self.sample(moving))
        self.add(node, Reshape if same else Gap, (self.plain(moving),), shape=shape)

    def like(self, tensor: str, *, image: bool) -> str:
        """The layer that holds `tensor` with channels last, or not."""
        name, last = self.names[tensor]
        if last == image:
            return name
        shape = self.nhwc(tensor) if image else self.sample(tensor)
        if image and prod(shape) != prod(self.sample(tensor)):
            raise InputError(
                f"{self.graph.name}: the first axis of {tensor!r} is not the batch, which is {self.graph.batch}; where the"
                f" first axis of an input is no batch, make it 1 by --input-shape {self.graph.input}=1,..."
            )
        view = Reshape(name=self.fresh(f"{name}.{'image' if image else 'plain'}"), inputs=(name,), shape=shape)
        self.layers.append(view)
        self.names[tensor] = (view.name, image)
        return view.name

    def plain(self, tensor: str) -> str:
        """The layer that holds `tensor` with the file's axes."""
        return self.like(tensor, image=False)

    def image(self, node: Node, tensor: str) -> str:
        """The layer that holds `tensor` with channels last."""
        if len(self.shape(tensor)) < 3:
            raise InputError(f"{node.where}: {node.kind} needs (batch, channels, *spatial), not shape {self.shape(tensor)}")
        return self.like(tensor, image=True)

    def nhwc(self, tensor: str) -> Shape:
        """Shape of a sample with channels last."""
        channels, *spatial = self.shape(tensor)[1:]
        return (*spatial, channels)

    def fresh(self, base: str) -> str:
        """`base`, with a number from the second on."""
        self.taken[base] += 1
        return base if self.taken[base] == 1 else self.fresh(f"{base}.{self.taken[base]}")
