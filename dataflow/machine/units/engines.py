"""What the vector unit is made of: when its parts take and give words."""

from collections import deque

from hw.isa.commands import Pass
from hw.isa.reductions import result_cycles


class Pipeline:
    """A pipeline that holds while its last word is offered and not taken.

    Parameters
    ----------
    latency_cycles : int
        From a word taken until it is offered.
    """

    def __init__(self, latency_cycles: int) -> None:
        self.latency_cycles = latency_cycles
        self.words: deque[int] = deque()
        self.cycles = 0  # in which it did not hold

    @property
    def offers(self) -> bool:
        """Whether a word is at the end."""
        return bool(self.words) and self.words[0] + self.latency_cycles == self.cycles

    def advance(self, *, gives: bool, takes: bool) -> None:
        """A cycle in which it does not hold."""
        if gives:
            self.words.popleft()
        if takes:
            self.words.append(self.cycles)
        self.cycles += 1


class Packer:
    """A reduction engine: N words out behind every M in, see `hw.sore.SORE`."""

    def __init__(self) -> None:
        self.index, self.left = 0, 0

    def ready(self, m: int, room: bool) -> bool:
        """Whether it takes a word."""
        return self.index + 1 != m or not self.left or (self.left == 1 and room)

    def step(self, n: int, m: int, *, takes: bool, gives: bool) -> None:
        """A cycle."""
        self.left -= gives
        if takes:
            self.index += 1
            if self.index == m:
                self.index, self.left = 0, n


class Reductions:
    """A reduction unit, see `hw.reductions`: terms a word a cycle, then results every other cycle.

    Parameters
    ----------
    add_latency_cycles : int
        Of its adders.
    """

    def __init__(self, add_latency_cycles: int) -> None:
        self.add_latency_cycles = add_latency_cycles
        self.groups = self.terms = 1
        self.taken = self.left = self.at = 0  # words of terms; of results that are due; when it gives or takes again

    def takes(self, now: int) -> bool:
        """Whether it takes a word of terms in this cycle."""
        return not self.left and now >= self.at

    def offers(self, now: int) -> bool:
        """Whether it offers a result."""
        return self.left > 0 and now >= self.at

    def take(self, now: int) -> None:
        """A word of terms."""
        self.taken += 1
        if self.taken == self.groups * self.terms:
            self.taken, self.left = 0, self.groups
            self.at = now + result_cycles(self.groups, self.terms, self.add_latency_cycles)

    def give(self, now: int) -> None:
        """A result."""
        self.left -= 1
        self.at = now + (2 if self.left else 1)


class HeldFactors:
    """Which words of factors come from memory, see `hw.held_factors`.

    Parameters
    ----------
    work : Pass
        That uses them.
    """

    def __init__(self, work: Pass) -> None:
        self.work, self.columns_left = work, work.columns
        self.place = self.base = self.column = 0
        self.first_tile = True

    @property
    def fresh(self) -> bool:
        """Whether the next one does."""
        return not self.work.held or (self.first_tile and self.column == 0)

    def use(self) -> None:
        """The next one is used."""
        work, behind = self.work, self.place + 1
        if not work.held:
            return
        if behind not in (self.base + work.held_block, work.held):
            self.place = behind
            return
        self.place, self.column = self.base, self.column + 1
        if self.column in (work.column_tile, self.columns_left):
            self.place = self.base = behind % work.held
            self.column = 0
            if self.base == 0:
                self.first_tile = False
                self.columns_left -= work.column_tile
