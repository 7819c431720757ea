"""What a command has to wait for: earlier ones that write what it reads, or read or write what it writes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from hw.isa.bounds import MOST_AFTER
from hw.isa.commands import Command, Load, Sink, Source, Store, Sync

Names = dict[Source | Sink, str]
Operation = tuple[list[Command], Names]
"""Commands that end with a store of results, and the tensors that they read and write."""

NEVER = -1
"""Of what is complete after a synchronisation alone."""


class Dependences:
    """Orders operations by the names of the tensors that they read and write.

    An operation is complete when its results are stored: it has then read all that it loads. So loads and stores say how many
    results must have been stored before them (`hw.isa.commands.Load.after`). An operation may write what it reads itself: words
    leave in the order in which they came. Results that are written to the same place twice need not wait for each other, since
    one writer's writes reach memory in order. What another sink writes is complete after a synchronisation.

    A product whose sums are taken later is *open*: `close` gives the commands that take them. They come before a
    synchronisation, and before what would write an operand of the product.
    """

    def __init__(self) -> None:
        self._begin()
        self._open: tuple[frozenset[str], Iterator[Iterator[Command]]] | None = None

    def open(self, operands: Iterable[str], takes: Iterator[Iterator[Command]]) -> None:
        """A product that reads these tensors is open until `takes`, commands of operations piece by piece, are given."""
        self._open = frozenset(operands), takes

    @property
    def is_open(self) -> bool:
        """Whether a product is."""
        return self._open is not None

    def take(self) -> Iterator[Command]:
        """What takes the next piece of the open product's sums; the last one closes it."""
        assert self._open
        (operands, takes), self._open = self._open, None  # its commands, too, are ordered
        piece, *others = takes
        yield from piece
        if others:
            self._open = operands, iter(others)

    def close(self) -> Iterator[Command]:
        """What takes the sums of the open product, if there is one."""
        while self._open:
            yield from self.take()

    def _begin(self) -> None:
        self._stored = 0
        self._parted: frozenset[str] = frozenset()
        self._written: dict[str, int] = {}  # results that have been stored when a tensor is as last written
        self._read: dict[str, int] = {}  # and when it has been read

    def part(self, names: Iterable[str], parts: int) -> None:
        """From now on so many parts of these tensors, and of no others, are written and read one by one."""
        self._parted = frozenset(names)
        for name in self._parted:
            for table in (self._written, self._read):
                table |= dict.fromkeys((_part(name, part) for part in range(parts)), table.get(name, 0))

    def waits_for_all(self, names: Iterable[str]) -> bool:
        """Whether one of these tensors is complete after a synchronisation alone."""
        return any(self._written.get(name) == NEVER for name in names)

    def ordered(
        self,
        commands: Iterable[Command],
        tensors: Mapping[Source | Sink, str],
        behind: str | None = None,
        part: int | None = None,
    ) -> Iterator[Command]:
        """Commands of operations, each ending with its stores, with what they come after.

        Parameters
        ----------
        commands : iterable of Command
            In order, of one operation where it stores anything else than results.
        tensors : mapping of Source or Sink to str
            What each stream reads, and where results and copies go, by the name of its place in memory. What has no name is
            not read again.
        behind : str, optional
            Where results go that are stored right behind others.
        part : int, optional
            Which part of the tensors that are in parts.
        """

        def place(name: str) -> str:
            return _part(name, part) if part is not None and name in self._parted else name

        loaded: set[str] = set()
        stored = False
        if self.waits_for_all(tensors.values()):
            yield from self.synchronised()
        written = {name for stream, name in tensors.items() if isinstance(stream, Sink)}
        if self._open and not self._open[0].isdisjoint(written):
            yield from self.close()
        for command in commands:
            if isinstance(command, Store) and command.sink is Sink.COPY and Sink.COPY in tensors:
                name = tensors[command.sink]
                yield replace(command, after=self._read.get(name, 0))
                self._written[name] = NEVER
            elif isinstance(command, Load):
                name = tensors[command.source]
                loaded = {name} if stored else {*loaded, name}
                stored = False
                yield replace(command, after=self._written.get(place(name), 0))
            elif isinstance(command, Store) and command.sink is Sink.RESULTS:
                name = behind if stored and behind else tensors[command.sink]
                yield replace(command, after=self._read.get(place(name), 0))
                self._stored += 1
                self._written[name] = self._written[place(name)] = self._stored
                self.read({*loaded, *map(place, loaded)})
                stored = True
            else:
                yield command

    def read(self, names: Iterable[str]) -> None:
        """These tensors have been read when all results so far are stored."""
        self._read |= dict.fromkeys(names, self._stored)

    def limited(self) -> Iterator[Command]:
        """A synchronisation where more stores could hardly be counted; between operations that leave no sums."""
        if self._stored >= MOST_AFTER // 2:
            yield from self.synchronised()

    def synchronised(self) -> Iterator[Command]:
        """A synchronisation, after which all is complete."""
        yield from self.close()
        self._begin()
        yield Sync()


def _part(name: str, part: int) -> str:
    return f"{name} part {part}"
