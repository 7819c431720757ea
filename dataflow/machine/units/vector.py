"""The vector unit: words of passes, and of updates with their packed copies."""

from collections import deque

from dataflow.machine.units.clock import Clock, Fifo, Meter, Unit
from dataflow.machine.units.held import PRIMED_CYCLES, HeldFactors
from dataflow.machine.units.state import State
from hw.config import AcceleratorConfig
from hw.isa.bits import PassOption, PassStep, UpdateCopy, takes_pairs, takes_residual, takes_third
from hw.isa.commands import Pass, Sink, Source, Update
from hw.isa.microarchitecture import SINK_WORDS
from hw.isa.reductions import across_cycles, partial_sums, result_cycles

COPY_SINKS = (Sink.COPY, Sink.FORWARD, Sink.BACKWARD)


class Pipeline:
    """A pipeline that holds while its last word is offered and not taken.

    Parameters
    ----------
    latency_cycles : int
        From a word taken until it is offered.
    """

    def __init__(self, latency_cycles: int) -> None:
        self.latency_cycles = latency_cycles
        self.words: deque[int] = deque()
        self.cycles = 0  # in which it did not hold

    def state(self, out: State) -> None:
        """As `dataflow.machine.units.clock.Unit.state`."""
        out.same(self.latency_cycles)
        out.same(len(self.words))
        for word in self.words:
            out.same(word - self.cycles)

    @property
    def offers(self) -> bool:
        """Whether a word is at the end."""
        return bool(self.words) and self.words[0] + self.latency_cycles == self.cycles

    def advance(self, *, gives: bool, takes: bool) -> None:
        """A cycle in which it does not hold."""
        if gives:
            self.words.popleft()
        if takes:
            self.words.append(self.cycles)
        self.cycles += 1


class Packer:
    """A reduction engine: N words out behind every M in, see `hw.sore.SORE`."""

    def __init__(self) -> None:
        self.index, self.left = 0, 0

    def state(self, out: State) -> None:
        """As `dataflow.machine.units.clock.Unit.state`."""
        out.same(self.index)
        out.same(self.left)

    def ready(self, m: int, room: bool) -> bool:
        """Whether it takes a word."""
        return self.index + 1 != m or not self.left or (self.left == 1 and room)

    def step(self, n: int, m: int, *, takes: bool, gives: bool) -> None:
        """A cycle."""
        self.left -= gives
        if takes:
            self.index += 1
            if self.index == m:
                self.index, self.left = 0, n


NEVER = 1 << 62


class Reductions:
    """A reduction unit, see `hw.reductions`: terms a word a cycle, then results a word a cycle.

    Over lanes it takes terms again as soon as the last row is read, for which the results of the rows before must be given.

    Parameters
    ----------
    lanes, add_latency_cycles : int
        As many as it has; of its adders.
    """

    def __init__(self, lanes: int, add_latency_cycles: int) -> None:
        self.lanes, self.add_latency_cycles = lanes, add_latency_cycles
        self.groups = self.terms = 1
        self.partials, self.across = 1, False
        self.taken = self.left = self.at = 0  # words of terms; of results that are due; when it gives or takes again
        self.reads_at, self.gives_at = -1, NEVER  # rows, as soon as there is room; what came of those that were read
        self.reduced = 0  # terms are complete

    def begin(self, work: Pass) -> None:
        """Reductions of another pass; the last one's results have been given."""
        in_turn, self.across = (bool(work.options & option) for option in (PassOption.IN_TURN, PassOption.ACROSS))
        self.groups, self.terms = work.groups, work.terms
        self.partials = partial_sums(self.lanes, in_turn=in_turn, across=self.across)

    def state(self, out: State) -> None:
        """As `dataflow.machine.units.clock.Unit.state`."""
        out.same(self.groups)
        out.same(self.terms)
        out.same(self.left)
        out.same(self.partials)
        out.same(self.across)
        out.time(self.at)
        out.same(self.reads_at >= 0)
        out.time(self.reads_at)
        out.same(self.gives_at < NEVER)
        out.time(0 if self.gives_at == NEVER else self.gives_at)
        out.toward(self, "taken", self.groups * self.terms, self.reduced)

    def takes(self, now: int) -> bool:
        """Whether it takes a word of terms in this cycle."""
        return not self.left and self.reads_at < 0 and now >= self.at

    def offers(self, now: int) -> bool:
        """Whether it offers a result."""
        return now >= self.gives_at if self.across else self.left > 0 and now >= self.at

    def take(self, now: int) -> None:
        """A word of terms."""
        self.taken += 1
        if self.taken == self.groups * self.terms:
            self.taken = 0
            self.reduced += 1
            cycles = result_cycles(self.groups, self.terms, self.add_latency_cycles, self.partials)
            if self.across:
                self.reads_at = now + cycles - 1
                if self.gives_at == NEVER:
                    self._read(self.reads_at)
            else:
                self.left, self.at = self.groups, now + cycles

    def give(self, now: int) -> None:
        """A result."""
        if self.across:
            self.gives_at = NEVER
            if self.reads_at >= 0:
                self._read(max(self.reads_at, now + 1))
        else:
            self.left -= 1
            self.at = now + 1

    def _read(self, now: int) -> None:
        """Rows are read from a cycle on."""
        self.reads_at, self.at = -1, now + self.lanes
        self.gives_at = now + across_cycles(self.lanes, self.add_latency_cycles)


