"""Forward half of a step: products, and between them as few passes of the vector unit as the network allows.

::

    conv ──drain──> [convert, statistics] ──memory──> [normalise, add, relu] ──memory──> conv ...
           (fused)        one write                    one read, one write

Batch norm splits a chain because its statistics need the whole batch, layer norm because a row of features leaves the array
in several tiles; everything element-wise joins the pass before it, and so does softmax where a tile holds whole rows.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

from dataflow.axes import Affine, AxisPool, Combine, Lookup, Reduce
from dataflow.network import INPUT, Add, BatchNorm, Flatten, GlobalPool, Layer, MaxPool, Relu, Weighted
from dataflow.passes import Pass
from dataflow.program import Product, Stage, Update
from dataflow.rearrange import Concat, Gap, Reshape, Slice, Transpose
from dataflow.sizes import Sizes
from dataflow.tokens import Activation, Embed, LayerNorm, MatMul, Select, Softmax
from hw.errors import InputError

Step = Product | Pass | Update


class Forward:
    """Walks the layers in order and appends to `steps`.

    Attributes
    ----------
    tensors : dict of str to str
        The memory tensor that holds each layer's output.
    """

    def __init__(self, sizes: Sizes, steps: list[Step], product: Callable[[Weighted | MatMul], Product]) -> None:
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
            Activation: self._activation,
            BatchNorm: self._normalise,
            LayerNorm: self._normalise,
            Softmax: self._softmax,
            Add: self._add,
            Combine: self._add,
            MaxPool: self._pool,
            AxisPool: self._pool,
            GlobalPool: self._global_pool,
            Reduce: self._global_pool,
            Lookup: self._lookup,
            Affine: self._affine,
            Embed: self._embed,
            Concat: self._concat,
            **dict.fromkeys((Flatten, Reshape, Transpose, Slice, Select, Gap), self._view),
        }
        for layer in self.sizes.network.layers:
            if isinstance(layer, Weighted | MatMul):
                self._product(layer)
            elif type(layer) in rules:
                rules[type(layer)](layer)
            else:
                raise InputError(f"layer {layer.name!r}: {type(layer).__name__} cannot be scheduled")

    def _product(self, layer: Weighted | MatMul) -> None:
        self.steps.append(self.product(layer))
        bias = isinstance(layer, Weighted) and layer.bias
        self._begin(layer, layer.name, ["bias", "convert"] if bias else ["convert"], fused=True)

    def _relu(self, layer: Relu) -> None:
        self._elementwise(layer, "relu").write(f"{layer.name}.mask", self.sizes.mask_bytes(layer.name))

    def _activation(self, layer: Activation) -> None:
        self._elementwise(layer, layer.kind).write(f"{layer.name}.kept", self.sizes.bytes(layer.name))

    def _affine(self, layer: Affine) -> None:
        self._elementwise(layer, layer.kind)

    def _softmax(self, layer: Softmax) -> None:
        step = self._open(layer.inputs[0])
        if step is not None and self._whole_rows(step):
            self._elementwise(layer, "softmax")
        else:
            self._normalise(layer)

    def _whole_rows(self, step: Pass) -> bool:
        """Whether the pass gets whole rows from the array, all columns of the product being in one tile."""
        product = self.steps[self.steps.index(step) - 1]
        if not step.fused or not isinstance(product, Product) or product.layer != step.layer:
            return False
        return product.n <= self.sizes.config.columns * product.interleave[1]

    def _normalise(self, layer: BatchNorm | LayerNorm | Softmax) -> None:
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

    def _add(self, layer: Add | Combine) -> None:
        what = layer.kind if isinstance(layer, Combine) else "add"
        joinable = [name for name in layer.inputs if self._open(name) is not None]
        whole = [name for name in joinable if self.sizes.elements(name) == self.sizes.elements(layer.name)]
        last = max(whole, key=lambda name: self.steps.index(self.passes[name]), default=None)
        others = [name for name in layer.inputs if name != last]
        if last is not None and all(self._stands_before(name, last) for name in others):
            step = self._elementwise(layer, what, last)
        else:
            step, others = self._begin(layer, layer.name, [what]), list(layer.inputs)
        for name in others:
            step.read(self.tensors[name], self.sizes.bytes(name))

    def _pool(self, layer: MaxPool | AxisPool) -> None:
        source = layer.inputs[0]
        largest = isinstance(layer, MaxPool) or layer.kind == "max"
        step = self._begin(layer, source, ["maximum of windows" if largest else "mean of windows"])
        step.read(self.tensors[source], self.sizes.bytes(source))
        if largest:
            step.write(f"{layer.name}.index", self.sizes.index_bytes(layer.name))
        step.joinable = False

    def _global_pool(self, layer: GlobalPool | Reduce) -> None:
        source = layer.inputs[0]
        what = f"global {layer.kind}" if isinstance(layer, GlobalPool) else layer.kind
        step = self.passes.get(source)
        if step is None:
            step = self._begin(layer, source, [what]).read(self.tensors[source], self.sizes.bytes(source))
            step.joinable = False
            return
        step.join(what).write(f"{layer.name}.output", self.sizes.bytes(layer.name))
        self.tensors[layer.name] = f"{layer.name}.output"

    def _lookup(self, layer: Lookup) -> None:
        """Rows are read from the table and written as they are."""
        step = self._begin(layer, layer.name, ["look up"])
        step.read(f"{layer.name}.table", self.sizes.bytes(layer.name))

    def _embed(self, layer: Embed) -> None:
        grown = self.sizes.bytes(layer.name) - self.sizes.bytes(layer.inputs[0])
        self._elementwise(layer, "embed").write(f"{layer.name}.class_tokens", grown)

    def _concat(self, layer: Concat) -> None:
        """No work: a command that is done when all parts are in their places."""
        step = self._begin(layer, layer.name, ["parts in place"])
        step.elements = step.write_bytes = 0
        step.joinable = False
        for name in layer.inputs:
            step.read(self.tensors[name], 0)
        del self.passes[layer.name]

    def _view(self, layer: Layer) -> None:
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
