"""Readers and writers: requests to bursts, beats to elements."""

from collections import deque
from collections.abc import Callable

from dataflow.machine.units.clock import Clock, Fifo, Unit
from dataflow.machine.units.walker import Walker
from hw.config import AcceleratorConfig
from hw.isa.microarchitecture import OUTPUT_WORDS, PAGE_BYTES, REQUEST_WORDS, UNFINISHED_WALKS


class Splitter(Unit):
    """Cuts requests into bursts, which wait for the port.

    Attributes
    ----------
    bursts : deque of int
        Beats of the bursts to come of the request that was taken.
    valid_at : int
        From when on the first one is offered.
    """

    def __init__(self, clock: Clock, config: AcceleratorConfig, i: Fifo, port: Unit) -> None:
        super().__init__(clock)
        self.beat_bytes, self.longest = config.axi_data_bytes, config.axi_burst_beats
        self.i, self.port = i, port
        i.sink = self
        self.bursts: deque[int] = deque()
        self.valid_at = 0

    @property
    def idle(self) -> bool:
        """Nothing is left of the last request."""
        return not self.bursts and self.clock.now >= self.valid_at

    def step(self) -> None:
        if self.idle:
            self._next()

    def _next(self) -> None:
        """Take a request, if there is one; its first burst is offered in the next cycle."""
        if not self.i.valid:
            return
        address, size = self.i.take()
        first, page = address // self.beat_bytes, PAGE_BYTES // self.beat_bytes
        left = -(-(address % self.beat_bytes + size) // self.beat_bytes)
        while left:
            count = min(left, self.longest, page - first % page)
            self.bursts.append(count)
            first, left = first + count, left - count
        self.valid_at = self.clock.now + 1
        self.port.wake()

    def take(self) -> int:
        """The burst goes to the port."""
        beats = self.bursts.popleft()
        self.valid_at = self.clock.now + 1
        if not self.bursts:
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
    halted_at : int, optional
        From the cycle after this one on nothing is asked for, nor waited for.
    """

    def __init__(self, clock: Clock, config: AcceleratorConfig, max_elements: int, i: Fifo, port: Unit, *, words: bool) -> None:
        super().__init__(clock)
        self.words, self.port = words, port
        self.chunks = Fifo(clock, config.axi_fifo_beats, buffered=True)
        self.beats = Fifo(clock, config.axi_fifo_beats, buffered=True)
        self.requests = Fifo(clock, REQUEST_WORDS)
        self.o = Fifo(clock, OUTPUT_WORDS)
        self.walker = Walker(clock, config.axi_data_bytes, max_elements, i, self.chunks, self.requests)
        self.splitter = Splitter(clock, config, self.requests, port)
        self.chunks.sink = self.o.source = self.beats.sink = self
        self.room = self.most = config.axi_fifo_beats
        self.halted_at: int | None = None

    def halt(self) -> None:
        """From the next cycle on."""
        self.halted_at = self.clock.now
        self.wake()

    @property
    def halted(self) -> bool:
        """Whether nothing more is asked for in this cycle."""
        return self.halted_at is not None and self.clock.now > self.halted_at

    @property
    def settled(self) -> bool:
        """Every beat that was asked for has come."""
        return not self.beats.words or self.beats.words[-1][0] - self.beats.delay < self.clock.now

    @property
    def offer(self) -> int:
        """Beats of the burst that is offered to the port in this cycle, or 0."""
        splitter, now = self.splitter, self.clock.now
        if self.halted or not splitter.bursts or now < splitter.valid_at:
            return 0
        room = self.room - (self.beats.taken_at == now)
        return splitter.bursts[0] if room >= splitter.bursts[0] else 0

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
        if self.halted or not self.chunks.valid:
            self.seen("")
            return
        chunk = self.chunks.peek()
        if not chunk.outside and not self.beats.valid:
            self.seen("waits_memory")
            return
        gives = chunk.end_of_word or not self.words
        if gives and not self.o.ready:
            self.seen("waits_consumer")
            return
        self.seen("")
        self.chunks.take()
        if gives:
            self.o.put(chunk)
        if not chunk.outside and chunk.end_of_beat:
            self.beats.take()
            self.room += 1
            if self.splitter.bursts:
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
        self.ends = Fifo(clock, UNFINISHED_WALKS)
        self.ends.sink = self
        self.answered: deque[tuple[int, int]] = deque()
        self.complete: Callable[[], None] = lambda: None
        self._beats, self._asked = 0, 0

    def answer(self, cycle: int, beats: int) -> None:
        """A burst will be answered in a cycle."""
        self._asked += beats
        self.answered.append((cycle, self._asked))
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
        self.walker = Walker(clock, config.axi_data_bytes, lanes, i, self.chunks, self.requests)
        self.splitter = Splitter(clock, config, self.requests, port)
        self.chunks.sink = words.sink = self
        self.whole, self.put_at = 0, -1
        self.waiting = 0  # beats that the port has not asked for
        self.leave_at: deque[int] = deque()  # when the others are taken
        self.completion, self._made = Completion(clock), 0
        self.completion.ends.source = self

    @property
    def offer(self) -> int:
        """Beats of the burst that is offered to the port in this cycle, or 0."""
        splitter, now = self.splitter, self.clock.now
        if not splitter.bursts or now < splitter.valid_at:
            return 0
        return splitter.bursts[0] if self.whole - (self.put_at == now) >= splitter.bursts[0] else 0

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
            self.seen("waits_words" if self.chunks.valid else "")
            return
        chunk = self.chunks.peek()
        pushes = not chunk.outside and chunk.end_of_beat
        if pushes and self._inside() >= self.depth:
            self.seen("waits_memory")
            if self.leave_at:
                self.wake(self.leave_at[0] + 1 - self.clock.now)
            return
        if chunk.last and not self.completion.ends.ready:
            self.seen("waits_memory")
            return
        self.seen("")
        self.chunks.take()
        if chunk.end_of_word:
            self.words.take()
        if pushes:
            self.whole += 1
            self.waiting += 1
            self.put_at = self.clock.now
            self._made += 1
            if self.splitter.bursts:
                self.port.wake()
        if chunk.last:
            self.completion.ends.put(self._made)
        self.wake()
