"""Readers and writers: requests to bursts, beats to elements."""

from collections import deque
from collections.abc import Callable

from dataflow.machine.units.clock import Clock, Fifo, Meter, Unit
from dataflow.machine.units.state import State
from dataflow.machine.units.walker import END_OF_BEAT, END_OF_WORD, LAST, OUTSIDE, Walker
from hw.config import AcceleratorConfig
from hw.isa.microarchitecture import OUTPUT_WORDS, PAGE_BYTES, REQUEST_WORDS, UNFINISHED_WALKS


class Splitter(Unit):
    """Cuts requests into bursts, which wait for the port.

    Attributes
    ----------
    burst : int
        Beats of the next burst of the request that was taken, or 0.
    valid_at : int
        From when on it is offered.
    """

    def __init__(self, clock: Clock, config: AcceleratorConfig, i: Fifo, port: Unit) -> None:
        super().__init__(clock)
        self.page, self.longest = PAGE_BYTES // config.axi_data_bytes, config.axi_burst_beats
        self.i, self.port = i, port
        i.sink = self
        self.burst = self.valid_at = 0
        self._left = self._place = self._requests = 0  # beats of the request; in which of a page it goes on; requests so far

    def state(self, out: State) -> None:
        out.same(self.burst)
        out.same(self._place)
        out.time(self.valid_at)
        out.toward(self, "_left", self.longest - 1, self._requests)

    @property
    def idle(self) -> bool:
        """Nothing is left of the last request."""
        return not self.burst and self.clock.now >= self.valid_at

    def step(self) -> None:
        if self.idle:
            self._next()

    def _next(self) -> None:
        """Take a request, if there is one; its first burst is offered in the next cycle."""
        if self.i.valid:
            self._place, self._left = self.i.take()
            self._requests += 1
            self.burst = min(self._left, self.longest, self.page - self._place)
            self.valid_at = self.clock.now + 1
            self.port.wake()

    def take(self) -> int:
        """The burst goes to the port."""
        beats = self.burst
        self._left -= beats
        self._place = (self._place + beats) % self.page
        self.valid_at = self.clock.now + 1
        self.burst = min(self._left, self.longest, self.page - self._place)
        if not self.burst:
            self._next()
        return beats


class Reader(Unit):
    """A stream that is read; it steps where beats become elements.

    Parameters
    ----------
    clock, config, max_elements, words
        Time, and as of `hw.dma.reader.Reader`.
    i : Fifo
        Walks.
    port : Unit
        Wakes when there is a burst for it.

    Attributes
    ----------
    o : Fifo
        The chunks, or words.
    halted_at : int
        From the cycle after this one on nothing is asked for, nor waited for; -1: never.
    waits_memory : Meter
        Cycles in which it waited for a beat.
    """

    def __init__(self, clock: Clock, config: AcceleratorConfig, max_elements: int, i: Fifo, port: Unit, *, words: bool) -> None:
        super().__init__(clock)
        self.words, self.port = words, port
        self.chunks = Fifo(clock, config.axi_fifo_beats, buffered=True)
        self.beats = Fifo(clock, config.axi_fifo_beats, buffered=True)
        self.requests = Fifo(clock, REQUEST_WORDS)
        self.o = Fifo(clock, OUTPUT_WORDS)
        self.walker = Walker(clock, config, max_elements, i, self.chunks, self.requests, ends=not words)
        self.splitter = Splitter(clock, config, self.requests, port)
        self.chunks.sink = self.o.source = self.beats.sink = self
        self.room = self.most = config.axi_fifo_beats
        self.halted_at = -1
        self.waits_memory = Meter(clock)

    def state(self, out: State) -> None:
        out.same(self.room)
        out.same(self.halted_at >= 0)
        out.time(self.halted_at + 1)

    def halt(self) -> None:
        """From the next cycle on."""
        self.halted_at = self.clock.now
        self.wake()

    @property
    def halted(self) -> bool:
        """Whether nothing more is asked for in this cycle."""
        return self.halted_at >= 0 and self.clock.now > self.halted_at

    @property
    def settled(self) -> bool:
        """Every beat that was asked for has come."""
        return self.beats.settled

    @property
    def offer(self) -> int:
        """Beats of the burst that is offered to the port in this cycle, or 0."""
        splitter, now = self.splitter, self.clock.now
        if not splitter.burst or now < splitter.valid_at or self.halted:
            return 0
        room = self.room - (self.beats.taken_at == now)
        return splitter.burst if room >= splitter.burst else 0

    def take_burst(self) -> int:
        """The port takes it."""
        beats = self.splitter.take()
        self.room -= beats
        return beats

    @property
    def idle(self) -> bool:
        """Nothing is inside."""
        room = self.room - (self.beats.taken_at == self.clock.now)
        return (
            room == self.most and self.walker.idle and self.splitter.idle and self.requests.empty and self.chunks.empty
            and self.o.empty
        )  # fmt: skip

    def step(self) -> None:
        if not self.chunks.valid or self.halted:
            self.seen(None)
            return
        chunk: int = self.chunks.peek()
        if not chunk & OUTSIDE and not self.beats.valid:
            self.seen(self.waits_memory)
            return
        self.seen(None)
        gives = chunk & END_OF_WORD or not self.words
        if gives and not self.o.ready:
            return
        self.chunks.take()
        if gives:
            self.o.put(chunk)
        if chunk & END_OF_BEAT and not chunk & OUTSIDE:
            self.beats.take()
            self.room += 1
            if self.splitter.burst:
                self.port.wake()
        self.wake()


