"""The dispatcher: commands in front of their units."""

from collections.abc import Callable, Iterable
from typing import Any

from dataflow.machine.units.clock import Clock, Fifo, Unit
from dataflow.machine.units.reader import Reader
from dataflow.machine.units.state import State
from hw.isa.bits import PassOption
from hw.isa.commands import Command, Halt, Load, Pass, Product, Sink, Source, Store, Sync, Update
from hw.isa.encoding import words
from hw.isa.microarchitecture import QUEUED_COMMANDS, QUIET_CYCLES

ALONE_CYCLES = 8
"""Longer than a unit that is done with its work takes to be idle."""


class Stored:
    """How many results have been stored since the last synchronisation, as commands that wait for them see it."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.count, self._at = 0, -1
        self.waiting: list[Fifo] = []

    def state(self, out: State) -> None:
        """As `Unit.state`."""
        out.same(self.count)
        out.time(self._at)

    def add(self) -> None:
        """One more, from the next cycle on."""
        self.count, self._at = self.count + 1, self.clock.now
        for queue in self.waiting:
            if queue.sink:
                self.clock.wake(queue.sink, self.clock.now + 1)

    def reaches(self, count: int) -> bool:
        """Whether there are so many."""
        return self.count - (self._at == self.clock.now) >= count


class WaitingFifo(Fifo):
    """A FIFO of (word, results that must have been stored before it is offered)."""

    def __init__(self, clock: Clock, depth: int, stored: Stored) -> None:
        super().__init__(clock, depth)
        self.stored = stored
        stored.waiting.append(self)

    @property
    def valid(self) -> bool:
        return super().valid and self.stored.reaches(self.peek()[1])

    def take(self) -> Any:  # noqa: ANN401 (any word)
        return super().take()[0]


class Dispatch(Unit):
    """Takes a command's words, hands it on when there is room, and waits where it is to synchronise.

    Parameters
    ----------
    clock, commands : Clock, iterable of Command
        Time, and the program, which ends with `Halt`.
    fetch : Reader
        Its words as they come from memory.

    Attributes
    ----------
    stored : Stored
        What loads and stores wait for.
    walks, placements : dict
        Queues of each source and sink; of weights and activations.
    product, tiles, work : Fifo
        The other queues.
    quiet : callable
        Whether all units are idle; set by whoever makes them.
    done_at : int
        The cycle in which the program ended, or -1.
    """

    def __init__(self, clock: Clock, commands: Iterable[Command], fetch: Reader, *, overflow: bool = False) -> None:
        super().__init__(clock)
        self.fetch, self.i = fetch, fetch.o
        self.i.sink = self
        names: list[Source | Sink] = [*(source for source in Source if source is not Source.FETCH), *Sink]
        self.stored = Stored(clock)
        self.walks = {(type(name), name): WaitingFifo(clock, QUEUED_COMMANDS, self.stored) for name in names}
        self.placements = {source: Fifo(clock, QUEUED_COMMANDS) for source in (Source.WEIGHTS, Source.ACTIVATIONS)}
        self.product, self.tiles, self.work = (Fifo(clock, QUEUED_COMMANDS) for _ in range(3))
        self._queues = [*self.walks.values(), *self.placements.values(), self.product, self.tiles, self.work]
        for queue in self._queues:
            queue.source = self
        self.quiet: Callable[[], bool] = lambda: True
        self.done_at = -1
        self._commands, self._overflow = iter(commands), overflow
        self._command: Command | None = None
        self._left, self._still, self._alone = 0, 0, 0
        self.words = 0  # taken so far

    def state(self, out: State) -> None:
        self.stored.state(out)
        out.same(self.words)  # which says how far _commands has come
        out.thing(self._command)
        for value in (self.done_at, self._left, self._still, self._alone):
            out.same(value)

    def step(self) -> None:
        if self._command is None or self._left:
            self._take()
        elif isinstance(self._command, Sync | Halt):
            self._synchronise()
        else:
            self._issue(self._command)

    def _take(self) -> None:
        """The next word of a command."""
        if not self.i.valid:
            return
        self.i.take()
        self.words += 1
        if self._command is None:
            self._command = next(self._commands)
            self._left = words(type(self._command))
            if isinstance(self._command, Halt):
                self.fetch.halt()
        self._left -= 1
        self.wake()

    def _synchronise(self) -> None:
        if self._still == QUIET_CYCLES:
            self.stored.count = 0
            if isinstance(self._command, Halt):
                self.done_at = self.clock.now
                return
            self._command, self._still = None, 0
        else:
            settled = self.fetch.settled or not self.fetch.halted
            still = settled and self.quiet() and all(queue.empty for queue in self._queues)
            self._still = self._still + 1 if still else 0
            self._alone = self._alone + 1 if self.clock.alone(self) and not self._still else 0
        if self._alone < ALONE_CYCLES:  # else they wait for each other
            self.wake()

    def _issue(self, command: Command) -> None:
        parts: list[tuple[Fifo, Any]] = []
        if command.conditional and self._overflow:
            pass
        elif isinstance(command, Load):
            parts.append((self.walks[Source, command.source], (command.walk, command.after)))
            if command.source in self.placements:
                parts.append((self.placements[command.source], command))
        elif isinstance(command, Store):
            parts.append((self.walks[Sink, command.sink], (command.walk, command.after)))
        elif isinstance(command, Product):
            parts.append((self.product, command))
        elif isinstance(command, Pass | Update):
            parts.append((self.work, command))
            if isinstance(command, Pass) and command.options & PassOption.FROM_SUMS:
                parts.append((self.tiles, command))
        if all(queue.ready for queue, _ in parts):
            for queue, word in parts:
                queue.put(word)
            self._command = None
            self.wake()
