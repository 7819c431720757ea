"""N:M ratios (plain Python). N is the number *kept* of every M along the grouped axis."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from fractions import Fraction

from hw.errors import InputError
from hw.inputs import shown, whole

MAX_KEPT = 4
"""The largest N of the supported ratios."""

MOST = 1024
"""Of M: groups of more are no structure that hardware could use."""


@dataclass(frozen=True)
class Ratio:
    """Keep `n` of every `m` consecutive elements; `DENSE` keeps one of one.

    Parameters
    ----------
    n : int
        Elements kept of a group, 1..m.
    m : int
        Elements of a group, at least 1.
    """

    n: int
    m: int

    def __post_init__(self) -> None:
        if not 1 <= self.m <= MOST:
            raise InputError(f"m must be in 1..{MOST}, not {shown(self.m)}")
        if not 1 <= self.n <= self.m:
            raise InputError(f"n must be in 1..m, not {shown(self.n)} (m = {self.m})")

    @property
    def is_dense(self) -> bool:
        """Whether nothing is pruned."""
        return self.n == self.m

    @property
    def density(self) -> Fraction:
        """The fraction kept, N/M."""
        return Fraction(self.n, self.m)

    @property
    def index_bits(self) -> int:
        """Bits of a packed index, ceil(log2 M)."""
        return (self.m - 1).bit_length()

    @property
    def each(self) -> tuple["Ratio", ...]:
        """All ratios that layers have."""
        return (self,)

    def of(self, layer: str) -> "Ratio":
        """The ratio of a layer: this one."""
        return self

    def names(self, layer: str) -> bool:
        """Whether it speaks of that layer alone."""
        return False

    def check(self, layers: Iterable[str]) -> None:
        """Nothing to check against a network's layers."""

    def groups(self, length: int) -> int:
        """Groups that an axis of `length` elements makes, a short last one included."""
        return -(-length // self.m)

    def kept(self, length: int) -> int:
        """Packed elements of an axis of `length`: always exactly N a group."""
        return self.groups(length) * self.n

    def __str__(self) -> str:
        return "dense" if self == DENSE else f"{self.n}:{self.m}"


DENSE = Ratio(1, 1)


@dataclass(frozen=True)
class LayerRatios:
    """A ratio for each layer, by name; a layer that no entry is of stays dense.

    Parameters
    ----------
    entries : tuple of (str, Ratio)
        A layer's name, or a pattern with ``*``, ``?`` or ``[...]``, and its ratio. The first that fits counts. A layer whose
        whole name stands here is pruned even where layers of its place stay dense, as a network's first and last do.
    """

    entries: tuple[tuple[str, Ratio], ...]

    @property
    def is_dense(self) -> bool:
        """Whether nothing is pruned."""
        return all(ratio.is_dense for ratio in self.each)

    @property
    def each(self) -> tuple[Ratio, ...]:
        """All ratios that layers have."""
        return tuple(ratio for _, ratio in self.entries)

    def of(self, layer: str) -> Ratio:
        """The ratio of a layer."""
        return next((ratio for pattern, ratio in self.entries if fnmatchcase(layer, pattern)), DENSE)

    def names(self, layer: str) -> bool:
        """Whether an entry is of that layer alone."""
        return any(pattern == layer for pattern, _ in self.entries)

    def check(self, layers: Iterable[str]) -> None:
        """Raise `InputError` where an entry is of none of `layers`, those of a network that have weights."""
        known = list(layers)
        for pattern, _ in self.entries:
            if not any(fnmatchcase(layer, pattern) for layer in known):
                raise InputError(f"ratio: no layer with weights is called {shown(pattern)}; there are {', '.join(known)}")

    def __str__(self) -> str:
        return ",".join(f"{pattern}={ratio}" for pattern, ratio in self.entries)


Ratios = Ratio | LayerRatios
"""Of a whole network: one for all layers that are pruned, or one each."""


def parse_ratios(text: str) -> Ratios:
    """Read ``"N:M"``, ``"dense"``, or ``"layer=N:M,pattern=dense,..."``.

    >>> parse_ratios("fc=2:4,conv*=dense,*=2:8").of("conv3").is_dense
    True
    """
    if "=" not in text:
        return parse_ratio(text)
    parts = [part.partition("=") for part in text.split(",")]
    if not all(name.strip() and equals for name, equals, _ in parts):
        raise InputError(f"ratio: each layer needs LAYER=N:M or LAYER=dense, such as fc=2:4,*=2:8, not {shown(text)}")
    return LayerRatios(tuple((name.strip(), parse_ratio(ratio.strip())) for name, _, ratio in parts))


def parse_ratio(text: str) -> Ratio:
    """Read ``"N:M"`` or ``"dense"``.

    >>> parse_ratio("2:8").density
    Fraction(1, 4)
    """
    if text == "dense":
        return DENSE
    match = re.fullmatch(r"(\d+):(\d+)", text)
    if match is None:
        raise InputError(f"ratio must be 'dense' or N:M with N kept of M, such as 2:8, not {shown(text)}")
    try:
        return Ratio(whole(match[1], MOST), whole(match[2], MOST))
    except InputError as error:
        raise InputError(f"ratio {shown(text)}: {error}") from None
