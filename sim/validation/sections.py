"""Sections of a program: commands that can run by themselves, since they leave nothing open and take nothing that is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dataflow.compile.assemble import Assembled, Origin
from hw.isa.bits import PassOption
from hw.isa.commands import Command, Halt, Load, Pass, Sink, Store, Sync
from training.machine.order import OpenTiles, operations


@dataclass(frozen=True)
class Section:
    """Some commands of a program.

    Parameters
    ----------
    origin : Origin
        What of the step they are; of a product with what runs between its tiles, the product.
    operations : tuple of tuple of Command
        In order, each ending with its stores. They come after no store but their own.
    """

    origin: Origin
    operations: tuple[tuple[Command, ...], ...]

    @property
    def commands(self) -> list[Command]:
        """A program of the section alone."""
        return [*(command for operation in self.operations for command in operation), Halt()]


def sections(assembled: Assembled) -> Iterator[Section]:
    """All sections of both programs of a step; none of them is longer than it has to be."""
    for commands, origins in zip((assembled.forward, assembled.backward), assembled.origins, strict=True):
        yield from _of(commands, iter(origins))


def _of(commands: Sequence[Command], origins: Iterator[Origin]) -> Iterator[Section]:
    tiles, begun, own = OpenTiles(), list[tuple[Command, ...]](), list[Origin]()
    stored = first = 0  # STORE.RESULTS since the last synchronisation, and those before the section
    for operation in operations(command for command in commands if not isinstance(command, Halt)):
        if isinstance(operation[0], Sync):
            operation, stored, first = operation[1:], 0, 0
        tiles.add(operation)
        begun.append(tuple(_after(_apart(command), first) for command in operation))
        for command in operation:
            if isinstance(command, Store) and command.sink is Sink.RESULTS:
                own.append(next(origins))
                stored += 1
        if not tiles.left:
            yield Section(next((origin for origin in own if origin.kind == "product"), own[-1]), tuple(begun))
            begun, own, first = [], [], stored


def _apart(command: Command) -> Command:
    """A pass whose reduction goes on in another section leaves its results alone."""
    if isinstance(command, Pass) and command.goes_on:
        return replace(command, options=command.options & ~PassOption.BESIDE, groups=0)
    return command


def _after(command: Command, first: int) -> Command:
    """What it comes after, of a section that so many stores are before."""
    return replace(command, after=max(0, command.after - first)) if isinstance(command, Load | Store) else command
