"""Backward half of a step: gradients from the last layer to the first, each weight updated when its gradient is in hand.

::

    dY ──> input gradient ──drain──> [convert, add, mask, gradient sums] ──memory──> [normalise gradient] ──> next dY
      └──> weight gradient ──drain──> update, select, pack

The passes between two layers need only the input gradient, so that the weight gradient keeps the array busy meanwhile.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from dataflow.forward import Forward, Step
from dataflow.network import INPUT, Add, BatchNorm, Flatten, GlobalPool, Layer, MaxPool, Relu, Weighted
from dataflow.passes import Pass
from dataflow.program import Product, Stage, Update
from dataflow.sizes import Sizes


@dataclass(frozen=True)
class Gradient:
    """A gradient tensor, the pass that writes it (None: the host) and whether it belongs to one reader alone."""

    tensor: str
    step: Pass | None
    owned: bool = True


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
    ) -> None:
        self.sizes: Sizes = forward.sizes
        self.steps: list[Step] = forward.steps
        self.values = forward.tensors
        self.input_gradients = input_gradients
        self.weight_gradient = weight_gradient
        self.output_gradients: dict[str, str] = {}
        self.propagated: set[str] = set()
        self.pending: dict[str, list[Gradient]] = defaultdict(list)
        self.learning = learning(self.sizes)

    def run(self) -> None:
        """All layers that a weight's gradient passes through."""
        rules: dict[type[Layer], Callable[[Any, Gradient], None]] = {
            Relu: self._relu,
            BatchNorm: self._batch_norm,
            Add: self._add,
            MaxPool: self._max_pool,
            GlobalPool: self._global_pool,
            Flatten: self._flatten,
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
            gradient.step.join("bias sums")
        if layer.inputs[0] in self.learning:
            self.propagated.add(layer.name)
            self.steps.extend(self.input_gradients(layer))
            self._send(layer, self._begin(layer, layer.inputs[0], ["convert"], fused=True))
        self.steps.extend(self.weight_gradient(layer))

    def _relu(self, layer: Relu, gradient: Gradient) -> None:
        step = self._change(layer, gradient, "mask")
        self._send(layer, step.read(f"{layer.name}.mask", self.sizes.mask_bytes(layer.name)))

    def _batch_norm(self, layer: BatchNorm, gradient: Gradient) -> None:
        value, size = self.values[layer.inputs[0]], self.sizes.bytes(layer.name)
        sums = gradient.step or self._over(layer, gradient, f"{layer.name}.gradient_sums")
        sums.join("gradient sums").read(value, size)
        step = self._begin(layer, layer.name, ["normalise gradient"]).read(gradient.tensor, size).read(value, size)
        self._send(layer, step)
        self.steps.append(Update(layer=layer.name, elements=2 * self.sizes.network.shapes[layer.name][-1]))

    def _add(self, layer: Add, gradient: Gradient) -> None:
        readers = [name for name in layer.inputs if name in self.learning]
        for name in readers:
            self.pending[name].append(Gradient(gradient.tensor, gradient.step, owned=gradient.owned and len(readers) == 1))

    def _max_pool(self, layer: MaxPool, gradient: Gradient) -> None:
        step = self._begin(layer, layer.inputs[0], ["scatter to maxima"]).read(gradient.tensor, self.sizes.bytes(layer.name))
        self._send(layer, step.read(f"{layer.name}.index", self.sizes.index_bytes(layer.name)))

    def _global_pool(self, layer: GlobalPool, gradient: Gradient) -> None:
        step = self._begin(layer, layer.inputs[0], [f"spread global {layer.kind}"])
        self._send(layer, step.read(gradient.tensor, self.sizes.bytes(layer.name)))

    def _flatten(self, layer: Flatten, gradient: Gradient) -> None:
        self.pending[layer.inputs[0]].append(gradient)

    def _collect(self, name: str) -> Gradient:
        """The sum of all gradients that reached `name`: the last pass that made one adds the others."""
        parts = self.pending[name]
        if len(parts) == 1:
            return parts[0]
        own = [part for part in parts if part.owned and part.step is not None]
        last = max(own, key=lambda part: self._position(part), default=None)
        if last is None or any(self._position(part) > self._position(last) for part in parts):
            first = parts[0]
            layer = next(layer for layer in self.sizes.network.layers if layer.name == name)
            last = Gradient(f"{name}.output_gradient", self._over(layer, first, f"{name}.output_gradient", write=True))
            parts = [part for part in parts if part is not first]
        assert last.step is not None
        last.step.join("add", tensor=f"{name}.output_gradient")
        for part in parts:
            if part is not last:
                last.step.read(part.tensor, self.sizes.bytes(name))
        return Gradient(last.step.tensor, last.step)

    def _position(self, part: Gradient) -> int:
        return -1 if part.step is None else self.steps.index(part.step)

    def _change(self, layer: Layer, gradient: Gradient, what: str) -> Pass:
        """Join the pass that makes `gradient`, or begin one where somebody else needs it as it is."""
        if gradient.step is not None and gradient.owned:
            return gradient.step.join(what, tensor=f"{layer.name}.input_gradient")
        return self._begin(layer, layer.name, [what]).read(gradient.tensor, self.sizes.bytes(layer.name))

    def _begin(self, layer: Layer, written: str, what: list[str], *, fused: bool = False) -> Pass:
        """A new pass that writes the gradient of `written`, which `layer` reads."""
        step = Pass(
            layer=layer.name,
            stage=Stage.INPUT_GRADIENT,
            fused=fused,
            elements=self.sizes.elements(written),
            what=what,
            tensor=f"{layer.name}.input_gradient",
            write_bytes=self.sizes.bytes(written),
        )
        self.steps.append(step)
        return step

    def _over(self, layer: Layer, gradient: Gradient, tensor: str, *, write: bool = False) -> Pass:
        """A new pass that reads `gradient`, which has the shape of `layer`'s output."""
        step = self._begin(layer, layer.name, []).read(gradient.tensor, self.sizes.bytes(layer.name))
        step.tensor = tensor
        step.write_bytes = self.sizes.bytes(layer.name) if write else 0
        return step

    def _send(self, layer: Layer, step: Pass) -> None:
        """Hand the gradient that `step` makes to what `layer` reads."""
        if layer.inputs[0] in self.learning:
            self.pending[layer.inputs[0]].append(Gradient(step.tensor, step))


def learning(sizes: Sizes) -> set[str]:
    """Layers whose output depends on a weight: the gradient stops at the others."""
    names: set[str] = set()
    for layer in sizes.network.layers:
        if isinstance(layer, Weighted | BatchNorm) or any(name in names for name in layer.inputs if name != INPUT):
            names.add(layer.name)
    return names
