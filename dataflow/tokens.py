"""Layers of transformers: products of two activations, normalisation of rows, tokens."""

from dataclasses import dataclass
from math import prod

from dataflow.network import Layer, Normalisation, Shape
from hw.errors import InputError


@dataclass(frozen=True, kw_only=True)
class MatMul(Layer):
    """Product of two activations, (*lead, m, k) times (*lead, k, n), or (*lead, n, k) where `transposed`.

    Never pruned. Of its two gradients, the right operand's takes the place that a weighted layer's weight gradient has.

    Parameters
    ----------
    transposed : bool
        Whether the right operand's rows are multiplied.
    scale : float
        What the sums are multiplied by, as binary32, before they are rounded; those of the gradients, too.
    """

    transposed: bool = False
    scale: float = 1.0

    def output_shape(self, *shapes: Shape) -> Shape:
        """(*lead, m, n)."""
        if not 2.0**-126 <= abs(self.scale) <= 2.0**127:
            raise InputError(f"layer {self.name!r}: scale must be in 2^-126..2^127, or so below 0, not {self.scale}")
        m, n, k = self.sizes(*shapes)
        if shapes[0][:-2] != shapes[1][:-2] or k != shapes[1][-1 if self.transposed else -2]:
            wanted = "(*lead, n, k)" if self.transposed else "(*lead, k, n)"
            raise InputError(f"layer {self.name!r}: MatMul needs (*lead, m, k) and {wanted}, not {shapes[0]} and {shapes[1]}")
        return (*shapes[0][:-2], m, n)

    def sizes(self, *shapes: Shape) -> tuple[int, int, int]:
        """(m, n, k)."""
        for shape in shapes:
            if len(shape) < 2:
                raise self._reject(shape, "at least two axes a sample")
        return shapes[0][-2], shapes[1][-2 if self.transposed else -1], shapes[0][-1]

    def macs(self, *shapes: Shape) -> int:
        return prod(shapes[0][:-2]) * prod(self.sizes(*shapes))


@dataclass(frozen=True, kw_only=True)
class LayerNorm(Normalisation):
    """Normalisation over the last axis, with learned scale and shift.

    Parameters
    ----------
    size : int, optional
        Learned numbers, by default two for each entry of the last axis.
    epsilon : float
        Added to the variance, as binary32.
    """

    size: int | None = None
    epsilon: float = 1e-5

    def learned(self, *shapes: Shape) -> int:
        return 2 * shapes[0][-1] if self.size is None else self.size


@dataclass(frozen=True, kw_only=True)
class Softmax(Normalisation):
    """Exponentials over the last axis, divided by their sum."""


@dataclass(frozen=True, kw_only=True)
class Activation(Layer):
    """An element-wise function whose gradient needs its input, such as GELU."""

    kind: str = "gelu"


@dataclass(frozen=True, kw_only=True)
class Embed(Layer):
    """(H, W, C) or (T, C) as tokens, a learned class token in front, a learned position added to each."""

    def output_shape(self, *shapes: Shape) -> Shape:
        """(T + 1, C)."""
        return (prod(shapes[0][:-1]) + 1, shapes[0][-1])

    def learned(self, *shapes: Shape) -> int:
        """A position a token, and the class token."""
        return (prod(shapes[0][:-1]) + 2) * shapes[0][-1]


@dataclass(frozen=True, kw_only=True)
class Select(Layer):
    """One entry of the first axis, such as the class token."""

    index: int = 0

    def output_shape(self, *shapes: Shape) -> Shape:
        """All axes but the first."""
        if not 0 <= self.index < shapes[0][0]:
            raise InputError(f"layer {self.name!r}: index must be in 0..{shapes[0][0] - 1}, not {self.index}")
        return shapes[0][1:]
