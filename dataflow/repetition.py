"""Fast-forward: when the machine is in a state that it was in before, the rounds in between will repeat, and are skipped.

Two states are equal when every unit does the same for the same product and has as long to go, and when every token count and
every request in every queue is the same. What may differ is only how many pieces, and how much of a pass, are left: for as many
rounds as leave every unit among equal pieces, nothing else can happen than happened in the round before. Then SimPy's queue is
left as it is, and the machine's clock, positions, passes and counters are moved on by whole rounds.
"""

from collections import Counter
from collections.abc import Callable, Generator, Hashable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dataflow.servers import PASS

if TYPE_CHECKING:
    from dataflow.model import Machine, Position
    from dataflow.pieces import Segment


@dataclass(frozen=True)
class _Moment:
    """What counts up or down while the state stays the same.

    Parameters
    ----------
    cycle, memory_bytes, busy : int
        Of the machine.
    indices : tuple of int
        Piece of each unit.
    passes : tuple of int
        Cycles that each pass in a queue has left.
    spans : int
        Length of the timeline.
    served, work : tuple of int
        Of each server: busy cycles, and the length of its notes.
    """

    cycle: int
    memory_bytes: int
    busy: int
    indices: tuple[int, ...]
    passes: tuple[int, ...]
    spans: int
    served: tuple[int, ...]
    work: tuple[int, ...]


class Repetition:
    """Watches a machine."""

    def __init__(self, machine: "Machine") -> None:
        self._machine = machine
        self._servers = tuple(machine.servers.values())
        self._seen: dict[Hashable, _Moment] = {}

    def watch(self) -> Generator[Any, Any, None]:
        """The SimPy process that looks whenever the array starts a piece and all units have come to rest."""
        environment = self._machine.env
        while True:
            yield self._machine.started
            while environment.peek() == environment.now:
                yield environment.timeout(0)
            self._look()

    def _look(self) -> None:
        for server in self._servers:
            server.account()
        now, doing = self._moment(), self._state()
        for state, limit in ((doing + self._phases(), _among_runs), (doing, _in_a_run)):
            before = self._seen.get(state)
            rounds = self._rounds(before, now, limit) if before else 0
            self._seen[state] = now
            if before and rounds > 0:
                self._skip(before, now, rounds)
                break

    def _positions(self) -> "list[Position]":
        return [at for _, at in sorted(self._machine.positions.items())]

    def _phases(self) -> tuple[int, ...]:
        """Where in its period each unit is."""
        return tuple(at.index % at.segment.period for at in self._positions())

    def _state(self) -> tuple[Hashable, ...]:
        machine = self._machine
        time = int(machine.env.now)
        return (
            tuple(sorted(machine.doing.items())),
            tuple(at.segment for at in self._positions()),
            tuple(sorted((whose, due - time) for whose, due in machine.sleeping.values())),
            tuple(box.level for box in (machine.space, machine.operands, machine.room, machine.sums)),
            tuple(
                tuple(
                    (asked.priority, asked.owner, None if asked.priority == PASS else asked.remaining) for asked in server.queue
                )
                for server in self._servers
            ),
        )

    def _moment(self) -> _Moment:
        machine = self._machine
        return _Moment(
            cycle=machine.now,
            memory_bytes=machine.memory_bytes,
            busy=machine.busy,
            indices=tuple(at.index for at in self._positions()),
            passes=tuple(asked.remaining for server in self._servers for asked in server.queue if asked.priority == PASS),
            spans=len(machine.account.timeline.spans),
            served=tuple(server.busy for server in self._servers),
            work=tuple(len(server.work) for server in self._servers),
        )

    def _rounds(self, before: _Moment, now: _Moment, limit: "Callable[[Segment, int, int], int]") -> int:
        """How often what lies between two moments can happen again."""
        moved = zip(self._positions(), before.indices, now.indices, strict=True)
        limits = [limit(at.segment, first, last) for at, first, last in moved if last > first]
        limits += [(last - 1) // (first - last) for first, last in zip(before.passes, now.passes, strict=True) if first > last]
        return min(limits)  # the array has moved on

    def _skip(self, before: _Moment, now: _Moment, rounds: int) -> None:
        machine = self._machine
        spans = machine.account.timeline.spans[before.spans :]
        causes = Counter[tuple[Any, ...]]()
        for span in spans:
            causes[span.cause, span.layer, span.stage] += span.end - span.start
        for cause, cycles in causes.items():
            machine.account.timeline.add(machine.account.timeline.end + rounds * cycles, *cause)
        for at, first, last in zip(self._positions(), before.indices, now.indices, strict=True):
            at.index += rounds * (last - first)
        passes = (asked for server in self._servers for asked in server.queue if asked.priority == PASS)
        for asked, first, last in zip(passes, before.passes, now.passes, strict=True):
            asked.remaining -= rounds * (first - last)
        for server, served, noted in zip(self._servers, before.served, before.work, strict=True):
            server.work += _repeated(server.work[noted:], now.cycle, rounds)
            server.busy += rounds * (server.busy - served)
            server.restart()
        machine.busy += rounds * (now.busy - before.busy)
        machine.memory_bytes += rounds * (now.memory_bytes - before.memory_bytes)
        machine.skipped += rounds * (now.cycle - before.cycle)


def _among_runs(segment: "Segment", first: int, last: int) -> int:
    """Rounds from piece `first` to `last`, both at the same place of their periods, until the last piece."""
    return (segment.pieces - 2 - last) // (last - first) if first else 0


def _in_a_run(segment: "Segment", first: int, last: int) -> int:
    """Rounds from piece `first` to `last` within a run."""
    end = min(segment.run_end(first), segment.pieces - 2)
    return (end - last) // (last - first) if first else 0


def _repeated(work: list[Any], cycle: int, rounds: int) -> Iterator[Any]:
    """What a server does in `rounds` more rounds, each command's share in one piece, one after the other from `cycle` on."""
    shares = Counter[tuple[Any, ...]]()
    for name, start, end, *command in work:
        shares[name, *command] += end - start
    for (name, *command), cycles in shares.items():
        yield name, cycle, cycle + rounds * cycles, *command
        cycle += rounds * cycles
