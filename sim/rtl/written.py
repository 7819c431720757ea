"""What the RTL wrote, byte by byte, against what each store of a program was to write."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.isa.commands import STREAMS, Command, Sink, Store
from training.machine.executor import Executor
from training.machine.walks import Bytes, blocks

STROBE_BYTES = 8

COUNTED = ("bytes_compared", "bytes_different", "words_compared", "words_different")

Row = dict[str, Any]
"""A comparison: what, ``bytes_compared``, ``bytes_different``; of an operation, elements that it stores as ``words_``, too."""


@dataclass(frozen=True)
class Writes:
    """Bytes in the order in which they were written, by sink.

    Parameters
    ----------
    sinks : dict of Sink to (ndarray of int64, ndarray of uint8)
        Addresses and values.
    """

    sinks: dict[Sink, tuple[NDArray[np.int64], Bytes]]

    @classmethod
    def of(cls, records: bytes, beat_bytes: int) -> "Writes":
        """From the records of ``sat_bench.sv``."""
        layout = [("id", "<u4"), ("address", "<u4"), ("strobes", "u1", STROBE_BYTES), ("data", "u1", beat_bytes)]
        beats = np.frombuffer(records, np.dtype(layout))
        sinks = {}
        for sink in Sink:
            own = beats[beats["id"] == sink]
            strobes = np.unpackbits(own["strobes"], axis=1, bitorder="little")[:, :beat_bytes].astype(bool)
            addresses = own["address"].astype(np.int64)[:, None] + np.arange(beat_bytes)
            sinks[sink] = addresses[strobes], own["data"].reshape(-1, beat_bytes)[strobes]
        return cls(sinks)


@dataclass(frozen=True)
class _Stored:
    """A store of the program: which operation's, where, and what."""

    operation: int
    sink: Sink
    addresses: NDArray[np.int64]
    values: Bytes
    word_bytes: int


@dataclass(frozen=True)
class Place:
    """Where a program's writes differ first.

    Parameters
    ----------
    command : int
        The first of the operation that was to write it, by its number in the program.
    names : str
        Those of the operation's commands.
    addresses : array of int64
        Bytes of the window that a store was to write.
    due, found : array of uint8
        What it was to write there, and what was written; equal where nothing was.
    """

    command: int
    names: str
    addresses: NDArray[np.int64]
    due: Bytes
    found: Bytes


class Journal:
    """A program in NumPy, with all that its stores write.

    Parameters
    ----------
    machine : Executor
        It runs programs from now on; its `stored` is taken.

    Attributes
    ----------
    first : Place or None
        Where the last `rows` differ first, in the order of the program.
    """

    def __init__(self, machine: Executor) -> None:
        self.machine = machine
        machine.stored = self._note
        self._commands: Sequence[Command] = ()
        self._operations: list[Sequence[Command]] = []
        self._stored: list[_Stored] = []
        self.first: Place | None = None

    def run(self, commands: Sequence[Command]) -> None:
        """Run a program, and note its stores."""
        self._commands, self._operations, self._stored = commands, [], []
        self.machine.run(commands)

    def rows(self, writes: Writes) -> Iterator[Row]:
        """A comparison of each operation's bytes, in the order of the program; what else was written comes last."""
        counts: dict[int, dict[str, int]] = defaultdict(lambda: dict.fromkeys(COUNTED, 0))
        begun = dict.fromkeys(Sink, 0)
        self.first = None
        for stored in self._stored:
            addresses, values = writes.sinks[stored.sink]
            own = slice(begun[stored.sink], begun[stored.sink] + len(stored.values))
            begun[stored.sink] = own.stop
            found = _found(stored, addresses[own], values[own])
            wrong = (found != stored.values).reshape(-1, stored.word_bytes)
            for name, count in zip(COUNTED, (wrong.size, wrong.sum(), len(wrong), wrong.any(axis=1).sum()), strict=True):
                counts[stored.operation][name] += int(count)
            if wrong.any() and self.first is None:
                number, name = self._number(stored.operation), self._name(stored.operation)
                self.first = Place(number, name, stored.addresses, stored.values, found)
        for number in range(len(self._operations)):
            yield {"commands": self._name(number), **counts[number]}
        if beyond := sum(len(values) - begun[sink] for sink, (_, values) in writes.sinks.items()):
            yield {"commands": "no store", **dict.fromkeys(COUNTED, beyond)}

    def _number(self, operation: int) -> int:
        """Of an operation's first command. Operations are in the program's order; those that were skipped are none here."""
        numbers = iter(enumerate(self._commands))
        for one in self._operations[: operation + 1]:
            places = [next(number for number, command in numbers if command is ran) for ran in one]
        return places[0]

    def _name(self, operation: int) -> str:
        return ", ".join(command_name(command) for command in self._operations[operation])

    def _note(self, operation: Sequence[Command], store: Store) -> None:
        if not self._operations or self._operations[-1] is not operation:
            self._operations.append(operation)
        size, memory = 1 << store.walk.size_log2, self.machine.memory
        found = blocks(store.walk, self.machine.config.address_bits)
        first = np.concatenate([block.addresses[block.inside] for block in found])
        addresses = np.sort((first[:, None] + np.arange(size)).ravel())
        self._stored.append(_Stored(len(self._operations) - 1, store.sink, addresses, memory[addresses], size))


def command_name(command: Command) -> str:
    """Opcode and stream."""
    stream, _ = STREAMS.get(type(command), ("", None))
    return command.OPCODE.name + (f" {getattr(command, stream).name}" if stream else "")


def _found(stored: _Stored, addresses: NDArray[np.int64], values: Bytes) -> Bytes:
    """What the RTL wrote where a store was to write; not what was due where it wrote nothing, or elsewhere."""
    order = np.argsort(addresses, kind="stable")
    addresses, values = addresses[order], values[order]
    places = np.minimum(np.searchsorted(addresses, stored.addresses), max(len(addresses) - 1, 0))
    if not len(addresses):
        return ~stored.values
    return np.where(addresses[places] == stored.addresses, values[places], ~stored.values)
