"""Whether a program's reads and writes of memory wait for each other where they have to, byte by byte."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.isa.bits import PassOption
from hw.isa.commands import STREAMS, Command, Load, Pass, Product, Sink, Source, Store
from training.machine.walks import Block, blocks

NEVER = 1 << 30
"""More stores than there are, and more words."""

Numbers = NDArray[np.int32]


class Unordered(InputError):
    """Accesses that do not wait for each other where they have to: what comes of them depends on timing."""


def operations(commands: Iterable[Command]) -> Iterator[list[Command]]:
    """Commands cut behind their stores."""
    part: list[Command] = []
    for command in commands:
        if part and isinstance(part[-1], Store) and not isinstance(command, Store):
            yield part
            part = []
        part.append(command)
    if part:
        yield part


class OpenTiles:
    """Tiles of products that no pass has taken yet."""

    def __init__(self) -> None:
        self.left: list[int] = []

    def add(self, operation: Iterable[Command]) -> None:
        """Go on by the commands of `operation`."""
        for command in operation:
            if isinstance(command, Product):
                self.left.append(command.outer * command.middle)
            elif isinstance(command, Pass) and command.options & PassOption.FROM_SUMS and self.left:
                self.left[0] -= command.outer * command.middle
                if self.left[0] <= 0:
                    self.left.pop(0)


class Traces:
    """What the commands since a synchronisation have done to each byte of memory.

    A product has read its operands when the last of its tiles is stored.

    ::

        load  ── reads what a store writes ────────► comes after it, or there is a synchronisation between them
        store ── writes what was loaded before ────► comes after the results of that operation
              ── writes what another writer writes ► comes after it, or there is a synchronisation between them
              ── writes what its operation loads ──► no word before it was read

    Parameters
    ----------
    config : AcceleratorConfig
        Elements of a word of the vector unit, bits of an address.
    size : int
        Bytes of the memory.
    """

    def __init__(self, config: AcceleratorConfig, size: int) -> None:
        self.config, self.results = config, 0
        self.stored: Numbers = np.zeros(size, np.int32)  # STORE.RESULTS that are complete when it is written
        self.sink: Numbers = np.zeros(size, np.int32)  # who wrote it, from 1 on
        self.loaded: Numbers = np.zeros(size, np.int32)  # STORE.RESULTS that are complete when it is read
        self.word: Numbers = np.zeros(size, np.int32)  # the operation's last word that reads it, from 1 on
        self.tiles = OpenTiles()
        self.operands: list[NDArray[np.int64]] = []  # places that products read which are not through

    def add(self, operation: Sequence[Command]) -> None:
        """Go on by the commands of `operation`; `InputError` where one does not wait."""
        loads = [command for command in operation if isinstance(command, Load)]
        stores = [command for command in operation if isinstance(command, Store)]
        touched: list[NDArray[np.int64]] = []
        begun: dict[Source | Sink, int] = {}
        for load in loads:
            operand = load.source in (Source.WEIGHTS, Source.ACTIVATIONS)
            for places, word in self._words(load, begun):
                self._after(load, self.stored[places].max(initial=0), "reads what is written before")
                self.word[places] = NEVER if operand else word + 1
                (self.operands if operand else touched).append(places)
        results = sum(store.sink is Sink.RESULTS for store in stores)
        for store in stores:
            self.results += store.sink is Sink.RESULTS
            for places, word in self._words(store, begun):
                self._after(store, self.loaded[places].max(initial=0), "writes what is read before")
                others = places[(self.sink[places] != 0) & (self.sink[places] != store.sink + 1)]
                self._after(store, self.stored[others].max(initial=0), "writes what is written before")
                if (self.word[places] > word + 1).any():
                    raise Unordered(f"{_name(store)} writes what its operation has yet to read")
                self.stored[places] = self.results if store.sink is Sink.RESULTS else NEVER
                self.sink[places] = store.sink + 1
        self.tiles.add(operation)
        if not self.tiles.left:
            touched += self.operands
            self.operands = []
        for places in touched:
            self.loaded[places] = self.results if results else NEVER
            self.word[places] = 0

    def _words(self, command: Load | Store, begun: dict[Source | Sink, int]) -> Iterator[tuple[NDArray[np.int64], Numbers]]:
        """The bytes that a command comes to, block by block, and the number of the word of each in the operation's stream."""
        stream = command.source if isinstance(command, Load) else command.sink
        for block in blocks(command.walk, self.config.address_bits):
            rows, length = block.addresses.shape
            lanes = command.walk.boundary
            across = -(-length // lanes)
            words = begun.get(stream, 0) + np.arange(rows)[:, None] * across + np.arange(length) // lanes
            begun[stream] = begun.get(stream, 0) + rows * across
            yield self._bytes(block, words, 1 << command.walk.size_log2)

    def _bytes(self, block: Block, words: NDArray[np.int64], size: int) -> tuple[NDArray[np.int64], Numbers]:
        first = block.addresses[block.inside]
        inside = first + size <= len(self.stored)  # what goes beyond is refused where it is read or written
        places = first[inside][:, None] + np.arange(size)
        return places.ravel(), np.repeat(words[block.inside][inside], size).astype(np.int32)

    def _after(self, command: Load | Store, due: int, what: str) -> None:
        if due > command.after:
            wants = f"after must be at least {due}, not {command.after}" if due < NEVER else "a SYNC must be between them"
            raise Unordered(f"{_name(command)} {what}: {wants}")


def _name(command: Command) -> str:
    stream, _ = STREAMS[type(command)]
    return f"{command.OPCODE.name} {getattr(command, stream).name}"
