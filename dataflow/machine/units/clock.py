"""Time: units step in the cycles in which they are awake, and meet in FIFOs."""

from collections import defaultdict, deque
from collections.abc import Generator, Iterable
from heapq import heappop, heappush
from typing import Any

import simpy


class Clock:
    """Steps units, in each cycle those that are awake, in any order: what one does the others see in later cycles.

    Attributes
    ----------
    now : int
        The cycle.
    """

    def __init__(self) -> None:
        self.now = -1
        self._next: list[Unit] = []
        self._awake: list[Unit] = []
        self._later: list[tuple[int, int, Unit]] = []
        self._count = 0

    def wake(self, unit: "Unit", cycle: int) -> None:
        """Step `unit` in `cycle`, which is to come."""
        if cycle == self.now + 1:
            self._next.append(unit)
        else:
            self._count += 1
            heappush(self._later, (cycle, self._count, unit))

    def alone(self, unit: "Unit") -> bool:
        """Whether no other unit steps in this cycle, or is to."""
        return not self._next and not self._later and all(other is unit for other in self._awake)

    def run(self) -> int:
        """Go on until nothing is awake; the last cycle."""
        environment = simpy.Environment()
        environment.process(self._cycles(environment))
        environment.run()
        return self.now

    def _cycles(self, environment: simpy.Environment) -> Generator[simpy.Event, Any, None]:
        later = self._later
        while self._next or later:
            cycle = self.now + 1 if self._next else later[0][0]
            yield environment.timeout(cycle - self.now)
            self.now, self._awake, self._next = cycle, self._next, []
            while later and later[0][0] == cycle:
                self._awake.append(heappop(later)[2])
            for unit in self._awake:
                if unit.stepped != cycle:
                    unit.stepped = cycle
                    unit.step()


Span = tuple[int, int]
"""Cycles: the first one, and the one after the last."""


def cycles(spans: Iterable[Span]) -> int:
    """How many cycles are in any of the spans."""
    total = end = 0
    for first, last in sorted(spans):
        total += max(last - max(first, end), 0)
        end = max(end, last)
    return total


class Unit:
    """Something that steps.

    Attributes
    ----------
    spans : dict of str to list of Span
        When it was seen in each state but the empty one.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.stepped = -1
        self.spans: defaultdict[str, list[Span]] = defaultdict(list)
        self._state, self._since = "", 0

    def step(self) -> None:
        """What happens in this cycle; who does something wakes itself for the next."""
        raise NotImplementedError

    def wake(self, cycles: int = 1) -> None:
        """Step so many cycles from now."""
        self.clock.wake(self, self.clock.now + cycles)

    def seen(self, state: str) -> None:
        """From this cycle on the unit is in a state."""
        if state != self._state:
            now = self.clock.now
            if self._state:
                self.spans[self._state].append((self._since, now))
            self._state, self._since = state, now


class Fifo:
    """A FIFO between two units: room and words show in the cycle after they came to be.

    Parameters
    ----------
    clock : Clock
        Time.
    depth : int
        Words, at least 4 where `buffered`.
    delay : int
        Cycles until a word shows.
    buffered : bool
        Whether there is a register behind its memory, as in Amaranth's ``SyncFIFOBuffered``; words show after two cycles.

    Attributes
    ----------
    shown : list of Span
        When a word was on offer, one after the other.
    """

    def __init__(self, clock: Clock, depth: int, delay: int = 1, *, buffered: bool = False) -> None:
        self.clock, self.depth, self.buffered = clock, depth, buffered
        self.delay = 2 if buffered else delay
        self.words: deque[tuple[int, Any]] = deque()
        self.taken_at = -1
        self.shown: list[Span] = []
        self.source: Unit | None = None
        self.sink: Unit | None = None

    @property
    def valid(self) -> bool:
        """Whether there is a word."""
        return bool(self.words) and self.words[0][0] <= self.clock.now

    def holds(self, count: int) -> bool:
        """Whether there are so many words."""
        return not count or (len(self.words) >= count and self.words[count - 1][0] <= self.clock.now)

    @property
    def ready(self) -> bool:
        """Whether there is room."""
        if not self.buffered:
            return len(self.words) + (self.taken_at == self.clock.now) < self.depth
        words = self.words
        moved = words and max(words[0][0] - 1, self.taken_at) < self.clock.now  # the first has left the memory
        return len(words) - bool(moved) < self.depth - 1

    @property
    def empty(self) -> bool:
        """Whether nothing is inside at all."""
        now = self.clock.now
        return self.taken_at != now and (not self.words or self.words[0][0] - self.delay >= now)

    def put(self, word: Any = None, cycles: int = 0) -> None:  # noqa: ANN401 (any word)
        """Add a word, now or so many cycles from now."""
        at = self.clock.now + cycles + self.delay
        self.words.append((at, word))
        if self.sink:
            self.clock.wake(self.sink, at)

    def peek(self) -> Any:  # noqa: ANN401
        """The first word."""
        return self.words[0][1]

    def take(self) -> Any:  # noqa: ANN401
        """Remove the first word."""
        since, word = self.words.popleft()
        self.shown.append((max(since, self.taken_at + 1), self.clock.now + 1))
        self.taken_at = self.clock.now
        if self.source:
            self.clock.wake(self.source, self.clock.now + 1)
        return word
