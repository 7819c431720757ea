"""Forward half of a step: products, and between them as few passes of the vector unit as the network allows.

::

    conv ──drain──> [convert, statistics] ──memory──> [normalise, add, relu] ──memory──> conv ...
           (fused)        one write                    one read, one write

Batch norm splits a chain because its statistics need the whole batch, layer norm because a row of features leaves the array
in several tiles; everything element-wise joins the pass before it, and so does softmax where a tile holds whole rows.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dataflow.axes import Affine, AxisPool, Combine, Lookup, Reduce
from dataflow.ir import operations as op
from dataflow.ir.program import Product, Stage, Update
from dataflow.ir.sizes import Sizes
from dataflow.lowering.passes import Pass
from dataflow.network import INPUT, Add, BatchNorm, Flatten, GlobalPool, Layer, MaxPool, Relu, Weighted
from dataflow.rearrange import Concat, Gap, Reshape, Slice, Transpose
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
            Gap: self._gap,
            **dict.fromkeys((Flatten, Reshape, Transpose, Slice, Select), self._view),
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
        step = self._begin(layer, layer.name, fused=True)
        if isinstance(layer, Weighted) and layer.bias:
            step.join(op.Bias(layer=layer.name))
        if isinstance(layer, MatMul) and layer.scale != 1:
            step.join(op.Scale(layer=layer.name, factor=layer.scale))
        step.join(op.Convert(layer=layer.name))

    def _relu(self, layer: Relu) -> None:
        self._elementwise(layer, op.Relu(layer=layer.name, mask=self.sizes.mask(layer.name)))

    def _activation(self, layer: Activation) -> None:
        self._elementwise(layer, op.Activate(layer=layer.name, kind=layer.kind, kept=self.sizes.kept(layer.name)))

    def _affine(self, layer: Affine) -> None:
        self._elementwise(layer, op.Map(layer=layer.name, kind=layer.kind))

    def _softmax(self, layer: Softmax) -> None:
        step = self._open(layer.inputs[0])
        if step is not None and self._whole_rows(step):
            self._elementwise(layer, op.Softmax(layer=layer.name))
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
                source=self._operand(source),
                target=op.Operand(f"{layer.name}.statistics", source, 0),
            )
            self.steps.append(producer)
        producer.join(op.Statistics(layer=layer.name))
        self._begin(layer, source, source).join(op.Normalise(layer=layer.name))

    def _add(self, layer: Add | Combine) -> None:
        joinable = [name for name in layer.inputs if self._open(name) is not None]
        whole = [name for name in joinable if self.sizes.elements(name) == self.sizes.elements(layer.name)]
        last = max(whole, key=lambda name: self.steps.index(self.passes[name]), default=None)
        others = [name for name in layer.inputs if name != last]
        if last is not None and all(self._stands_before(name, last) for name in others):
            self._elementwise(layer, self._with(layer, *others), last)
            return
        first, *others = layer.inputs
        step = self._begin(layer, layer.name, first)
        if isinstance(layer, Combine):
            step.join(self._with(layer, *others))
        else:
            step.join(*(self._with(layer, name) for name in others))

    def _with(self, layer: Add | Combine, *names: str) -> op.Operation:
        """What is done with the other inputs."""
        others = tuple(self._operand(name) for name in names)
        if isinstance(layer, Combine):
            return op.Combine(layer=layer.name, kind=layer.kind, others=others)
        return op.Sum(layer=layer.name, others=others)

    def _pool(self, layer: MaxPool | AxisPool) -> None:
        source = layer.inputs[0]
        largest = isinstance(layer, MaxPool) or layer.kind == "max"
        step = self._begin(layer, source, source)
        if largest:
            step.join(op.PoolMax(layer=layer.name, index=self.sizes.index(layer.name)))
        else:
            step.join(op.PoolMean(layer=layer.name))
        step.joinable = False

    def _global_pool(self, layer: GlobalPool | Reduce) -> None:
        source = layer.inputs[0]
        made = op.GlobalPool if isinstance(layer, GlobalPool) else op.Reduce
        step = self.passes.get(source)
        if step is None:
            step = self._begin(layer, source, source).join(made(layer=layer.name, kind=layer.kind))
            step.joinable = False
            return
        output = self.sizes.operand(f"{layer.name}.output", layer.name)
        step.join(made(layer=layer.name, kind=layer.kind, output=output))
        self.tensors[layer.name] = f"{layer.name}.output"

    def _lookup(self, layer: Lookup) -> None:
        """Rows are read from the table and written as they are."""
        rows = self.sizes.operand(f"{layer.name}.table", layer.name)
        self._begin(layer, layer.name).join(op.LookUp(layer=layer.name, rows=rows))

    def _embed(self, layer: Embed) -> None:
        grown = self.sizes.bytes(layer.name) - self.sizes.bytes(layer.inputs[0])
        class_tokens = op.Operand(f"{layer.name}.class_tokens", layer.name, grown)
        self._elementwise(layer, op.Embed(layer=layer.name, class_tokens=class_tokens))

    def _concat(self, layer: Concat) -> None:
        """No work: a command that is done when all parts are in their places."""
        parts = tuple(op.Operand(self.tensors[name], name, 0) for name in layer.inputs)
        step = self._begin(layer, layer.name).join(op.Gather(layer=layer.name, parts=parts))
        step.elements, step.target = 0, replace(step.target, size_bytes=0)
        step.joinable = False
        del self.passes[layer.name]

    def _view(self, layer: Layer) -> None:
        self.tensors[layer.name] = self.tensors[layer.inputs[0]]

    def _gap(self, layer: Layer) -> None:
        """What it makes is there as if somebody had written it."""
        self.tensors[layer.name] = f"{layer.name}.output"

    def _operand(self, name: str) -> op.Operand:
        """A layer's output, as it stands in memory."""
        return self.sizes.operand(self.tensors[name], name)

    def _elementwise(self, layer: Layer, operation: op.Operation, source: str | None = None) -> Pass:
        """Join the pass that makes `source`, or begin one where somebody else needs that value as it is."""
        source = source or layer.inputs[0]
        step = self._open(source)
        if step is None:
            return self._begin(layer, layer.name, source).join(operation)
        step.join(operation, tensor=f"{layer.name}.output")
        self.passes[layer.name] = step
        self.tensors[layer.name] = step.target.tensor
        return step

    def _begin(self, layer: Layer, counted: str, source: str | None = None, *, fused: bool = False) -> Pass:
        """A new pass for `layer`, over as many elements as the output of `counted` has; they are the output of `source`."""
        step = Pass(
            layer=layer.name,
            stage=Stage.FORWARD,
            fused=fused,
            elements=self.sizes.elements(counted),
            source=self._operand(source) if source else None,
            target=self.sizes.operand(f"{layer.name}.output", layer.name),
        )
        self.steps.append(step)
        self.passes[layer.name] = step
        self.tensors[layer.name] = step.target.tensor
        return step

    def _open(self, name: str) -> Pass | None:
        """The pass that makes `name`, if element-wise work may join it."""
        step = self.passes.get(name)
        return step if step is not None and step.joinable and self.consumers[name] == 1 else None

    def _stands_before(self, name: str, other: str) -> bool:
        """Whether `name` is in memory by the time that the pass of `other` runs."""
        step = self.passes.get(name)
        return step is None or self.steps.index(step) < self.steps.index(self.passes[other])
