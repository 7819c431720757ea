"""The program on SimPy: units that run ahead of each other and meet at tokens.

::

         ┌───────────── memory channel, shared, what the array waits for first ────────────┐
         │                               │                       │                         │
       load ──operands──> array ──sums──> drain                passes                   updates
         ^    shares       │  ^             │ └─ vector lanes ──┘ (batch norm, pooling) (batch norm)
         └──── freed ──────┘  └── freed ────┘ └─ update lanes ─────────────────────────────┘

Each unit takes its jobs in program order and starts one when all that it reads is complete; operands are moved as many pieces
ahead as a buffer has shares. The last results leave the array `stce_latency_cycles` after its last step, and an engine
`Cost.latency_cycles` after it has taken the last element; only what waits for them sees that. Repetition is skipped, see
`dataflow.repetition`.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from math import ceil, lcm
from typing import Any

import simpy

from dataflow.account import Account
from dataflow.jobs import Job, jobs
from dataflow.pieces import Piece, Segment, segments
from dataflow.pins import SPLITS
from dataflow.program import Program
from dataflow.repetition import Repetition
from dataflow.servers import DRAIN, LOAD, PASS, Server
from dataflow.timeline import Slice, Timeline, Work, slices
from hw.config import AcceleratorConfig

Process = Generator[Any, Any, None]

SPACE = lcm(*SPLITS)
"""What the operand buffers have room for, in parts that every share is a whole number of."""

RESULT_HALVES = 2
"""Tiles of sums that the output buffer holds: one is filled while the other is drained."""


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
        What the units beside the array did.
    skipped_cycles : int
        Of `cycles`, those that were not simulated but follow from repetition.
    """

    cycles: int
    timeline: Timeline
    busy: dict[str, int]
    memory_bytes: int
    work: list[Work] = field(repr=False, default_factory=list)
    skipped_cycles: int = 0

    @property
    def slices(self) -> tuple[Slice, ...]:
        """What each unit did when, for a timeline; a repetition that was skipped is one slice a unit and command."""
        return tuple(slices(self.timeline.spans, self.work))


def run(program: Program, config: AcceleratorConfig, *, fast_forward: bool = True) -> Result:
    """Run `program` on `config` and say where its cycles go.

    Parameters
    ----------
    program, config : Program, AcceleratorConfig
        What runs on what.
    fast_forward : bool
        Whether repetition is skipped. The result is the same without, but for how finely `Result.slices` are cut.
    """
    machine = Machine(jobs(config, program), config, overlap=program.techniques.schedule)
    machine.run(Repetition(machine) if fast_forward else None)
    servers = machine.servers.values()
    work = [done for server in servers for done in server.work]
    busy = {"array": machine.busy} | {name: server.busy for name, server in machine.servers.items()}
    timeline = machine.account.timeline
    return Result(timeline.end, timeline, busy, machine.memory_bytes, work, machine.skipped)


@dataclass
class Position:
    """How far a unit is in a product: at piece `index` of `segment`."""

    segment: Segment
    index: int


