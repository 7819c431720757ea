"""A product in pieces, as the load unit, the array and the drain hand them to each other.

Pieces are equal in runs: the parts of a tile but for its last, or the tiles up to where the array is emptied. Runs are equal
but for the very first piece, which loads what must be there at all, and the very last, which takes what does not divide.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from dataflow.jobs import Job
from dataflow.schedule import Schedule


@dataclass(frozen=True)
class Piece:
    """What the units do for one piece.

    Parameters
    ----------
    load_bytes : int
        Operands that must be there before the first step.
    steps, flush_steps : int
        Of the array: computing, and then emptying what stays in it.
    drains : bool
        Whether a tile ends with it, so that sums leave.
    engine_cycles, drain_bytes : int
        Of the vector or update engine, and memory traffic, for what leaves.
    """

    load_bytes: int
    steps: int
    flush_steps: int
    drains: bool
    engine_cycles: int
    drain_bytes: int


@dataclass(frozen=True, eq=False)
class Segment:
    """One product of a job.

    Parameters
    ----------
    job : Job
        Its job.
    plan : Schedule
        How it is cut.
    engine_cycles, drain_bytes : int
        Its share of what the job's drain costs.
    """

    job: Job
    plan: Schedule
    engine_cycles: int
    drain_bytes: int

    @property
    def pieces(self) -> int:
        """How many."""
        return self.plan.units

    @property
    def period(self) -> int:
        """Pieces after which they repeat: those of a tile, or of a single product that the array is emptied after."""
        return self.plan.units // self.plan.count if self.plan.flush_steps else self.plan.parts

    def run_end(self, index: int) -> int:
        """The last piece of the run that `index` is in."""
        length = self.plan.parts if self.plan.parts > 1 else self.period
        if length == 1:
            return self.pieces - 2
        last = index - index % length + length - 1
        return index if index == last else last - 1

    def piece(self, index: int) -> Piece:
        """Piece `index` of 0 up to `pieces`."""
        plan, last = self.plan, index == self.pieces - 1
        load = plan.first_bytes if index == 0 else _part(plan.load_bytes - plan.first_bytes, plan.units - 1, last)
        part = index % plan.parts
        drains = part == plan.parts - 1
        tiles = plan.units // plan.parts
        return Piece(
            load_bytes=load,
            steps=_part(plan.tile_steps, plan.parts, drains),
            flush_steps=plan.flush_steps if (index + 1) % (plan.units // plan.count) == 0 else 0,
            drains=drains,
            engine_cycles=_part(self.engine_cycles, tiles, last) if drains else 0,
            drain_bytes=_part(self.drain_bytes, tiles, last) if drains else 0,
        )


def segments(job: Job) -> Iterator[Segment]:
    """The products of an array job; the drain's cost goes with the steps."""
    total = sum(plan.steps for _, plan in job.products)
    before = 0
    for _, plan in job.products:
        after = before + plan.steps
        cycles, size = (cost * after // total - cost * before // total for cost in (job.cost.cycles, job.cost.bytes))
        yield Segment(job, plan, cycles, size)
        before = after


def _part(amount: int, parts: int, last: bool) -> int:
    """An equal part of `amount`; the last one takes what is left over, too."""
    return amount // parts + (amount % parts if last else 0)
