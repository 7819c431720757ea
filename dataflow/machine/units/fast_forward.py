"""Exact fast-forward: what happens between two equal states happens again."""

from dataflow.machine.units.clock import HAND_OUT, LANDMARK, Clock
from dataflow.machine.units.dispatch import Dispatch
from dataflow.machine.units.state import State

APART_CYCLES = 64
"""Between two looks, at least; more where states do not return."""
FEW_APART_CYCLES, MOST_APART_CYCLES = 512, 4096
"""Up to the first, landmarks are looked at whenever they come."""
MOST_STATES = 2048
LONG_CYCLES = 256
"""Parts that take as long are looked at whenever one is handed out, and rows `SOON_CYCLES` behind that."""
SOON_CYCLES = 64
RARE_CYCLES = 24
"""Without a row that begins, after which one that does is a landmark, too."""
UNMARKED_CYCLES = 64
"""Without one, after which any cycle is looked at: what moves then has a short period."""


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
        self._seen: dict[bytes, tuple[int, list[int]]] = {}  # when, and what had moved on
        self._cycles: dict[
            bytes, tuple[int, list[int], list[int]]
        ] = {}  # of a phase that returned: after how long, from and to
        self._words = -1
        self._again_at = self._handed_at = self._part = self._marked_at = 0
        self._apart, self._looks = APART_CYCLES, 0

    def look(self) -> None:
        """At the beginning of a cycle before which a part was handed out, or a row began, or none for a while."""
        clock = self.clock
        now, landmark = clock.now, clock.marked & LANDMARK
        if clock.marked:
            landmark, self._marked_at = landmark or now - self._marked_at >= RARE_CYCLES, now
        if clock.marked & HAND_OUT:
            self._part, self._handed_at = now - self._handed_at, now
            if self._part >= LONG_CYCLES:
                self._begin_looking()  # what did not return in one part may do so in the next
            elif now < self._again_at:
                return
        elif now <= self._handed_at + (SOON_CYCLES if self._part >= LONG_CYCLES else LONG_CYCLES):
            clock.look_at = now + UNMARKED_CYCLES
            return
        elif clock.marked and now < self._again_at and not (landmark and self._apart < FEW_APART_CYCLES):
            clock.look_at = max(now + UNMARKED_CYCLES, self._again_at)
            return
        if self.dispatch.words != self._words:
            self._begin(self.dispatch.words)
        state = self._state()
        phase, time = state.phase, now + clock.skipped
        if phase in self._seen:
            then, before = self._seen[phase]
            if periods := state.periods(before, 1 << 48):
                self._cycles[phase] = time - then, before, state.values
            elif phase in self._cycles:
                periods = state.periods_as(*self._cycles[phase][1:], 1 << 48)
            if periods:
                cycles, before, after = self._cycles[phase]
                state.move(before, after, periods)
                clock.skipped += periods * cycles
                self._seen[phase] = time + periods * cycles, self._state().values
                self._begin_looking()
                return
        self._seen[phase] = time, state.values
        if len(self._seen) > MOST_STATES:
            self._seen.clear()
            self._cycles.clear()
        self._looks += 1
        if self._looks % 64 == 0 and self._apart < MOST_APART_CYCLES:
            self._apart *= 2
        self._again_at = now + self._apart
        clock.look_at = max(now + UNMARKED_CYCLES, self._again_at)

    def _begin(self, words: int) -> None:
        """Other commands than before."""
        self._words = words
        self._seen.clear()
        self._cycles.clear()
        self._begin_looking()

    def _begin_looking(self) -> None:
        self._apart, self._looks = APART_CYCLES, 0
        self._again_at = self.clock.look_at = self.clock.now + self._apart

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
