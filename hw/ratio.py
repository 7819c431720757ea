"""N:M ratios (plain Python). N is the number *kept* of every M along the grouped axis."""

import re
from dataclasses import dataclass
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

    def groups(self, length: int) -> int:
        """Groups that an axis of `length` elements makes, a short last one included."""
        return -(-length // self.m)

    def kept(self, length: int) -> int:
        """Packed elements of an axis of `length`: always exactly N a group."""
        return self.groups(length) * self.n

    def __str__(self) -> str:
        return "dense" if self == DENSE else f"{self.n}:{self.m}"


DENSE = Ratio(1, 1)


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
