"""The program on SimPy: units that run ahead of each other and meet at tokens.

::

         ┌───────────── memory channel, shared, what the array waits for first ────────────┐
         │                               │                       │                         │
       load ──operands──> array ──sums──> drain                passes                   updates
         ^  two halves     │  ^             │ └─ vector lanes ──┘ (batch norm, pooling) (batch norm)
         └──── freed ──────┘  └── freed ────┘ └─ update lanes ─────────────────────────────┘

Each unit takes its jobs in program order and starts one when all that it reads is complete; operands are moved one half of a
buffer ahead. The last results leave the array `stce_latency_cycles` after its last step; only what waits for them sees that.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import simpy

from dataflow.convoys import Convoy, array_convoys, engine_convoys
from dataflow.jobs import Job, jobs
from dataflow.program import Program
from dataflow.timeline import Slice, Timeline, Work, slices
from hw.config import AcceleratorConfig

Process = Generator[Any, Any, None]

LOAD, DRAIN, PASS = 0, 1, 2
"""Priorities on the memory channel."""

PURPOSES = ("load", "drain", "pass")
"""What they are called on a timeline."""


@dataclass(frozen=True)
class Result:
    """What running a program took.

    Attributes
    ----------
    cycles : int
        Of the whole step.
    timeline : Timeline
        Of the array, `cycles` long.
    busy : dict of str to int
        Cycles in which ``array``, ``memory``, ``vector`` and ``update`` worked.
    memory_bytes : int
        Traffic of the step.
    work : list of Work
        What the units beside the array did, in order of their ends.
    """

    cycles: int
    timeline: Timeline
    busy: dict[str, int]
    memory_bytes: int
    work: list[Work] = field(repr=False, default_factory=list)

    @property
    def slices(self) -> tuple[Slice, ...]:
        """What each unit did when, for a timeline."""
        return tuple(slices(self.timeline.spans, self.work))


def run(program: Program, config: AcceleratorConfig) -> Result:
    """Run `program` on `config` and say where its cycles go."""
    machine = _Machine(jobs(config, program), config, overlap=program.techniques.schedule)
    machine.run()
    return Result(machine.timeline.end, machine.timeline, machine.busy, machine.memory_bytes, machine.work)


class _Machine:
    """The units, their queues and their tokens."""

    def __init__(self, work: Iterator[Job], config: AcceleratorConfig, *, overlap: bool) -> None:
        self.config = config
        self.env = simpy.Environment()
        self.memory = simpy.PriorityResource(self.env)
        self.engines = {name: simpy.Resource(self.env) for name in ("vector", "update")}
        self.input_halves = simpy.Container(self.env, capacity=2, init=2)
        self.output_halves = simpy.Container(self.env, capacity=2, init=2)
        self.operands: simpy.Store = simpy.Store(self.env)
        self.sums: simpy.Store = simpy.Store(self.env)
        self.jobs = tuple(work)
        self.after = dict(_dependencies(self.jobs, overlap=overlap))
        self.done = {job: self.env.event() for job in self.jobs}
        self.ready_at: dict[Job, int] = {}
        self.done_at: dict[Job, int] = {}
        self.draining: tuple[Job, Convoy] | None = None
        self.timeline = Timeline()
        self.busy = dict.fromkeys(("array", "memory", "vector", "update"), 0)
        self.memory_bytes = 0
        self.work: list[Work] = []

    @property
    def now(self) -> int:
        """The clock cycle; every delay in the model is whole."""
        return int(self.env.now)

    def run(self) -> None:
        """Run all units until nothing is left to do."""
        queues = {unit: [job for job in self.jobs if job.unit == unit] for unit in ("array", "vector", "update")}
        units = [unit(queues["array"]) for unit in (self._load, self._array, self._drain)]
        units += [self._engine(queues["vector"]), self._engine(queues["update"])]
        for unit in units:
            self.env.process(unit)
        self.env.run()
        last = queues["array"][-1]
        self.timeline.add(self.timeline.end + self.config.stce_latency_cycles, "drain", last.layer, last.stage)
        self.timeline.add(max(self.done_at.values()), last.cost.engine, last.layer, last.stage)

    def _load(self, queue: list[Job]) -> Process:
        """Bring operands into a free half of the buffers."""
        for job in queue:
            yield from self._wait(job)
            for convoy in array_convoys(job):
                yield self.input_halves.get(1)
                yield from self._move(convoy.load_bytes, LOAD, job)
                self.env.process(self._arrive(convoy))

    def _arrive(self, convoy: Convoy) -> Process:
        """Memory's latency, for which the next request does not wait."""
        yield self.env.timeout(self.config.dram_latency_cycles)
        yield self.operands.put(convoy)

    def _array(self, queue: list[Job]) -> Process:
        """Compute from a full half."""
        for job in queue:
            for _ in array_convoys(job):
                convoy = yield self.operands.get()
                self._blame_operands(job)
                yield self.output_halves.get(1)
                self.timeline.add(self.now, self._bottleneck(), job.layer, job.stage)
                yield self.env.timeout(convoy.steps)
                self.timeline.add(self.now, "compute", job.layer, job.stage)
                self.busy["array"] += convoy.steps
                yield self.input_halves.put(1)
                yield self.sums.put(convoy)

    def _drain(self, queue: list[Job]) -> Process:
        """Run the fused vector work, or the weight update, on the sums as they leave the array."""
        for job in queue:
            for _ in array_convoys(job):
                convoy = yield self.sums.get()
                self.draining = job, convoy
                yield from self._work(job, convoy, DRAIN)
                yield self.output_halves.put(1)
            self.env.process(self._finish(job, self.config.stce_latency_cycles))

    def _engine(self, queue: list[Job]) -> Process:
        """Passes and updates that do not come from a drain."""
        for job in queue:
            yield from self._wait(job)
            yield self.env.timeout(self.config.dram_latency_cycles)
            for convoy in engine_convoys(job):
                yield from self._work(job, convoy, PASS)
            yield from self._finish(job, 0)

    def _work(self, job: Job, convoy: Convoy, priority: int) -> Process:
        """Hold the engine while data streams through it: the slower of lanes and memory."""
        engine = job.cost.engine
        with self.engines[engine].request() as lanes:
            yield lanes
            start = self.now
            yield from self._move(convoy.drain_bytes, priority, job)
            yield self.env.timeout(max(0, start + convoy.engine_cycles - self.now))
            self.busy[engine] += convoy.engine_cycles
            self.work.append((engine, start, self.now, PURPOSES[priority], job.layer, job.stage))

    def _move(self, size_bytes: int, priority: int, job: Job) -> Process:
        """Occupy the memory channel."""
        cycles = ceil(size_bytes / self.config.dram_bytes_per_cycle)
        with self.memory.request(priority) as channel:
            yield channel
            yield self.env.timeout(cycles)
            self.work.append(("memory", self.now - cycles, self.now, PURPOSES[priority], job.layer, job.stage))
        self.busy["memory"] += cycles
        self.memory_bytes += size_bytes

    def _wait(self, job: Job) -> Process:
        """Until all that `job` reads is complete."""
        for other in self.after[job]:
            yield self.done[other]
        self.ready_at[job] = self.now

    def _finish(self, job: Job, latency_cycles: int) -> Process:
        yield self.env.timeout(latency_cycles)
        self.done_at[job] = self.now
        self.done[job].succeed()

    def _blame_operands(self, job: Job) -> None:
        """Say what the array has waited for since it last computed: results of a product, passes over them, then memory."""
        source = self._last_product_behind(job)
        if source is not None:
            self.timeline.add(self.done_at[source], "drain", job.layer, job.stage)
        self.timeline.add(self.ready_at[job], "vector", job.layer, job.stage)
        self.timeline.add(self.now, "memory", job.layer, job.stage)

    def _last_product_behind(self, job: Job) -> Job | None:
        """The array's job that `job` waited for, through passes that stand between the two."""
        last = max(self.after[job], key=lambda other: self.done_at[other], default=None)
        return last if last is None or last.unit == "array" else self._last_product_behind(last)

    def _bottleneck(self) -> str:
        """What the drain is slowed down by."""
        if self.draining is None:
            return "memory"
        job, convoy = self.draining
        moved = ceil(convoy.drain_bytes / self.config.dram_bytes_per_cycle)
        return job.cost.engine if convoy.engine_cycles > moved else "memory"


def _dependencies(work: tuple[Job, ...], *, overlap: bool) -> Iterator[tuple[Job, tuple[Job, ...]]]:
    """For each job, the earlier jobs that write what it reads, and without `overlap` also the one right before it."""
    writer: dict[str, Job] = {}
    for place, job in enumerate(work):
        before = () if overlap else work[max(0, place - 1) : place]
        yield job, tuple(dict.fromkeys((*(writer[name] for name in job.reads if name in writer), *before)))
        writer.update(dict.fromkeys(job.writes, job))