class Machine:
    """The units, their queues and their tokens.

    Attributes
    ----------
    skipped : int
        Cycles that SimPy's clock is behind the machine's.
    positions : dict of str to Position
        Of ``load``, ``array`` and ``drain``.
    doing : dict of str to tuple
        What each unit does or waits for.
    sleeping : dict of int to (str, int)
        Every wait for a given time: whose, and when on SimPy's clock it ends.
    """

    def __init__(self, work: Iterator[Job], config: AcceleratorConfig, *, overlap: bool) -> None:
        self.config = config
        self.env = simpy.Environment()
        self.servers = {name: Server(self.env, name, lambda: self.now) for name in ("memory", "vector", "update")}
        self.space = simpy.Container(self.env, capacity=SPACE, init=SPACE)
        self.operands = simpy.Container(self.env)
        self.room = simpy.Container(self.env, capacity=RESULT_HALVES, init=RESULT_HALVES)
        self.sums = simpy.Container(self.env)
        self.jobs = tuple(work)
        self.after = dict(_dependencies(self.jobs, overlap=overlap))
        self.done = {job: self.env.event() for job in self.jobs}
        self.account = Account(self.after, config.dram_bytes_per_cycle)
        self.busy = 0
        self.memory_bytes = 0
        self.skipped = 0
        self.positions: dict[str, Position] = {}
        self.doing: dict[str, tuple[Any, ...]] = {}
        self.sleeping: dict[int, tuple[str, int]] = {}
        self.started = self.env.event()
        self._naps = 0

    @property
    def now(self) -> int:
        """The clock cycle; every delay in the model is whole."""
        return int(self.env.now) + self.skipped

    def run(self, repetition: Repetition | None) -> None:
        """Run all units until nothing is left to do."""
        queues = {unit: [job for job in self.jobs if job.unit == unit] for unit in ("array", "vector", "update")}
        cut = {job: tuple(segments(job)) for job in queues["array"]}
        units = [unit(cut) for unit in (self._load, self._array, self._drain)]
        units += [self._engine(name, queues[name]) for name in ("vector", "update")]
        for unit in units:
            self.env.process(unit)
        if repetition:
            self.env.process(repetition.watch())
        self.env.run()
        self.account.close(queues["array"][-1])

    def _load(self, cut: dict[Job, tuple[Segment, ...]]) -> Process:
        """Bring operands into a free share of the buffers."""
        for job, parts in cut.items():
            yield from self._wait("load", job)
            for segment, piece in self._pieces("load", parts):
                self.doing["load"] = ("room", segment)
                yield self.space.get(SPACE // segment.plan.split)
                self.doing["load"] = ("move", segment)
                yield self._move(piece.load_bytes, LOAD, "load", job)
                self.env.process(self._arrive())

    def _arrive(self) -> Process:
        """Memory's latency, for which the next request does not wait."""
        yield from self._sleep("arrival", self.config.dram_latency_cycles)
        yield self.operands.put(1)

    def _array(self, cut: dict[Job, tuple[Segment, ...]]) -> Process:
        """Compute from a full share."""
        for job, parts in cut.items():
            for segment, piece in self._pieces("array", parts):
                self.doing["array"] = ("operands", segment)
                yield self.operands.get(1)
                self.account.had_operands(job, self.now)
                if piece.drains:
                    self.doing["array"] = ("room", segment)
                    yield self.room.get(1)
                    self.account.had_room(job, self.positions["drain"].segment.job, self.now)
                self.doing["array"] = ("compute", segment)
                self.started.succeed()
                self.started = self.env.event()
                yield from self._sleep("array", piece.steps + piece.flush_steps)
                self.account.computed(job, piece.flush_steps, self.now)
                self.busy += piece.steps + piece.flush_steps
                yield self.space.put(SPACE // segment.plan.split)
                if piece.drains:
                    yield self.sums.put(1)
            self.account.emptied_at[job] = self.now + self.config.stce_latency_cycles

    def _drain(self, cut: dict[Job, tuple[Segment, ...]]) -> Process:
        """Run the fused vector work, or the weight update, on the sums as they leave the array."""
        for job, parts in cut.items():
            for segment, piece in self._pieces("drain", parts, last_of_tile=True):
                self.doing["drain"] = ("sums", segment)
                yield self.sums.get(1)
                self.doing["drain"] = ("drain", segment)
                yield self._stream(job, piece.engine_cycles, piece.drain_bytes, DRAIN, "drain")
                yield self.room.put(1)
            self.env.process(self._finish(job, self.config.stce_latency_cycles + job.cost.latency_cycles))

    def _engine(self, name: str, queue: list[Job]) -> Process:
        """Passes and updates that do not come from a drain."""
        for job in queue:
            yield from self._wait(name, job)
            self.doing[name] = ("latency", job)
            yield from self._sleep(name, self.config.dram_latency_cycles)
            self.doing[name] = ("pass", job)
            yield self._stream(job, job.cost.cycles, job.cost.bytes, PASS, name)
            self.env.process(self._finish(job, job.cost.latency_cycles))

    def _pieces(self, unit: str, parts: tuple[Segment, ...], *, last_of_tile: bool = False) -> Iterator[tuple[Segment, Piece]]:
        """Every piece in turn, or the last one of every tile, from wherever `positions` says that `unit` is."""
        for segment in parts:
            stride = segment.plan.parts if last_of_tile else 1
            position = self.positions[unit] = Position(segment, stride - 1)
            while position.index < segment.pieces:
                yield segment, segment.piece(position.index)
                position.index += stride

    def _stream(self, job: Job, cycles: int, size_bytes: int, priority: int, owner: str) -> simpy.Event:
        """Data through an engine's lanes and the memory channel, until the slower of the two is through."""
        lanes = self.servers[job.cost.engine].serve(cycles, priority, owner, (job.layer, job.stage))
        return lanes & self._move(size_bytes, priority, owner, job)

    def _move(self, size_bytes: int, priority: int, owner: str, job: Job) -> simpy.Event:
        """Bytes through the memory channel."""
        self.memory_bytes += size_bytes
        cycles = ceil(size_bytes / self.config.dram_bytes_per_cycle)
        return self.servers["memory"].serve(cycles, priority, owner, (job.layer, job.stage))

    def _wait(self, unit: str, job: Job) -> Process:
        """Until all that `job` reads is complete."""
        self.doing[unit] = ("wait", job)
        for other in self.after[job]:
            yield self.done[other]
        self.account.ready_at[job] = self.now

    def _finish(self, job: Job, latency_cycles: int) -> Process:
        yield from self._sleep("finish", latency_cycles)
        self.account.done_at[job] = self.now
        self.done[job].succeed()

    def _sleep(self, whose: str, cycles: int) -> Process:
        self._naps += 1
        nap = self._naps
        self.sleeping[nap] = whose, int(self.env.now) + cycles
        yield self.env.timeout(cycles)
        del self.sleeping[nap]


def _dependencies(work: tuple[Job, ...], *, overlap: bool) -> Iterator[tuple[Job, tuple[Job, ...]]]:
    """For each job, the earlier jobs that write what it reads, and without `overlap` also the one right before it."""
    writer: dict[str, Job] = {}
    for place, job in enumerate(work):
        before = () if overlap else work[max(0, place - 1) : place]
        yield job, tuple(dict.fromkeys((*(writer[name] for name in job.reads if name in writer), *before)))
        writer.update(dict.fromkeys(job.writes, job))
