"""Where the tensors of a program stand in the accelerator's memory."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

from dataflow.compile.layouts import Layout
from hw.config import AcceleratorConfig
from hw.errors import InputError

ALIGNMENT_BYTES = 64
"""Of a tensor's first byte: a beat of the widest memory port."""


@dataclass(frozen=True)
class Kind:
    """What an element of a tensor is.

    Parameters
    ----------
    numbers : int
        Words of it.
    wide : bool
        Whether they are binary32, or as wide as the storage format.
    element, layout : str
        What the words are, and in which order elements stand, for a host.
    """

    numbers: int
    wide: bool
    element: str
    layout: str


KINDS = {
    "storage": Kind(1, False, "a number", "C order, channels innermost: (batch, height, width, channels), (*kernel, in, out)"),
    "packed": Kind(
        2,
        False,
        "a kept value, then its place in its group, a storage word each",
        "(*kernel, groups, kept, rows), rows innermost and padded to the pitch",
    ),
    "binary32": Kind(1, True, "a number", "C order, channels innermost"),
    "master": Kind(2, True, "a weight, then its velocity, binary32 each", "(*kernel, in, out)"),
    "moments": Kind(
        2, True, "of a weight's gradients, and of their squares, the discounted sum, binary32 each", "(*kernel, in, out)"
    ),
    "pairs": Kind(2, True, "two factors of passes, binary32 each, or what they are made of", "C order, channels innermost"),
}
"""By the name that `Tensor.kind` has."""

MOMENTS = ".moments"
"""Behind the name of what AdamW trains: what it remembers of it."""

NEXT = ".next"
"""Behind the name of a tensor that a step updates: where it is after the step."""


