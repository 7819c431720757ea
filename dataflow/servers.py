"""A resource of one rate that always serves its most urgent request: the memory channel, and the lanes of an engine."""

from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, field

import simpy

from dataflow.timeline import Work

LOAD, DRAIN, PASS = 0, 1, 2
"""Priorities: what the array waits for, what it will wait for when its results have no room, and what only later jobs need."""

PURPOSES = ("load", "drain", "pass")
"""What they are called on a timeline."""


@dataclass(order=True)
class Request:
    """Work that a server was asked for.

    Parameters
    ----------
    priority, asked_at, owner
        Order of service: most urgent, then earliest, then by name of who asks.
    remaining : int
        Cycles left.
    label : tuple of (str, Stage)
        The command that it belongs to.
    served : Event
        Happens when nothing is left.
    """

    priority: int
    asked_at: int
    owner: str
    remaining: int = field(compare=False)
    label: tuple[str, object] = field(compare=False)
    served: simpy.Event = field(compare=False)


class Server:
    """Serves one request at a time; a more urgent one interrupts, and what it interrupts goes on later where it was.

    Parameters
    ----------
    environment : simpy.Environment
        What it runs in.
    name : str
        On a timeline.
    now : callable
        The cycle that slices are noted with.

    Attributes
    ----------
    queue : list of Request
        The one being served first.
    busy : int
        Cycles served.
    work : list of Work
        When it served what.
    """

    def __init__(self, environment: simpy.Environment, name: str, now: Callable[[], int]) -> None:
        self.queue: list[Request] = []
        self.busy = 0
        self.work: list[Work] = []
        self._environment, self._name, self._now = environment, name, now
        self._since = 0
        self._timer: simpy.Event | None = None

    def serve(self, cycles: int, priority: int, owner: str, label: tuple[str, object]) -> simpy.Event:
        """Ask for `cycles`; the event happens when they are served."""
        request = Request(priority, int(self._environment.now), owner, cycles, label, self._environment.event())
        if not cycles:
            return request.served.succeed()
        self.account()
        insort(self.queue, request)
        self.restart()
        return request.served

    def account(self) -> None:
        """Bring `busy`, `work` and the first request up to this cycle."""
        now = int(self._environment.now)
        cycles, self._since = now - self._since, now
        if self.queue and cycles:
            first = self.queue[0]
            first.remaining -= cycles
            self.busy += cycles
            self.work.append((self._name, self._now() - cycles, self._now(), PURPOSES[first.priority], *first.label))  # type: ignore[arg-type]

    def restart(self) -> None:
        """Serve the first request from this cycle on."""
        if self.queue:
            self._timer = timer = self._environment.timeout(self.queue[0].remaining)
            timer.callbacks.append(self._finish)

    def _finish(self, timer: simpy.Event) -> None:
        if timer is self._timer:  # else it was interrupted
            self.account()
            self.queue.pop(0).served.succeed()
            self.restart()