class Completion(Unit):
    """Says when all writes of a walk are answered.

    Attributes
    ----------
    ends : Fifo
        Of each walk, the number of its last beat.
    answered : deque of (int, int)
        Cycles of answers to come, and the beats that are answered then in all.
    complete : callable
        Called in the cycle in which a walk is complete; set by whoever wants to know.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.ends = Fifo(clock, UNFINISHED_WALKS, relative=True)
        self.ends.sink = self
        self.answered: deque[tuple[int, int]] = deque()
        self.complete: Callable[[], None] = lambda: None
        self._beats, self.asked = 0, 0

    def state(self, out: State) -> None:
        out.same(self.asked - self._beats)
        for end in self.ends.words:
            out.same(self.asked - end)
        out.same(len(self.answered))
        for cycle, beats in self.answered:
            out.time(cycle + 1)
            out.same(self.asked - beats)

    def answer(self, cycle: int, beats: int) -> None:
        """A burst will be answered in a cycle."""
        self.asked += beats
        self.answered.append((cycle, self.asked))
        self.clock.wake(self, cycle + 1)

    def step(self) -> None:
        while self.answered and self.answered[0][0] < self.clock.now:
            self._beats = self.answered.popleft()[1]
        if self.ends.valid and self._beats >= self.ends.peek():
            self.ends.take()
            self.complete()
            self.wake()


class Writer(Unit):
    """A stream that is written; it steps where elements become beats.

    Parameters
    ----------
    clock, config, lanes, i, port
        As of `Reader`.
    words : Fifo
        What is written.

    Attributes
    ----------
    completion : Completion
        Tells of walks all writes of which are answered.
    """

    def __init__(self, clock: Clock, config: AcceleratorConfig, lanes: int, i: Fifo, words: Fifo, port: Unit) -> None:
        super().__init__(clock)
        self.depth = config.writer_beats
        self.words, self.port = words, port
        self.chunks = Fifo(clock, self.depth, buffered=True)
        self.requests = Fifo(clock, REQUEST_WORDS)
        self.walker = Walker(clock, config, lanes, i, self.chunks, self.requests, ends=False)
        self.splitter = Splitter(clock, config, self.requests, port)
        self.chunks.sink = words.sink = self
        self.whole, self.put_at = 0, -1
        self.waiting = 0  # beats that the port has not asked for
        self.leave_at: deque[int] = deque()  # when the others are taken
        self.completion, self._made = Completion(clock), 0
        self.completion.ends.source = self
        self.waits_memory = Meter(clock)

    def state(self, out: State) -> None:
        out.same(self.whole)
        out.time(self.put_at)
        out.same(self.waiting)
        out.same(self._made - self.completion.asked)
        out.times(self.leave_at)

    @property
    def offer(self) -> int:
        """Beats of the burst that is offered to the port in this cycle, or 0."""
        splitter, now = self.splitter, self.clock.now
        if not splitter.burst or now < splitter.valid_at:
            return 0
        return splitter.burst if self.whole - (self.put_at == now) >= splitter.burst else 0

    def take_burst(self, leave_at: list[int]) -> None:
        """The port takes it; its beats leave in these cycles."""
        beats = self.splitter.take()
        self.whole -= beats
        self.waiting -= beats
        self.leave_at.extend(leave_at)
        self.clock.wake(self, leave_at[0] + 1)

    def _inside(self) -> int:
        """Beats in the FIFO."""
        while self.leave_at and self.leave_at[0] < self.clock.now:
            self.leave_at.popleft()
        return self.waiting + len(self.leave_at)

    @property
    def idle(self) -> bool:
        """Nothing is inside."""
        return (
            self._inside() - (self.put_at == self.clock.now) == 0 and self.walker.idle and self.splitter.idle
            and self.requests.empty and self.chunks.empty and self.completion.ends.empty
        )  # fmt: skip

    def step(self) -> None:
        if not self.chunks.valid or not self.words.valid:
            self.seen(None)
            return
        chunk: int = self.chunks.peek()
        pushes = chunk & END_OF_BEAT and not chunk & OUTSIDE
        if pushes and self._inside() >= self.depth:
            self.seen(self.waits_memory)
            if self.leave_at:
                self.wake(self.leave_at[0] + 1 - self.clock.now)
            return
        if chunk & LAST and not self.completion.ends.ready:
            self.seen(self.waits_memory)
            return
        self.seen(None)
        self.chunks.take()
        if chunk & END_OF_WORD:
            self.words.take()
        if pushes:
            self.whole += 1
            self.waiting += 1
            self.put_at = self.clock.now
            self._made += 1
            if self.splitter.burst:
                self.port.wake()
        if chunk & LAST:
            self.completion.ends.put(self._made)
        self.wake()