@dataclass(frozen=True)
class Tensor:
    """A tensor in memory, C order.

    Parameters
    ----------
    name : str
        Of the region, or of what is beside the regions: ``<layer>.master``, ``.bias``, ``.bias_gradient``; with `NEXT`.
    kind : str
        Of `KINDS`.
    shape : tuple of int
        Its axes.
    pitch : int
        Elements from one place of the last axis but one to the next; at least the length of the last axis.
    offset : int
        Byte of the window at which it begins.
    element_bytes : int
        1, 2, 4 or 8.
    steps : tuple of int, optional
        Bytes from one place to the next along each axis, of a tensor that is seen in a part or in another order of one.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    pitch: int
    offset: int
    element_bytes: int
    steps: tuple[int, ...] | None = None

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Shape with the last axis as long as its pitch."""
        return (*self.shape[:-1], self.pitch)

    @property
    def size_bytes(self) -> int:
        """Bytes that it takes up."""
        return self.element_bytes * prod(self.stored_shape)

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes from one place to the next along each axis."""
        return self.steps or tuple(self.element_bytes * prod(self.stored_shape[axis + 1 :]) for axis in range(len(self.shape)))

    def part(self, number: int, count: int) -> "Tensor":
        """One of `count` equal parts of the last axis, where it stands."""
        length = self.shape[-1] // count
        return self.cut(len(self.shape) - 1, number * length, length)

    def cut(self, axis: int, start: int, count: int) -> "Tensor":
        """So many places of an axis, the last one or one before which there is one place of each."""
        shape = (*self.shape[:axis], count, *self.shape[axis + 1 :])
        return replace(self, shape=shape, offset=self.offset + start * self.strides[axis])

    def flat(self, axes: int) -> "Tensor":
        """The same with its first axes as one, so that there are so many."""
        lead = len(self.shape) - axes + 1
        return replace(self, shape=(prod(self.shape[:lead]), *self.shape[lead:]))


class Memory:
    """Tensors one after the other.

    Parameters
    ----------
    config : AcceleratorConfig
        Whose storage format decides the sizes of elements.
    names : mapping of str to str
        Other names of tensors, as `Program.aliases` has them.
    moments : bool
        Whether what is trained has AdamW's moments beside it, instead of velocities.

    Attributes
    ----------
    tensors : dict of str to Tensor
        By name, in the order of their places.
    size_bytes : int
        Up to the end of the last one.
    """

    def __init__(self, config: AcceleratorConfig, names: Mapping[str, str], *, moments: bool = False) -> None:
        storage = config.storage_format.width // 8
        self._bytes = {name: kind.numbers * (4 if kind.wide else storage) for name, kind in KINDS.items()}
        self._group, self._beat, self._moments = config.max_group, config.axi_data_bytes, moments
        self._names = dict(names)
        self.tensors: dict[str, Tensor] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._layouts: dict[str, Layout] = {}
        self.size_bytes = 0

    def add(self, name: str, kind: str, shape: tuple[int, ...], parts: int = 1, *, apart: bool = False) -> Tensor:
        """A place for a tensor; the same one again where it has one, in the shape that this name has.

        Packed copies are written by whole groups of rows, one of `parts` of them after the other: there must be room behind
        the last one. Rows that are `apart` begin at a beat of the memory port each.
        """
        self._shapes[name], asked = shape, name
        name = self.place(name)
        if name not in self.tensors:
            pitch, rows = shape[-1], shape[-1] // parts
            if kind == "packed":
                pitch += -rows % self._group
            if apart:
                pitch += -pitch % max(1, self._beat // self._bytes[kind])
            tensor = Tensor(name, kind, shape, pitch, self.size_bytes, self._bytes[kind])
            self.tensors[name] = tensor
            self.size_bytes += -(-tensor.size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        return self[asked]

    def train(self, name: str, shape: tuple[int, ...]) -> None:
        """A place for masters, and for what the optimiser remembers of them."""
        self.add(name, "binary32" if self._moments else "master", shape)
        if self._moments:
            self.add(name + MOMENTS, "moments", shape)

    def double(self, *, exchanged: bool) -> None:
        """A second place for every tensor so far, under its name and `NEXT`; `exchanged`: the first one is that."""
        tensors, size = self.tensors, self.size_bytes
        for tensor in list(tensors.values()):
            pair = tensor, replace(tensor, offset=tensor.offset + size)
            for name, one in zip((tensor.name, tensor.name + NEXT), reversed(pair) if exchanged else pair, strict=True):
                tensors[name] = replace(one, name=name)
        self.size_bytes = 2 * size

    def place(self, name: str) -> str:
        """The name of the tensor that a name stands for."""
        while name in self._names and self._names[name] != name:
            name = self._names[name]
        return name

    def alias(self, name: str, tensor: str) -> None:
        """Let a name stand for a tensor, in which it has its place."""
        self._names[name] = tensor

    def see(self, name: str, layout: Layout) -> None:
        """Let a name stand for elements of its tensor, a sample after the other, where `layout` says."""
        self._layouts[name] = layout

    def __getitem__(self, name: str) -> Tensor:
        """The tensor of this name or alias, in its shape; `InputError` where nothing makes it."""
        layout, shape, name = self._layouts.get(name), self._shapes.get(name), self.place(name)
        if name not in self.tensors:
            raise InputError(f"{name}: nothing that the accelerator runs writes this tensor")
        tensor = self.tensors[name]
        if layout is not None:
            return self._seen(tensor, layout)
        if shape is None or tensor.kind == "packed":
            return tensor
        return replace(tensor, shape=shape, pitch=tensor.pitch if shape[-1] == tensor.shape[-1] else shape[-1])

    def at(self, name: str, layout: Layout) -> Tensor:
        """Elements of the tensor of a name, a sample after the other, where `layout` says."""
        return self._seen(self.tensors[self.place(name)], layout)

    def _seen(self, tensor: Tensor, layout: Layout) -> Tensor:
        shape = (tensor.shape[0], *layout.shape)
        steps = tuple(step * tensor.element_bytes for step in (layout.sample, *layout.steps))
        offset = tensor.offset + layout.first * tensor.element_bytes
        return replace(tensor, shape=shape, pitch=shape[-1], offset=offset, steps=steps)
