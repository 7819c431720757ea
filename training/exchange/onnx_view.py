"""How a tensor of an ONNX file looks at the layer that has its elements: any order of axes, split, joined, the batch anywhere.

::

    layer (H, W, C) of each sample         file  (B, C, H, W)   axes  B | C | H | W
    layer (T, heads·D)                     file  (T, B·heads, D)   axes  T | B heads | D

Nothing moves until a node needs a sample's axes in the file's order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from dataflow.network import Shape

Key = tuple[int, ...]
Item = tuple[Key, int]
"""A part of an axis of the layer, which keys put in order, and its size."""

Axes = tuple[tuple[Item, ...], ...]
"""Of a tensor, each from its outermost item to its innermost."""

BATCH: Key = (-1,)
ONE: Key = (1 << 30,)
"""The key of an axis of size 1 that the layer does not have."""


@dataclass(frozen=True)
class View:
    """A tensor.

    Parameters
    ----------
    layer : str
        What has its elements.
    axes : Axes
        Of the tensor.
    """

    layer: str
    axes: Axes

    @classmethod
    def of(cls, layer: str, shape: Shape, batch: int) -> "View":
        """The layer's own axes behind the batch."""
        return cls(layer, (((BATCH, batch),), *((((place,), size),) for place, size in enumerate(shape))))

    @property
    def shape(self) -> Shape:
        """Of the tensor."""
        return tuple(prod(size for _, size in axis) for axis in self.axes)

    @property
    def samples_first(self) -> bool:
        """Whether the first axis is the batch."""
        return [key for key, _ in self.axes[0]] == [BATCH]

    def has_batch(self, axis: int) -> bool:
        """Whether samples are told apart along an axis."""
        return any(key == BATCH for key, _ in self.axes[axis])

    def lead(self, batch: int) -> Axes:
        """All axes but the last two; of a batch of one sample its place does not matter."""
        axes = self.axes[:-2]
        if batch > 1:
            return axes
        return tuple(left for axis in axes if (left := tuple(item for item in axis if item[0] != BATCH)))

    def transposed(self, order: Sequence[int]) -> "View":
        """With the axes in another order."""
        return View(self.layer, tuple(self.axes[axis] for axis in order))

    def reshaped(self, shape: Sequence[int]) -> "View | None":
        """Under another shape; None where that would tear samples apart."""
        left = [item for axis in self.axes for item in axis if item[1] != 1 or item[0] == BATCH][::-1]
        axes: list[tuple[Item, ...]] = []
        for place, size in enumerate(shape):
            group: list[Item] = []
            while size > 1 or (left and left[-1] == (BATCH, 1) and not group and size == 1):
                if not left:
                    return None
                key, length = left.pop()
                if size % length == 0:
                    group.append((key, length))
                    size //= length
                elif length % size == 0 and key != BATCH:
                    group.append(((*key, 0), size))
                    left.append(((*key, 1), length // size))
                    size = 1
                else:
                    return None
            if left and left[-1] == (BATCH, 1) and 1 not in shape[place + 1 : place + 2]:
                group.append(left.pop())  # of a single sample: with what stands before it
            axes.append(tuple(group) or ((ONE, 1),))
        return None if left else View(self.layer, tuple(axes))

    def runs(self) -> Iterator[tuple[Item, ...]]:
        """The axes of a sample in the tensor's order: those of the tensor, without the batch, which parts one that it is in."""
        for axis in self.axes:
            run: list[Item] = []
            for item in axis:
                if item[0] != BATCH:
                    run.append(item)
                elif run:
                    yield tuple(run)
                    run = []
            if run:
                yield tuple(run)

    def of_runs(self, layer: str) -> "View":
        """The same of a layer whose axes are those of `runs`."""
        count, axes = 0, list[tuple[Item, ...]]()
        for axis in self.axes:
            made: list[Item] = []
            before = BATCH
            for key, size in axis:
                if key == BATCH:
                    made.append((key, size))
                elif before == BATCH or not made:
                    made.append(((count,), size))
                    count += 1
                else:
                    made[-1] = made[-1][0], made[-1][1] * size
                before = key
            axes.append(tuple(made))
        return View(layer, tuple(axes))

    def steps(self, shape: Shape) -> Iterator[Shape | tuple[str, Sequence[int]]]:
        """What makes a sample of `runs` of the layer, which has `shape`: shapes to reshape to, and orders of axes."""
        runs = list(self.runs())
        final = tuple(prod(size for _, size in run) for run in runs)
        flat = [item for run in runs for item in run]
        order = sorted(range(len(flat)), key=lambda place: flat[place][0])
        if order != list(range(len(flat))):
            split = tuple(flat[place][1] for place in order)
            if split != shape:
                yield split
            yield "order", [order.index(place) for place in range(len(flat))]
            shape = tuple(size for _, size in flat)
        if final and final != shape:
            yield final