class VectorUnit(Unit):
    """See `hw.vector_unit.VectorUnit`.

    Parameters
    ----------
    clock, config : Clock, AcceleratorConfig
        Time, and the latencies.
    i, sums : Fifo
        Passes and updates; words of sums.
    inputs : dict of Source to Fifo
        Words from memory.

    Attributes
    ----------
    sinks : dict of Sink to Fifo
        Words for the writers.
    busy, waits_operands, waits_room : Meter
        Cycles in which a pass or an update is inside, or a word of one on its way to a writer; in which it waits.
    """

    def __init__(self, clock: Clock, config: AcceleratorConfig, i: Fifo, sums: Fifo, inputs: dict[Source, Fifo]) -> None:
        super().__init__(clock)
        self.i, self.sums, self.inputs = i, sums, inputs
        self.lanes = config.vpu_lanes
        self.latencies = config.vpu_latency_cycles, config.wuve_latency_cycles
        self.block_words = config.turned_block_words
        self.busy, self.waits_operands, self.waits_room = Meter(clock), Meter(clock), Meter(clock)
        self.sinks = {sink: Fifo(clock, SINK_WORDS, meter=self.busy) for sink in Sink}
        self._writers = list(self.sinks.values())
        i.sink = sums.sink = self
        for fifo in inputs.values():
            fifo.sink = self
        for fifo in self.sinks.values():
            fifo.source = self
        self._work: Pass | Update | None = None
        self._free_at, self._works, self._ends = 0, 0, False
        self._operands: list[Fifo] = []
        self._factors: HeldFactors | None = None
        self._pipeline = Pipeline(1)
        self._to_come, self._left = 0, [0 for _ in Sink]
        self._reductions, self._held = Reductions(config.vpu_lanes, config.vector_latency_cycles), False
        self._packers = {Sink.FORWARD: Packer(), Sink.BACKWARD: Packer()}
        self._forked = [False, False, False]
        self._copies: tuple[bool, ...] = (False, False, False)
        self._turned_in, self._turned_out = 0, 0  # words into and out of the transposer

    def state(self, out: State) -> None:
        out.thing(self._work)  # which says what _operands and _copies are
        out.time(self._free_at)
        out.same(self._ends)
        out.toward(self, "_to_come", 0, self._works)
        out.same(self._to_come > 0)
        for sink in Sink:
            out.same(self._left[sink] > 0)
            out.toward(self._left, int(sink), 0, self._works)
        self._pipeline.state(out)
        self._reductions.state(out)
        if self._factors:
            self._factors.state(out)
        for packer in self._packers.values():
            packer.state(out)
        out.same(self._held)
        for forked in self._forked:
            out.same(forked)
        whole = self._turned_out // self.block_words * self.block_words
        out.same(self._turned_in - whole)
        out.same(self._turned_out - whole)

    @property
    def idle(self) -> bool:
        """Nothing is inside."""
        return self._work is None and self.clock.now >= self._free_at and all(sink.empty for sink in self.sinks.values())

    def step(self) -> None:
        work, now = self._work, self.clock.now
        room = all(sink.ready for sink in self._writers)
        waits = None if room or (work is None and now >= self._free_at) else self.waits_room
        if now < self._free_at:
            if self._ends:
                self._ends = False
                self.busy.down(now + 1)
            self.wake()
        elif work is None:
            if self.i.valid:
                self._begin(self.i.take())
                self._free_at = now + 2  # checked first
                self.wake()
        else:
            to_come, left = self._to_come, sum(self._left)
            self._held = False
            self._fill()
            moved = self._update(work) if isinstance(work, Update) else self._pass(work)
            if room and to_come and to_come == self._to_come and not self._held:
                waits = self.waits_operands
            if not any(self._left):
                self._work, self._free_at, self._ends = None, now + 2, True
            if moved or left != sum(self._left):
                self.wake()
        self.seen(waits)

    def _begin(self, work: Pass | Update) -> None:
        inputs = self.inputs
        self.busy.up(self.clock.now + 1)
        self._works += 1
        self._work, self._to_come = work, work.words
        self._left = [0 for _ in Sink]
        self._left[Sink.RESULTS] = work.words
        if isinstance(work, Update):
            self._pipeline, self._factors = Pipeline(self.latencies[1]), None
            self._operands = [inputs[Source.ELEMENTS], inputs[Source.FACTORS]]
            packed = work.words // work.m * work.n
            self._copies = tuple(bool(work.copies & copy) for copy in UpdateCopy)
            for copy, sink, words in zip(UpdateCopy, COPY_SINKS, (work.words, packed, packed), strict=True):
                self._left[sink] = words if work.copies & copy else 0
            return
        if work.groups:
            self._left[Sink.RESULTS] = work.results + (work.words if work.options & PassOption.BESIDE else 0)
            self._left[Sink.COPY] = work.results if work.options & PassOption.PLACES else 0
            self._reductions.begin(work)
        self._pipeline = Pipeline(self.latencies[0])
        self._operands = [self.sums if work.options & PassOption.FROM_SUMS else inputs[Source.ELEMENTS]]
        factored = takes_pairs(work.steps, work.options) or takes_third(work.steps)
        self._factors = HeldFactors(work, self.lanes) if factored and work.held else None
        self._operands += [inputs[Source.FACTORS]] * (factored and not work.held)
        self._operands += [inputs[Source.RESIDUAL]] * takes_residual(work.steps)
        self._operands += [inputs[Source.GATE]] * bool(work.steps & PassStep.GATE)

    def _take(self) -> bool:
        """Take a word of each operand, if all have one."""
        if not self._to_come or not all(fifo.valid for fifo in self._operands):
            return False
        if self._factors:
            if not self._factors.ready(self.clock.now):
                return False
            self._factors.use()
        for fifo in self._operands:
            fifo.take()
        self._to_come -= 1
        return True

    def _fill(self) -> None:
        """Take a word of factors that are missing."""
        factors = self._factors
        if factors and factors.missing and self._to_come and self.inputs[Source.FACTORS].valid:
            self.inputs[Source.FACTORS].take()
            factors.take(self.clock.now)
            self.wake(1 if factors.missing else PRIMED_CYCLES)

    def _give(self, sink: Sink) -> None:
        self.sinks[sink].put()
        self._left[sink] -= 1

    def _pass(self, work: Pass) -> bool:
        """A cycle of a pass; whether anything moved."""
        if work.groups:
            return self._reduce(places=bool(work.options & PassOption.PLACES), beside=bool(work.options & PassOption.BESIDE))
        offers = self._pipeline.offers
        if offers:
            if not self.sinks[Sink.RESULTS].ready:
                return False
            self._give(Sink.RESULTS)
        self._pipeline.advance(gives=offers, takes=self._take())
        return bool(self._pipeline.words) or offers

    def _reduce(self, *, places: bool, beside: bool) -> bool:
        """A cycle of a pass whose results are terms, and give places, or leave themselves, too; whether anything moved."""
        now, unit, offers = self.clock.now, self._reductions, self._pipeline.offers
        sinks = (Sink.RESULTS, Sink.COPY) if places else (Sink.RESULTS,)
        gives, takes = unit.offers(now) and all(self.sinks[sink].ready for sink in sinks), offers and unit.takes(now)
        takes = takes and (not beside or self.sinks[Sink.RESULTS].ready)
        if gives:
            for sink in sinks:
                self._give(sink)
            unit.give(now)
        if takes:
            unit.take(now)
            if beside:
                self._give(Sink.RESULTS)
        self._held = offers and not takes
        if not self._held:
            self._pipeline.advance(gives=takes, takes=self._take())
        for at in (unit.at, unit.gives_at):
            if now < at < NEVER:
                self.wake(at - now)
        return bool(self._pipeline.words) and not self._held

    def _update(self, work: Update) -> bool:
        """A cycle of an update; whether anything moved."""
        sinks, (dense, packed, turns) = self.sinks, self._copies
        room, room_copy = sinks[Sink.RESULTS].ready, sinks[Sink.COPY].ready
        room_forward, room_backward = sinks[Sink.FORWARD].ready, sinks[Sink.BACKWARD].ready
        forward, backward = self._packers[Sink.FORWARD], self._packers[Sink.BACKWARD]
        blocks = self._turned_in // self.block_words - self._turned_out // self.block_words
        ready = (
            room and (room_copy or not dense),
            not packed or forward.ready(work.m, room_forward),
            not turns or blocks != 2,
        )
        offers = self._pipeline.offers
        goes = [offers and free and not done for free, done in zip(ready, self._forked, strict=True)]
        self._forked = [done or went for done, went in zip(self._forked, goes, strict=True)]
        gives = all(self._forked)
        if goes[0]:
            self._give(Sink.RESULTS)
            if dense:
                self._give(Sink.COPY)
        turned = blocks != 0 and backward.ready(work.m, room_backward)
        moves = turned or any(goes)
        for sink, packer, takes, free in (
            (Sink.FORWARD, forward, goes[1] and packed, room_forward), (Sink.BACKWARD, backward, turned, room_backward),
        ):  # fmt: skip
            packs = bool(packer.left) and free
            moves |= packs
            packer.step(work.n, work.m, takes=takes, gives=packs)
            if packs:
                self._give(sink)
        self._turned_in += goes[2] and turns
        self._turned_out += turned
        if gives or not offers:
            self._pipeline.advance(gives=gives, takes=self._take())
        if gives:
            self._forked = [False, False, False]
        return moves or bool((gives or not offers) and self._pipeline.words)
