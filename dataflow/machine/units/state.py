"""What decides the future of a unit: what stays, and what only goes on.

A unit's `state` says all of its attributes that change, each as what it is::

    same     stands as it is: a flag, a small number, a word in a register          equal in a state that returns
    thing    is one of the program's commands, or a word of a FIFO                  equal
    time     is a cycle                                                             equal from now on; what is past is past
    toward   goes on to an end, within one item: words of a pass, rounds of a tile  moves on by as much in each period
    row      is a place in a sequence whose rows are equal or not                   moves on over rows that are equal
    count    counts and decides nothing                                             moves on

Two cycles whose `phase` is equal are the same state but for what moves on. As long as all that moves on stays short of its end,
and among equal rows, what happened between them happens again.
"""

from array import array
from typing import Any

from dataflow.machine.units.rows import Rows

COUNT, TOWARD, ROW = range(3)


class State:
    """The state at the beginning of a cycle, as the units say it.

    Parameters
    ----------
    now : int
        The cycle.

    Attributes
    ----------
    values : list of int
        All that moves on.
    """

    def __init__(self, now: int) -> None:
        self.now = now
        self._phase: list[int] = []
        self.values: list[int] = []
        self._moving: list[tuple[int, Any, str | int, int, Rows | None]] = []  # of each: kind, owner, name, end, rows

    @property
    def phase(self) -> bytes:
        """All that must be equal."""
        return array("q", self._phase).tobytes()

    def same(self, value: int) -> None:
        """A number that stands as it is."""
        self._phase.append(value)

    def thing(self, value: Any) -> None:  # noqa: ANN401
        """A number, a tuple of things, nothing, or an object that stays as it is while a program runs."""
        if value is None:
            self._phase.append(-1)
        elif isinstance(value, int):
            self._phase.append(value)
        elif isinstance(value, tuple):
            for part in value:
                self.thing(part)
        else:
            self._phase.append(id(value))

    def time(self, cycle: int) -> None:
        """A cycle that matters as long as it has not passed."""
        self._phase.append(cycle - self.now if cycle > self.now else 0)

    def times(self, cycles: Any) -> None:  # noqa: ANN401 (any iterable of int)
        """Cycles in order, those that have passed left out."""
        count = 0
        for cycle in cycles:
            if cycle >= self.now:
                self._phase.append(cycle - self.now)
                count += 1
        self._phase.append(-2 - count)

    def count(self, owner: Any, name: str | int, more: int = 0) -> None:  # noqa: ANN401
        """An attribute of `owner`, or an element, that only counts; `more` has come since it was written last."""
        self._moves(owner, name, COUNT, 0, None, more)

    def toward(self, owner: Any, name: str | int, end: int, item: int) -> None:  # noqa: ANN401
        """One that goes on within an item and has an effect where it comes to `end`; `item` counts items."""
        self._moves(owner, name, TOWARD, end, None, 0)
        self._moves(None, 0, TOWARD, item, None, item)

    def row(self, owner: Any, name: str, rows: Rows) -> None:  # noqa: ANN401
        """One that is a place in `rows`."""
        self._phase.append(rows.kind(getattr(owner, name)))
        self._moves(owner, name, ROW, 0, rows, 0)

    def _moves(self, owner: Any, name: str | int, kind: int, end: int, rows: Rows | None, more: int) -> None:  # noqa: ANN401
        value = more
        if isinstance(name, str):
            value += getattr(owner, name)
        elif owner is not None:
            value += owner[name]
        self.values.append(value)
        self._moving.append((kind, owner, name, end, rows))

    def periods(self, before: list[int], most: int) -> int:
        """How often, `most` at most, what happened since the same phase with the values `before` happens again, exactly."""
        values = self.values
        for place, (kind, owner, _, end, _) in enumerate(self._moving):
            step = values[place] - before[place]
            if kind == TOWARD and owner is not None and step:
                if before[place + 1] != values[place + 1]:
                    return 0
                most = min(most, _left(end - values[place], step))
        for place, (_, _, _, _, rows) in enumerate(self._moving):
            if rows is not None and most > 0:
                step = values[place] - before[place]
                if step:
                    most = rows.periods(before[place], step, most) if step > 0 else 0
        return max(most, 0)

    def periods_as(self, before: list[int], after: list[int], most: int) -> int:
        """As `periods`, of what once happened between the values `before` and `after`, from the same phase to itself."""
        values = self.values
        for place, (kind, owner, _, end, _) in enumerate(self._moving):
            step = after[place] - before[place]
            if kind == TOWARD and owner is not None and step:
                most = min(most, _left(end - values[place], step))
        for place, (_, _, _, _, rows) in enumerate(self._moving):
            if rows is not None and most > 0:
                step, value = after[place] - before[place], values[place]
                if step and not rows.same(before[place], value, step + 1):
                    return 0
                if step:
                    most = 1 + rows.periods(value, step, most - 1)
        return max(most, 0)

    def move(self, before: list[int], after: list[int], periods: int) -> None:
        """Go on by so many periods, in each of which values go from `before` to `after`."""
        for place, (_, owner, name, _, _) in enumerate(self._moving):
            step = (after[place] - before[place]) * periods
            if owner is not None and step:
                if isinstance(name, str):
                    setattr(owner, name, getattr(owner, name) + step)
                else:
                    owner[name] += step


def _left(way: int, step: int) -> int:
    """How often something can go on by `step` and stay short of its end, which is so far away."""
    return (abs(way) - 1) // abs(step) if (step > 0) == (way > 0) else 0
