"""What the array waits for: when jobs were ready, emptied and done, and the line of spans that follows from it."""

from collections.abc import Mapping

from dataflow.jobs import Job
from dataflow.timeline import Timeline


class Account:
    """Gives every cycle of the array a cause.

    Parameters
    ----------
    after : mapping of Job to tuple of Job
        What each job waits for.
    dram_bytes_per_cycle : float
        Rate of memory.

    Attributes
    ----------
    timeline : Timeline
        Of the array.
    ready_at, emptied_at, done_at : dict of Job to int
        When a job's inputs were complete, when its last results were at the array's edge, and when they were drained.
    """

    def __init__(self, after: Mapping[Job, tuple[Job, ...]], dram_bytes_per_cycle: float) -> None:
        self.timeline = Timeline()
        self.ready_at: dict[Job, int] = {}
        self.emptied_at: dict[Job, int] = {}
        self.done_at: dict[Job, int] = {}
        self._after, self._rate = after, dram_bytes_per_cycle

    def had_operands(self, job: Job, now: int) -> None:
        """The array has waited until `now`: for results of a product, for passes over them, then for operands."""
        source = self._last_product_behind(job)
        if source is not None:
            self._add(min(self.emptied_at[source], self.done_at[source]), "fill_drain", job)
            self._add(self.done_at[source], self._limit(source), job)
        last = self._last_before(job)
        if last is not None:
            self._add(self.ready_at[job], last.cost.engine, job)
        self._add(now, "operands", job)

    def had_room(self, job: Job, draining: Job, now: int) -> None:
        """The array has waited until `now` for room, because of how slowly results of `draining` leave."""
        self._add(now, self._limit(draining), job)

    def computed(self, job: Job, flush_steps: int, now: int) -> None:
        """The array has computed until `now`, the last steps to empty itself."""
        self._add(now - flush_steps, "compute", job)
        self._add(now, "fill_drain", job)

    def close(self, last: Job) -> None:
        """`last` was the array's last job."""
        self._add(self.emptied_at[last], "fill_drain", last)
        self._add(self.done_at[last], self._limit(last), last)
        self._add(max(self.done_at.values()), "idle", last)

    def _add(self, until: int, cause: str, job: Job) -> None:
        self.timeline.add(until, cause, job.layer, job.stage)

    def _limit(self, job: Job) -> str:
        """The slower of an engine's lanes and memory, for what a job drains."""
        return job.cost.engine if job.cost.cycles > job.cost.bytes / self._rate else "memory"

    def _last_before(self, job: Job) -> Job | None:
        """Of what `job` waited for, what was complete last."""
        return max(self._after[job], key=lambda other: self.done_at[other], default=None)

    def _last_product_behind(self, job: Job) -> Job | None:
        """The array's job that `job` waited for, through passes that stand between the two."""
        last = self._last_before(job)
        return last if last is None or last.unit == "array" else self._last_product_behind(last)
