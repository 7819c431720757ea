"""Time: units step in the cycles in which they are awake, and meet in FIFOs."""

from collections.abc import Callable, Generator
from typing import Any, Final

import simpy

from dataflow.machine.units.state import State

ROW: Final = 1
HAND_OUT: Final = 2
LANDMARK: Final = 4
"""Marks of a cycle: a row of a walk begins, a part is handed out, a row begins that few are like."""


class Meter:
    """Counts the cycles in which something is so: the level is above zero.

    Attributes
    ----------
    total : int
        Of the times that are over.
    """

    def __init__(self, clock: "Clock") -> None:
        self.total = self.level = self.since = 0
        self.number = len(clock.meters)
        clock.meters.append(self)

    def up(self, cycle: int) -> None:
        """One more, from a cycle on; cycles never go back."""
        if not self.level:
            self.since = cycle
        self.level += 1

    def down(self, cycle: int) -> None:
        """One fewer."""
        self.level -= 1
        if not self.level:
            self.total += cycle - self.since

    def so_far(self, cycle: int) -> int:
        """Cycles before `cycle`, which is now."""
        return self.total + (max(cycle - self.since, 0) if self.level else 0)

    def state(self, out: State) -> None:
        """As `Unit.state`."""
        out.same(self.level)
        out.count(self, "total", out.now - self.since if self.level else 0)


class Clock:
    """Steps units, in each cycle those that are awake, in any order: what one does the others see in later cycles.

    Attributes
    ----------
    now : int
        The cycle.
    skipped : int
        Cycles that were not stepped one by one; they are not in `now`.
    units, fifos, meters : list
        All that there are, as they make themselves known.
    marked : int
        Marks, set by units where the state may be one that was there before.
    look : callable
        Called at the beginning of a cycle after one that was marked, and from `look_at` on until that is set anew.
    look_at : int
        The cycle from which on it is called where none is marked.
    """

    def __init__(self) -> None:
        self.now = -1
        self.skipped = 0
        self.units: list[Unit] = []
        self.fifos: list[Fifo] = []
        self.meters: list[Meter] = []
        self.marked = self.look_at = 0
        self.look: Callable[[], None] | None = None
        self.awake: list[Unit] = []
        self.later: dict[int, list[Unit]] = {}
        self._next: list[Unit] = []

    def wake(self, unit: "Unit", cycle: int) -> None:
        """Step `unit` in `cycle`, which is to come."""
        if cycle == self.now + 1:
            if unit.due != cycle:
                unit.due = cycle
                self._next.append(unit)
        else:
            others = self.later.get(cycle)
            if others is None:
                self.later[cycle] = [unit]
            elif unit not in others:
                others.append(unit)

    def alone(self, unit: "Unit") -> bool:
        """Whether no other unit steps in this cycle, or is to."""
        return not self._next and not self.later and all(other is unit for other in self.awake)

    def run(self) -> int:
        """Go on until nothing is awake; the last cycle."""
        environment = simpy.Environment()
        environment.process(self._process(environment))
        environment.run()
        return self.now

    def _process(self, environment: simpy.Environment) -> Generator[simpy.Event, Any, None]:
        """SimPy's time goes on where nothing happens, or where what happens was skipped."""
        while self._next or self.later:
            before = self.skipped + self.now
            self.cycles()
            yield environment.timeout(self.skipped + self.now - before)

    def cycles(self) -> None:
        """Step cycle after cycle until nothing is to happen in the next one."""
        later = self.later
        self.now = now = self.now + 1 if self._next else min(later)
        while True:
            awake, self._next = self._next, []
            self.awake = awake
            others = later.pop(now, None)
            if others is not None:
                for unit in others:
                    if unit.due != now:
                        unit.due = now
                        awake.append(unit)
            if (self.marked or now >= self.look_at) and self.look is not None:
                self.look()
                self.marked = 0
            for unit in awake:
                unit.step()
            if not self._next:
                return
            self.now = now = now + 1


