"""Forward half of a step: products, and between them as few passes of the vector unit as the network allows.

::

    conv ──drain──> [convert, statistics] ──memory──> [normalise, add, relu] ──memory──> conv ...
           (fused)        one write                    one read, one write

Batch norm splits a chain because its statistics need the whole batch; everything element-wise joins the pass before it.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

from dataflow.network import INPUT, Add, BatchNorm, Flatten, GlobalPool, Layer, MaxPool, Relu, Weighted
from dataflow.passes import Pass
from dataflow.program import Product, Stage, Update
from dataflow.sizes import Sizes
from hw.errors import InputError

Step = Product | Pass | Update


class Forward:
    """Walks the layers in order and appends to `steps`.

    Attributes
    ----------
    tensors : dict of str to str
        The memory tensor that holds each layer's output.
    """

    def __init__(self, sizes: Sizes, steps: list[Step], product: Callable[[Weighted], Product]) -> None:
        self.sizes = sizes
        self.steps = steps
        self.product = product
        self.tensors = {INPUT: INPUT}
        self.passes: dict[str, Pass] = {}
        self.consumers = Counter(name for layer in sizes.network.layers for name in layer.inputs)

    def run(self) -> None:
        """All layers."""
        rules: dict[type[Layer], Callable[[Any], None]] = {
            Relu: self._relu,
            BatchNorm: self._batch_norm,
            Add: self._add,
            MaxPool: self._max_pool,
            GlobalPool: self._global_pool,
            Flatten: self._flatten,
        }
        for layer in self.sizes.network.layers:
            if isinstance(layer, Weighted):
                self._weighted(layer)
            elif type(layer) in rules:
                rules[type(layer)](layer)
            else:
                raise InputError(f"layer {layer.name!r}: {type(layer).__name__} cannot be scheduled")

    def _weighted(self, layer: Weighted) -> None:
        self.steps.append(self.product(layer))
        self._begin(layer, layer.name, ["bias", "convert"] if layer.bias else ["convert"], fused=True)

    def _relu(self, layer: Relu) -> None:
        self._elementwise(layer, "relu").write(f"{layer.name}.mask", self.sizes.mask_bytes(layer.name))

    def _batch_norm(self, layer: BatchNorm) -> None:
        source = layer.inputs[0]
        producer = self.passes.get(source)
        if producer is None:
            producer = Pass(
                layer=layer.name,
                stage=Stage.FORWARD,
                fused=False,
                elements=self.sizes.elements(source),
                what=[],
                tensor=f"{layer.name}.statistics",
            ).read(self.tensors[source], self.sizes.bytes(source))
            self.steps.append(producer)
        producer.join("statistics")
        self._begin(layer, source, ["normalise"]).read(self.tensors[source], self.sizes.bytes(source))

    def _add(self, layer: Add) -> None:
        joinable = [name for name in layer.inputs if self._open(name) is not None]
        last = max(joinable, key=lambda name: self.steps.index(self.passes[name]), default=None)
        others = [name for name in layer.inputs if name != last]
        if last is not None and all(self._stands_before(name, last) for name in others):
            step = self._elementwise(layer, "add", last)
        else:
            step, others = self._begin(layer, layer.name, ["add"]), list(layer.inputs)
        for name in others:
            step.read(self.tensors[name], self.sizes.bytes(name))

    def _max_pool(self, layer: MaxPool) -> None:
        source = layer.inputs[0]
        step = self._begin(layer, source, ["maximum of windows"]).read(self.tensors[source], self.sizes.bytes(source))
        step.write(f"{layer.name}.index", self.sizes.index_bytes(layer.name))
        step.joinable = False

    def _global_pool(self, layer: GlobalPool) -> None:
        source = layer.inputs[0]
        step = self.passes.get(source)
        if step is None:
            step = self._begin(layer, source, [f"global {layer.kind}"]).read(self.tensors[source], self.sizes.bytes(source))
            step.joinable = False
            return
        step.join(f"global {layer.kind}").write(f"{layer.name}.output", self.sizes.bytes(layer.name))
        self.tensors[layer.name] = f"{layer.name}.output"

    def _flatten(self, layer: Flatten) -> None:
        self.tensors[layer.name] = self.tensors[layer.inputs[0]]

    def _elementwise(self, layer: Layer, what: str, source: str | None = None) -> Pass:
        """Join the pass that makes `source`, or begin one where somebody else needs that value as it is."""
        source = source or layer.inputs[0]
        step = self._open(source)
        if step is None:
            return self._begin(layer, layer.name, [what]).read(self.tensors[source], self.sizes.bytes(source))
        step.join(what, tensor=f"{layer.name}.output")
        self.passes[layer.name] = step
        self.tensors[layer.name] = step.tensor
        return step

    def _begin(self, layer: Layer, counted: str, what: list[str], *, fused: bool = False) -> Pass:
        """A new pass for `layer`, over as many elements as the output of `counted` has."""
        step = Pass(
            layer=layer.name,
            stage=Stage.FORWARD,
            fused=fused,
            elements=self.sizes.elements(counted),
            what=what,
            tensor=f"{layer.name}.output",
            write_bytes=self.sizes.bytes(layer.name),
        )
        self.steps.append(step)
        self.passes[layer.name] = step
        self.tensors[layer.name] = step.tensor
        return step

    def _open(self, name: str) -> Pass | None:
        """The pass that makes `name`, if element-wise work may join it."""
        step = self.passes.get(name)
        return step if step is not None and step.joinable and self.consumers[name] == 1 else None

    def _stands_before(self, name: str, other: str) -> bool:
        """Whether `name` is in memory by the time that the pass of `other` runs."""
        step = self.passes.get(name)
        return step is None or self.steps.index(step) < self.steps.index(self.passes[other])
