"""A vector operation of the program as passes: one rounding each, which is how the trainer has them.

::

    sums ──► bias, convert ──memory──► add, convert, relu ──memory──► mask          a pass ends where the next operation
             └── drain ───┘            └───── in place ─────┘                       would have to come before it
"""

from collections import deque
from dataclasses import dataclass, field
from itertools import groupby

from dataflow.program import Vector
from hw.errors import InputError
from hw.isa.bits import PassStep

STEPS = {
    "bias": PassStep.SHIFT,
    "add": PassStep.RESIDUAL,
    "spread mean": PassStep.SCALE,
    "convert": PassStep.NARROW,
    "relu": PassStep.RELU,
    "mask": PassStep.GATE,
}
"""What the vector unit does, in the order in which a pass can."""

BESIDE = ("bias sums", "global mean")
"""Operations that are products with ones of their own."""


@dataclass
class Part:
    """A pass.

    Parameters
    ----------
    names : list of str
        Its operations, of `STEPS`.
    residuals : list of str
        What is added; several are added up first, in their order.
    gate : str, optional
        The tensor where whose elements are above zero, or NaN, the result passes.
    kept : str, optional
        The output of a ReLU whose mask the backward half needs.
    """

    names: list[str] = field(default_factory=list)
    residuals: list[str] = field(default_factory=list)
    gate: str | None = None
    kept: str | None = None

    @property
    def steps(self) -> int:
        """As in `hw.isa.commands.Pass`, but for widening."""
        return sum(STEPS[name] for name in self.names)

    def takes(self, name: str) -> bool:
        """Whether the operation can still come in this pass."""
        order = list(STEPS)
        return all(order.index(one) < order.index(name) for one in self.names)


@dataclass(frozen=True)
class Chain:
    """A vector operation.

    Parameters
    ----------
    source : str, optional
        The tensor that the first pass reads; None where its elements come from the drain of products.
    parts : list of Part
        The passes; the last one writes the operation's tensor, and the others do, too, unless they have one to keep.
    """

    source: str | None
    parts: list[Part]

    @classmethod
    def of(cls, vector: Vector) -> "Chain":
        """The passes of `vector`; `InputError` names what the accelerator cannot do."""
        names, reads = vector.what.split(", "), deque(vector.reads)
        kept = deque(_output(name) for name in vector.writes if name.endswith(".mask"))
        source = None if vector.fused else reads.popleft()
        parts = [Part()]
        for name, run in groupby(name for name in names if name not in BESIDE):
            if name not in STEPS:
                allowed = ", ".join((*STEPS, *BESIDE))
                raise InputError(
                    f"layer {vector.layer!r}, {vector.stage}: the accelerator cannot do {name!r}; allowed: {allowed}"
                )
            times, begins = len(list(run)), not parts[0].names
            for residuals in _residuals(vector, times, reads, begins=begins) if name == "add" else [[]] * times:
                if not parts[-1].takes(name):
                    parts.append(Part())
                part = parts[-1]
                part.names.append(name)
                part.residuals += residuals
                if name == "mask":
                    part.gate = _output(reads.popleft())
                elif name == "relu":
                    part.kept = kept.popleft()
        return cls(source, parts)

    @property
    def kept(self) -> list[str]:
        """The outputs of ReLUs that a later pass goes on from."""
        return [part.kept for part in self.parts[:-1] if part.kept]

    def written(self, number: int, target: str) -> str:
        """The tensor that a pass writes."""
        kept = self.parts[number].kept
        return kept if kept and number < len(self.parts) - 1 else target


def sums_of(target: str) -> str:
    """The tensor of what several others add up to, before they are added to `target`."""
    return f"{target}.others"


def _residuals(vector: Vector, adds: int, reads: deque[str], *, begins: bool) -> list[list[str]]:
    """What each of the additions that follow each other adds."""
    found = []
    while reads and not reads[0].endswith(".mask"):
        found.append(reads.popleft())
    if adds == len(found) or (begins and adds == 1):  # one after the other, as the trainer adds gradients up
        return [[name] for name in found]
    if adds == 1:
        return [found]
    raise InputError(f"layer {vector.layer!r}, {vector.stage}: {adds} additions of {len(found)} tensors cannot be told apart")


def _output(mask: str) -> str:
    """The tensor that says what a ReLU's mask would."""
    return mask.replace(".mask", ".output")
