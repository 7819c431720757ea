"""When the vector unit's held factors take words, and when they can be used."""

from dataflow.machine.units.state import State
from hw.isa.bits import PassOption, takes_pairs, takes_third
from hw.isa.commands import Pass

PRIMED_CYCLES = 2
"""From the last word taken until it can be used."""


class HeldFactors:
    """See `hw.held_factors`.

    Parameters
    ----------
    work : Pass
        That holds factors.
    lanes : int
        Rows that a word serves, where factors are by row.
    """

    def __init__(self, work: Pass, lanes: int) -> None:
        self.fill = work.held * (takes_pairs(work.steps, work.options) + takes_third(work.steps))
        times = work.terms if work.options & PassOption.ACROSS else 1
        self.serves = work.held_block * lanes * times if work.options & PassOption.BY_ROW else work.words
        self.missing, self.left, self.at = self.fill, self.serves, 0
        self.fills = 0  # how often they have been used up

    def take(self, now: int) -> None:
        """A word comes."""
        self.missing -= 1
        self.at = now + PRIMED_CYCLES

    def ready(self, now: int) -> bool:
        """Whether a word can use them."""
        return not self.missing and now >= self.at

    def use(self) -> None:
        """A word does."""
        self.left -= 1
        if not self.left:
            self.missing, self.left = self.fill, self.serves
            self.fills += 1

    def state(self, out: State) -> None:
        """As `dataflow.machine.units.clock.Unit.state`."""
        out.same(self.missing)
        out.time(self.at)
        out.toward(self, "left", 0, self.fills)
