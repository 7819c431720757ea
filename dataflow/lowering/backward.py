"""Backward half of a step: gradients from the last layer to the first, each weight updated when its gradient is in hand.

::

    dY ──> input gradient ──drain──> [convert, add, mask, gradient sums] ──memory──> [normalise gradient] ──> next dY
      └──> weight gradient ──drain──> update, select, pack

The passes between two layers need only the input gradient, so that the weight gradient keeps the array busy meanwhile.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from dataflow.axes import Affine, AxisPool, Combine, Lookup, Reduce
from dataflow.ir import operations as op
from dataflow.ir.program import Product, Stage, Update
from dataflow.ir.sizes import Sizes
from dataflow.lowering.forward import Forward, Step
from dataflow.lowering.passes import Pass
from dataflow.network import INPUT, Add, BatchNorm, Flatten, GlobalPool, Layer, MaxPool, Relu, Weighted
from dataflow.rearrange import Concat, Gap, Reshape, Slice, Transpose
from dataflow.tokens import Activation, Embed, LayerNorm, MatMul, Select, Softmax


@dataclass(frozen=True)
class Gradient:
    """A gradient tensor, the pass that writes it (None where none can be joined) and whether it belongs to one reader alone.

    `part` are its elements where it is the gradient of a slice.
    """

    tensor: str
    step: Pass | None
    owned: bool = True
    part: int = 0


class Backward:
    """Walks the layers from the last to the first and appends to the `steps` of a `Forward`.

    Attributes
    ----------
    output_gradients : dict of str to str
        The memory tensor that holds each weighted layer's output gradient.
    propagated : set of str
        Weighted layers that have an input gradient.
    """

    def __init__(
        self,
        forward: Forward,
        input_gradients: Callable[[Weighted], Iterable[Product]],
        weight_gradient: Callable[[Weighted], tuple[Product, Update]],
        attention: Callable[[MatMul], tuple[Product, ...]],
    ) -> None:
        self.sizes: Sizes = forward.sizes
        self.steps: list[Step] = forward.steps
        self.values = forward.tensors
        self.input_gradients = input_gradients
        self.weight_gradient = weight_gradient
        self.attention = attention
        self.slices = {layer.name for layer in self.sizes.network.layers if isinstance(layer, Slice)}
        self.output_gradients: dict[str, str] = {}
        self.propagated: set[str] = set()
        self.pending: dict[str, list[Gradient]] = defaultdict(list)
        self.learning = learning(self.sizes)

    def run(self) -> None:
        """All layers that a weight's gradient passes through."""
        rules: dict[type[Layer], Callable[[Any, Gradient], None]] = {
            Relu: self._relu,
            Activation: self._activation,
            BatchNorm: self._normalise,
            LayerNorm: self._normalise,
            Softmax: self._softmax,
            Add: self._add,
            Combine: self._combine,
            MaxPool: self._pool,
            AxisPool: self._pool,
            GlobalPool: self._global_pool,
            Reduce: self._global_pool,
            Lookup: self._lookup,
            Affine: self._affine,
            MatMul: self._matmul,
            Embed: self._embed,
            Select: self._spread,
            Slice: self._slice,
            Concat: self._concat,
            Gap: self._gap,
            **dict.fromkeys((Flatten, Reshape, Transpose), self._view),
        }
        layers = self.sizes.network.layers
        self.pending[layers[-1].name].append(Gradient(f"{layers[-1].name}.output_gradient", None))
        for layer in reversed(layers):
            if layer.name not in self.learning or not self.pending[layer.name]:
                continue
            gradient = self._collect(layer.name)
            if isinstance(layer, Weighted):
                self._weighted(layer, gradient)
            else:
                rules[type(layer)](layer, gradient)

    def _weighted(self, layer: Weighted, gradient: Gradient) -> None:
        self.output_gradients[layer.name] = gradient.tensor
        if layer.bias and gradient.step is not None:
            gradient.step.join(op.BiasSums(layer=layer.name))
        if layer.inputs[0] in self.learning:
            self.propagated.add(layer.name)
            self.steps.extend(self.input_gradients(layer))
            self._send(layer, self._begin(layer, layer.inputs[0], op.Convert(layer=layer.name), fused=True))
        self.steps.extend(self.weight_gradient(layer))

    def _relu(self, layer: Relu, gradient: Gradient) -> None:
        self._send(layer, self._change(layer, gradient, op.Mask(layer=layer.name, mask=self.sizes.mask(layer.name))))

    def _matmul(self, layer: MatMul, gradient: Gradient) -> None:
        """Gradient of the left operand, then of the right, each written as it leaves the array."""
        self.output_gradients[layer.name] = gradient.tensor
        products = self.attention(layer)[1:]
        for side, product, source in zip(("left", "right"), products, layer.inputs, strict=True):
            if source in self.learning:
                self.steps.append(product)
                scale = [op.Scale(layer=layer.name, factor=layer.scale)] if layer.scale != 1 else []
                step = self._begin(layer, source, *scale, op.Convert(layer=layer.name), fused=True)
                step.stage = product.stage
                step.join(tensor=f"{layer.name}.{side}_gradient")
                self.pending[source].append(Gradient(step.target.tensor, step))

    def _activation(self, layer: Activation, gradient: Gradient) -> None:
        change = op.ActivationGradient(layer=layer.name, kind=layer.kind, kept=self.sizes.kept(layer.name))
        self._send(layer, self._change(layer, gradient, change))

    def _affine(self, layer: Affine, gradient: Gradient) -> None:
        self._send(layer, self._change(layer, gradient, op.MapGradient(layer=layer.name, kind=layer.kind)))
        self._update(layer)

    def _softmax(self, layer: Softmax, gradient: Gradient) -> None:
        """``p (g - sum of p g over the row)``: as the gradient leaves the array, where a tile holds whole rows."""
        step = gradient.step
        if step is None or not gradient.owned or not self._whole_rows(step):
            self._normalise(layer, gradient)
            return
        output = self.sizes.operand(self.values[layer.name], layer.name)
        step.join(op.SoftmaxGradient(layer=layer.name, output=output), tensor=f"{layer.name}.input_gradient")
        self._send(layer, step)

    def _whole_rows(self, step: Pass) -> bool:
        product = self.steps[self.steps.index(step) - 1]
        if not step.fused or not isinstance(product, Product) or product.layer != step.layer:
            return False
        return product.n <= self.sizes.config.columns * product.interleave[1] and product.weights.region.endswith("_gradient")

    def _normalise(self, layer: BatchNorm | LayerNorm | Softmax, gradient: Gradient) -> None:
        value = self.sizes.operand(self.values[layer.inputs[0]], layer.inputs[0])
        sums = gradient.step or self._over(layer, gradient, f"{layer.name}.gradient_sums")
        sums.join(op.GradientSums(layer=layer.name, value=value))
        self._send(layer, self._pass(layer, gradient, layer.name, op.NormaliseGradient(layer=layer.name, value=value)))
        self._update(layer)

    def _update(self, layer: Layer) -> None:
        """Of learned numbers that are no weights."""
        learned = layer.learned(*self.sizes.network.input_shapes(layer))
        if learned:
            self.steps.append(Update(layer=layer.name, elements=learned))

    def _add(self, layer: Add, gradient: Gradient) -> None:
        readers = [name for name in layer.inputs if name in self.learning]
        for name in readers:
            self.pending[name].append(Gradient(gradient.tensor, gradient.step, owned=gradient.owned and len(readers) == 1))

    def _combine(self, layer: Combine, gradient: Gradient) -> None:
        """Each input's gradient is the output's times the other input, summed where that one was repeated."""
        for name, other in zip(layer.inputs, reversed(layer.inputs), strict=True):
            if name in self.learning:
                operand = self.sizes.operand(self.values[other], other)
                change = op.CombineGradient(layer=layer.name, kind=layer.kind, other=operand)
                step = self._pass(layer, gradient, layer.name, change)
                step.target = self.sizes.operand(f"{layer.name}.{name}.gradient", name)
                self.pending[name].append(Gradient(step.target.tensor, step))

    def _pool(self, layer: MaxPool | AxisPool, gradient: Gradient) -> None:
        largest, change = isinstance(layer, MaxPool) or layer.kind == "max", op.PoolMeanGradient(layer=layer.name)
        scatter = op.PoolMaxGradient(layer=layer.name, index=self.sizes.index(layer.name))
        self._send(layer, self._pass(layer, gradient, layer.inputs[0], scatter if largest else change))

    def _embed(self, layer: Embed, gradient: Gradient) -> None:
        """Positions get the sums over the batch; the tokens' gradient is the rest of it as it stands."""
        sums = gradient.step or self._over(layer, gradient, f"{layer.name}.gradient_sums")
        sums.join(op.BatchSums(layer=layer.name))
        self.pending[layer.inputs[0]].append(Gradient(gradient.tensor, gradient.step, owned=False))
        self._update(layer)

    def _lookup(self, layer: Lookup, gradient: Gradient) -> None:
        """Each row's gradient is added to its place in that of the table, binary32."""
        rows = op.Operand(f"{layer.name}.table_gradient", layer.name, 4 * self.sizes.elements(layer.name))
        self._pass(layer, gradient, layer.name, op.LookUpGradient(layer=layer.name, rows=rows)).target = rows
        self._update(layer)

    def _spread(self, layer: Select, gradient: Gradient) -> None:
        self._send(layer, self._pass(layer, gradient, layer.inputs[0], op.SelectGradient(layer=layer.name)))

    def _slice(self, layer: Slice, gradient: Gradient) -> None:
        self.pending[layer.inputs[0]].append(replace(gradient, part=self.sizes.elements(layer.name)))

    def _concat(self, layer: Concat, gradient: Gradient) -> None:
        for name in layer.inputs:
            if name in self.learning:
                self.pending[name].append(Gradient(gradient.tensor, None, owned=False))

    def _global_pool(self, layer: GlobalPool | Reduce, gradient: Gradient) -> None:
        made = op.GlobalPoolGradient if isinstance(layer, GlobalPool) else op.ReduceGradient
        self._send(layer, self._pass(layer, gradient, layer.inputs[0], made(layer=layer.name, kind=layer.kind)))
        self._update(layer)

    def _view(self, layer: Layer, gradient: Gradient) -> None:
        self.pending[layer.inputs[0]].append(gradient)

    def _gap(self, layer: Layer, _: Gradient) -> None:
        """The gradient of what it reads is there as if somebody had written it."""
        if layer.inputs[0] in self.learning:
            self.pending[layer.inputs[0]].append(Gradient(f"{layer.name}.input_gradient", None))

    def _collect(self, name: str) -> Gradient:
        """The sum of all gradients that reached `name`: the pass that made the last one adds it to the sum of the others."""
        parts = self.pending[name]
        if any(part.part for part in parts):
            parts = self._assemble(name, parts)
        if len(parts) == 1:
            return parts[0]
        own = [part for part in parts if part.owned and part.step is not None]
        last = max(own, key=lambda part: self._position(part), default=None)
        late = len(parts) > 2 and parts[-1] is not last  # sums are rounded one by one, in the order of the parts
        if last is None or late or any(self._position(part) > self._position(last) for part in parts):
            first = parts[0]
            layer = next(layer for layer in self.sizes.network.layers if layer.name == name)
            step = self._over(layer, first, f"{name}.output_gradient", write=True)
            others = [self.sizes.operand(part.tensor, name) for part in parts if part is not first]
            step.join(*(op.Sum(layer=name, others=(other,)) for other in others))
            return Gradient(step.target.tensor, step)
        assert last.step is not None
        others = [self.sizes.operand(part.tensor, name) for part in parts if part is not last]
        last.step.join(op.Sum(layer=name, others=tuple(others)), tensor=f"{name}.output_gradient")
        return Gradient(last.step.target.tensor, last.step)

    def _assemble(self, name: str, parts: list[Gradient]) -> list[Gradient]:
        """Gradients of slices as one: in their places already if they fill the whole, else a pass adds them up."""
        slices = [part for part in parts if part.part]
        layer = next(layer for layer in self.sizes.network.layers if layer.name == name)
        fills = sum(part.part for part in slices) == self.sizes.elements(name)
        element_bytes = 0 if fills else self.sizes.config.storage_format.width // 8
        operands = tuple(op.Operand(part.tensor, name, part.part * element_bytes) for part in slices)
        step = self._begin(layer, name, op.Gather(layer=name, parts=operands))
        step.join(tensor=f"{name}.gradient_parts")
        if fills:
            step.elements, step.target = 0, replace(step.target, size_bytes=0)
        return [Gradient(step.target.tensor, None if fills else step), *(part for part in parts if not part.part)]

    def _position(self, part: Gradient) -> int:
        return -1 if part.step is None else self.steps.index(part.step)

    def _change(self, layer: Layer, gradient: Gradient, change: op.Operation) -> Pass:
        """Join the pass that makes `gradient`, or begin one where somebody else needs it as it is."""
        if gradient.step is not None and gradient.owned:
            return gradient.step.join(change, tensor=f"{layer.name}.input_gradient")
        return self._pass(layer, gradient, layer.name, change)

    def _pass(self, layer: Layer, gradient: Gradient, written: str, *changes: op.Operation) -> Pass:
        """A new pass that reads `gradient`, of `layer`'s output, and writes the gradient of `written`."""
        step = self._begin(layer, written, *changes)
        step.source = self.sizes.operand(gradient.tensor, layer.name)
        return step

    def _begin(self, layer: Layer, written: str, *changes: op.Operation, fused: bool = False) -> Pass:
        """A new pass that writes the gradient of `written`, which `layer` reads."""
        step = Pass(
            layer=layer.name,
            stage=Stage.INPUT_GRADIENT,
            fused=fused,
            elements=self.sizes.elements(written),
            target=self.sizes.operand(f"{layer.name}.input_gradient", written),
            operations=list(changes),
        )
        self.steps.append(step)
        return step

    def _over(self, layer: Layer, gradient: Gradient, tensor: str, *, write: bool = False) -> Pass:
        """A new pass that reads `gradient`, which has the shape of `layer`'s output."""
        step = self._pass(layer, gradient, layer.name)
        step.target = self.sizes.operand(tensor, layer.name) if write else op.Operand(tensor, layer.name, 0)
        return step

    def _send(self, layer: Layer, step: Pass) -> None:
        """Hand the gradient that `step` makes to what `layer` reads."""
        if layer.inputs[0] in self.learning:
            self.pending[layer.inputs[0]].append(Gradient(step.target.tensor, step))


def learning(sizes: Sizes) -> set[str]:
    """Layers whose output depends on a weight: the gradient stops at the others."""
    names: set[str] = set()
    for layer in sizes.network.layers:
        learned = isinstance(layer, Weighted | Lookup) or layer.learned(*sizes.network.input_shapes(layer))
        if learned or any(name in names for name in layer.inputs if name != INPUT):
            names.add(layer.name)
    return names