class Unit:
    """Something that steps."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.number = len(clock.units)
        clock.units.append(self)
        self.due = -1
        self._seen: Meter | None = None

    def step(self) -> None:
        """What happens in this cycle; who does something wakes itself for the next."""
        raise NotImplementedError

    def state(self, out: State) -> None:
        """Say all that decides what it does from this cycle on, at the beginning of the cycle, see `State`."""
        raise NotImplementedError

    def wake(self, cycles: int = 1) -> None:
        """Step so many cycles from now."""
        self.clock.wake(self, self.clock.now + cycles)

    @property
    def counted(self) -> int:
        """The number of the meter that counts what it is in, or -1."""
        return -1 if self._seen is None else self._seen.number

    def seen(self, meter: Meter | None) -> None:
        """From this cycle on it is in what `meter` counts, and no longer in what it was."""
        if meter is not self._seen:
            if self._seen is not None:
                self._seen.down(self.clock.now)
            if meter is not None:
                meter.up(self.clock.now)
            self._seen = meter


class Fifo:
    """A FIFO between two units: room and words show in the cycle after they came to be.

    Its sink is woken when its first word shows, its source when it is no longer full.

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
    meter : Meter, optional
        Counts the cycles in which a word is on offer; words then show in the next cycle.
    deep : bool
        Whether its sink looks at more words than the first, and is woken for each.
    relative : bool
        Whether words mean something to a unit alone, which then says them in its state.
    """

    def __init__(
        self,
        clock: Clock,
        depth: int,
        delay: int = 1,
        *,
        buffered: bool = False,
        meter: Meter | None = None,
        deep: bool = False,
        relative: bool = False,
    ) -> None:
        self.clock, self.depth, self.buffered, self.meter, self.deep = clock, depth, buffered, meter, deep
        self.relative = relative
        self.delay = 2 if buffered else delay
        self.count = 0  # words inside
        self.first_at = 0  # when the first of them shows
        self.taken_at = -1
        self.source: Unit | None = None
        self.sink: Unit | None = None
        # A ring, from _first on: words, and when they show.
        self._first, self._mask = 0, 3
        self._words: list[Any] = [None] * 4
        self._times = [0] * 4
        clock.fifos.append(self)

    @property
    def times(self) -> list[int]:
        """When its words show."""
        return [self._times[(self._first + number) & self._mask] for number in range(self.count)]

    @property
    def words(self) -> list[Any]:
        """All of them."""
        return [self._words[(self._first + number) & self._mask] for number in range(self.count)]

    @property
    def valid(self) -> bool:
        """Whether there is a word."""
        return self.count > 0 and self.first_at <= self.clock.now

    def holds(self, count: int) -> bool:
        """Whether there are so many words."""
        return not count or (self.count >= count and self._times[(self._first + count - 1) & self._mask] <= self.clock.now)

    @property
    def ready(self) -> bool:
        """Whether there is room."""
        now = self.clock.now
        if not self.buffered:
            return self.count + (self.taken_at == now) < self.depth
        moved = self.count > 0 and self.first_at <= now and self.taken_at < now  # the first has left the memory
        return self.count - moved < self.depth - 1

    @property
    def empty(self) -> bool:
        """Whether nothing is inside at all."""
        now = self.clock.now
        return self.taken_at != now and (not self.count or self.first_at - self.delay >= now)

    @property
    def settled(self) -> bool:
        """Whether the last word has been put in an earlier cycle."""
        return not self.count or self._times[(self._first + self.count - 1) & self._mask] - self.delay < self.clock.now

    def put(self, word: Any = None, cycles: int = 0) -> None:  # noqa: ANN401 (any word)
        """Add a word, now or so many cycles from now."""
        count, clock = self.count, self.clock
        at = clock.now + cycles + self.delay
        if not count:
            self.first_at = at
        if self.sink is not None and (self.deep or not count):
            clock.wake(self.sink, at)
        if count > self._mask:
            self._grow()
        place = (self._first + count) & self._mask
        self._words[place] = word
        self._times[place] = at
        self.count = count + 1
        if self.meter is not None:
            self.meter.up(at)

    def _grow(self) -> None:
        """Twice the room."""
        self._words, self._times = self.words + [None] * self.count, self.times + [0] * self.count
        self._first, self._mask = 0, 2 * self._mask + 1

    def peek(self) -> Any:  # noqa: ANN401
        """The first word."""
        return self._words[self._first]

    def take(self) -> Any:  # noqa: ANN401
        """Remove the first word."""
        clock, first = self.clock, self._first
        now, count = clock.now, self.count
        if self.source is not None and count + 2 >= self.depth:
            clock.wake(self.source, now + 1)
        self._first = (first + 1) & self._mask
        self.count = count - 1
        if count > 1:
            self.first_at = at = self._times[self._first]
            if self.sink is not None:
                clock.wake(self.sink, at if at > now else now + 1)
        self.taken_at = now
        if self.meter is not None:
            self.meter.down(now + 1)
        return self._words[first]

    def state(self, out: State) -> None:
        """As `Unit.state`; words are numbers, or what stays as it is while a program runs.

        At the beginning of a cycle, taken_at is past, and as good as any.
        """
        # _first and _mask say where in the ring words stand, and first_at is the first of _times, which are in order.
        now, count = out.now, self.count
        out.same(count)
        coming = 0
        while coming < count:
            at = self._times[(self._first + count - 1 - coming) & self._mask]
            if at <= now:
                break
            out.same(at - now)
            coming += 1
        out.same(-1 - coming)
        if not self.relative and count and self._words[self._first] is not None:  # else none is anything
            for number in range(count):
                out.thing(self._words[(self._first + number) & self._mask])
