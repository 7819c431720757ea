"""A job's pieces, bundled so that a step has few events however large it is.

Equal pieces travel in convoys that start with one piece, grow by half, and shrink back to one: they have the length of a piece
at both ends, where a job's latency shows, and are long in the middle, where only rates count.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from dataflow.jobs import Job

PARTS = 16
"""A convoy is at most this part of its job."""

PASS_BYTES = 4096
"""Traffic of one piece of a pass: what a burst moves at most."""

GROWTH = 1.5
"""Each convoy is this much longer than the one before."""


@dataclass(frozen=True)
class Convoy:
    """Pieces that move together.

    Parameters
    ----------
    load_bytes : int
        Operands that must be there before the first step.
    steps : int
        Of the array.
    engine_cycles : int
        Of the vector or update engine, for what the convoy drains.
    drain_bytes : int
        Memory traffic of the drain.
    """

    load_bytes: int
    steps: int
    engine_cycles: int
    drain_bytes: int


def lengths(pieces: int) -> list[int]:
    """Convoys of `pieces`, first to last.

    >>> lengths(60)
    [1, 1, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 1, 3, 3, 3, 3, 3, 3, 3, 3, 2, 1, 1]
    """
    most = max(1, pieces // PARTS)
    front: list[int] = []
    back: list[int] = []
    length, left = 1.0, pieces
    while left:
        for side in (front, back):
            convoy = min(int(length), most, left)
            if convoy:
                side.append(convoy)
            left -= convoy
        length *= GROWTH
    return front + back[::-1]


def array_convoys(job: Job) -> Iterator[Convoy]:
    """The convoys of an array job, its products one after the other; the drain's cost goes with the steps."""
    total = sum(plan.steps for _, plan in job.products)
    before = 0
    for _, plan in job.products:
        bounds = _bounds(lengths(plan.units))
        loads = [plan.first_bytes, *_split(plan.load_bytes - plan.first_bytes, [bound - 1 for bound in bounds[1:]])]
        steps = _split(plan.steps, bounds)
        ends = [before, *(before + sum(steps[: index + 1]) for index in range(len(steps)))]
        engine, drained = _split(job.cost.cycles, ends, total), _split(job.cost.bytes, ends, total)
        before = ends[-1]
        for values in zip(loads, steps, engine, drained, strict=True):
            yield Convoy(*values)


def engine_convoys(job: Job) -> Iterator[Convoy]:
    """The convoys of a job that only the vector or update engine works on."""
    bounds = _bounds(lengths(-(-job.cost.bytes // PASS_BYTES)))
    for cycles, size in zip(_split(job.cost.cycles, bounds), _split(job.cost.bytes, bounds), strict=True):
        yield Convoy(0, 0, cycles, size)


def _bounds(convoys: Sequence[int]) -> list[int]:
    bounds = [0]
    for convoy in convoys:
        bounds.append(bounds[-1] + convoy)
    return bounds


def _split(amount: int, bounds: Sequence[int], whole: int | None = None) -> list[int]:
    """Whole parts of `amount` in proportion to the gaps between `bounds`; they add up where the bounds span `whole`."""
    whole = bounds[-1] if whole is None else whole
    return [amount * high // max(1, whole) - amount * low // max(1, whole) for low, high in pairwise(bounds)]
