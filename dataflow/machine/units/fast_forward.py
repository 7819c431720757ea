"""Exact fast-forward: what happens between two equal states happens again."""

from dataflow.machine.units.clock import Clock
from dataflow.machine.units.dispatch import Dispatch
from dataflow.machine.units.state import State

HAND_OUT, ROW = 2, 1
"""Marks of a cycle, see `Clock.marked`."""

APART_CYCLES = 64
"""Between two looks, at least; more where states do not return."""
MOST_APART_CYCLES = 4096
MOST_STATES = 2048
LONG_CYCLES = 256
"""Without a part handed out, after which rows are looked at, too; parts that long are looked at whatever rows do."""


class FastForward:
    """Looks at the state now and then, and skips what is the same again.

    Parameters
    ----------
    clock : Clock
        All units, FIFOs and meters of which are looked at.
    dispatch : Dispatch
        States return only between two commands.
    """

    def __init__(self, clock: Clock, dispatch: Dispatch) -> None:
        self.clock, self.dispatch = clock, dispatch
        self._seen: dict[bytes, tuple[int, list[int]]] = {}
        self._words = -1
        self._again_at = self._handed_at = 0
        self._apart, self._looks = APART_CYCLES, 0

    def look(self) -> None:
        """At the beginning of a cycle before which a part was handed out, or a row began."""
        clock = self.clock
        now = clock.now
        if clock.marked & HAND_OUT:
            apart, self._handed_at = now - self._handed_at, now
            if apart < LONG_CYCLES and now < self._again_at:
                return
        elif now < self._again_at or now <= self._handed_at + LONG_CYCLES:
            return
        if self.dispatch.words != self._words:
            self._begin(self.dispatch.words)
        state = self._state()
        phase, time = state.phase, now + clock.skipped
        before = self._seen.get(phase)
        periods = state.periods(before[1], 1 << 48) if before is not None else 0
        if before is not None and periods:
            state.move(before[1], periods)
            clock.skipped += periods * (time - before[0])
            self._seen[phase] = time + periods * (time - before[0]), self._state().values
            self._begin_looking()
            return
        self._seen[phase] = time, state.values
        if len(self._seen) > MOST_STATES:
            self._seen.clear()
        self._looks += 1
        if self._looks % 64 == 0 and self._apart < MOST_APART_CYCLES:
            self._apart *= 2
        self._again_at = now + self._apart

    def _begin(self, words: int) -> None:
        """Other commands than before."""
        self._words = words
        self._seen.clear()
        self._begin_looking()

    def _begin_looking(self) -> None:
        self._apart, self._looks = APART_CYCLES, 0
        self._again_at = self.clock.now + self._apart

    def _state(self) -> State:
        clock = self.clock
        state = State(clock.now)
        state.times(sorted(clock.later))
        for cycle in sorted(clock.later):
            _numbers(state, clock.later[cycle])
        _numbers(state, clock.awake)
        for unit in clock.units:
            state.same(unit.counted)
            unit.state(state)
        for fifo in clock.fifos:
            fifo.state(state)
        for meter in clock.meters:
            meter.state(state)
        return state


def _numbers(state: State, units: list) -> None:
    """Which units wake."""
    for number in sorted({unit.number for unit in units}):
        state.same(number)
    state.same(-1)
