"""Layers that only look at memory otherwise: where each element of their result stands in the tensor that they look at.

::

    mix ─ Transpose ─► tokens ─ Reshape ─► joined      all hold the same elements: one *order* for all of them, in which
                                                       every one of them has fixed steps: here that of `tokens`
    qkv ─ Slice ─► query.all ─ Reshape ─► …            a part of the elements of another tensor, in that one's order
    a, b ─ Concat ─► both                              parts of `both`, written to their places by whatever makes them
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

from dataflow.axes import Affine
from dataflow.network import INPUT, Add, Flatten, Layer, Network, Normalisation, Relu, Shape
from dataflow.rearrange import Concat, Reshape, Slice, Transpose
from dataflow.tokens import Activation, Embed, Select
from hw.errors import InputError

SAME = (Reshape, Transpose, Flatten)
"""Layers whose result has the elements of what they read."""

ELEMENTWISE = (Relu, Activation, Affine, Add, Normalisation)
"""Layers that may be done in place: their result stands as what they read."""


@dataclass(frozen=True)
class Layout:
    """Where the elements of a sample stand.

    Parameters
    ----------
    first : int
        Elements before the first one.
    shape, steps : tuple of int
        Axes of a sample, and elements from one place along each to the next.
    sample : int
        Elements from one sample to the next.
    """

    first: int
    shape: Shape
    steps: tuple[int, ...]
    sample: int

    @classmethod
    def of(cls, shape: Shape) -> "Layout":
        """Elements one after the other."""
        return cls(0, shape, tuple(prod(shape[axis + 1 :]) for axis in range(len(shape))), prod(shape))

    @property
    def is_plain(self) -> bool:
        """Whether elements stand one after the other, and nothing else between samples."""
        plain = Layout.of(self.shape)
        axes = zip(self.shape, self.steps, plain.steps, strict=True)
        return self.first == 0 and self.sample == plain.sample and all(step == due for size, step, due in axes if size > 1)

    def transposed(self, axes: Sequence[int]) -> "Layout":
        """With the axes in another order."""
        shape, steps = (tuple(part[axis] for axis in axes) for part in (self.shape, self.steps))
        return replace(self, shape=shape, steps=steps)

    def reshaped(self, shape: Shape) -> "Layout | None":
        """Under another shape; None where its steps would not be fixed."""
        runs: list[tuple[int, int]] = []  # neighbouring axes along which elements go on
        for count, step in zip(self.shape, self.steps, strict=True):
            if count == 1:
                continue
            if runs and runs[-1][1] == count * step:
                runs[-1] = (runs[-1][0] * count, step)
            else:
                runs.append((count, step))
        steps = []
        for count in reversed(shape):
            length, step = runs.pop() if runs and count != 1 else (1, 1)
            if length % count:
                return None
            steps.append(step)
            if length != count:
                runs.append((length // count, step * count))
        return replace(self, shape=shape, steps=tuple(reversed(steps)))

    def part(self, axis: int, start: int, size: int) -> "Layout":
        """Some entries of an axis."""
        shape = (*self.shape[:axis], size, *self.shape[axis + 1 :])
        return replace(self, first=self.first + start * self.steps[axis], shape=shape)


class Layouts:
    """The layouts of a network's tensors.

    Parameters
    ----------
    network : Network
        Its layers.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.layers = {layer.name: layer for layer in network.layers}
        self.shapes: dict[str, Shape] = {INPUT: network.input_shape, **network.shapes}
        self.top: dict[str, str] = {name: name for name in self.shapes}
        self.joined: dict[str, tuple[str, int, int]] = {}
        for layer in network.layers:
            for source in self._same(layer):
                self._unite(layer.name, source)
            if isinstance(layer, Concat):
                self._join(layer)
            elif isinstance(layer, Embed):
                self.joined[layer.inputs[0]] = layer.name, 0, 1
        self._orders: dict[str, dict[str, Layout]] = {}

    def _same(self, layer: Layer) -> list[str]:
        """Inputs whose elements are in the order of its result."""
        if isinstance(layer, SAME):
            return [layer.inputs[0]]
        shape = self.shapes[layer.name]
        return [name for name in layer.inputs if self.shapes[name] == shape] if isinstance(layer, ELEMENTWISE) else []

    def _unite(self, name: str, source: str) -> None:
        old, new = self.top[name], self.top[source]
        for member in self._members(old):
            self.top[member] = new

    def view(self, tensor: str, seen: str) -> Layout:
        """The output of layer `seen` in a tensor of the output of layer `tensor`, or of its gradient.

        Raises
        ------
        InputError
            Where its elements are not in the tensor, or have no fixed steps in it.
        """
        layout = self._view(tensor, seen, frozenset())
        if layout is None:
            raise InputError(f"layer {seen!r}: its elements have no fixed steps in what {tensor!r} makes")
        return layout

    def _view(self, tensor: str, seen: str, tried: frozenset[str]) -> Layout | None:
        top = self.top[seen]
        if self.top[tensor] == top:
            return self._order(top).get(seen)
        for name in self._members(top) if top not in tried else ():
            layout = self._inside(tensor, name, tried | {top})
            if layout:
                return self._spread(name, layout).get(seen)
        return None

    def _join(self, layer: Concat) -> None:
        axis, start = layer.axis % len(self.shapes[layer.name]), 0
        for name in layer.inputs:
            self.joined[name] = (layer.name, axis, start)
            start += self.shapes[name][axis]

    def _inside(self, tensor: str, name: str, tried: frozenset[str]) -> Layout | None:
        """Of a layer that is a part of another one, which the tensor may be of."""
        layer = self.layers.get(name)
        if isinstance(layer, Slice | Select):
            whole = self._view(tensor, layer.inputs[0], tried)
            if whole and isinstance(layer, Slice):
                return whole.part(layer.axis, layer.start, layer.size)
            if whole and isinstance(layer, Select):
                one = whole.part(0, layer.index, 1)
                return replace(one, shape=one.shape[1:], steps=one.steps[1:])
        if name in self.joined:
            joined, axis, start = self.joined[name]
            whole = self._view(tensor, joined, tried)
            if whole and isinstance(self.layers[joined], Embed):
                return whole.part(0, start, whole.shape[0] - start).reshaped(self.shapes[name])
            return whole and whole.part(axis, start, self.shapes[name][axis])
        return None

    def _members(self, top: str) -> list[str]:
        return [name for name, other in self.top.items() if other == top]

    def _order(self, top: str) -> dict[str, Layout]:
        """Layouts of all layers that have the elements of `top`, in the order in which all of them have one."""
        if top not in self._orders:
            members = self._members(top)
            tries = (self._spread(name, Layout.of(self.shapes[name])) for name in members)
            first = self._spread(top, Layout.of(self.shapes[top]))
            self._orders[top] = next((found for found in tries if len(found) == len(members)), first)
        return self._orders[top]

    def _spread(self, start: str, layout: Layout) -> dict[str, Layout]:
        """From the layout of one layer to those of all that have the same elements, as far as they have fixed steps."""
        found, left = {start: layout}, [start]
        while left:
            name = left.pop()
            for other, seen in self._neighbours(name, found[name]):
                if seen is not None and other not in found:
                    found[other] = seen
                    left.append(other)
        return found

    def _neighbours(self, name: str, layout: Layout) -> Iterator[tuple[str, Layout | None]]:
        layer = self.layers.get(name)
        if layer:
            yield from ((source, self._written(layer, source, layout)) for source in self._same(layer))
        for other in self.network.layers:
            if name in self._same(other):
                yield other.name, self._read(other, layout)

    def _read(self, layer: Layer, layout: Layout) -> Layout | None:
        """The result of a layer that reads what stands so."""
        return layout.transposed(layer.axes) if isinstance(layer, Transpose) else layout.reshaped(self.shapes[layer.name])

    def _written(self, layer: Layer, source: str, layout: Layout) -> Layout | None:
        """What a layer reads whose result stands so."""
        if isinstance(layer, Transpose):
            return layout.transposed([layer.axes.index(axis) for axis in range(len(layer.axes))])
        return layout.reshaped(self.shapes[source])
