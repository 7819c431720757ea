"""Programs of commands on a copy of the memory."""

from collections.abc import Sequence

import numpy as np

from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.isa.checks import check, up_to_halt
from hw.isa.commands import Command, Halt, Load, Pass, Product, Sink, Source, Store, Sync, Update
from training.exact import Float32
from training.machine import array, vector
from training.machine.walks import Bytes, Words, read_words, write_words


class Executor:
    """The accelerator's memory, from program to program.

    Parameters
    ----------
    config : AcceleratorConfig
        The accelerator.
    memory : ndarray of uint8
        The window's bytes; it is copied.

    Attributes
    ----------
    memory : ndarray of uint8
        As the programs so far have left it.
    overflow : bool
        A watched number was infinite or NaN: conditional commands are skipped.
    """

    def __init__(self, config: AcceleratorConfig, memory: Bytes) -> None:
        self.config = config
        self.memory = memory.copy()
        self.overflow = False

    def run(self, commands: Sequence[Command]) -> None:
        """Run a program, up to its `hw.isa.commands.Halt`.

        Between two synchronisations the order in which units reach memory is not defined: nothing may be read there that is
        written there. Commands are as `dataflow.machine` writes them.

        Raises
        ------
        InputError
            If a field cannot be, see `hw.isa.checks`; if the program does not end with `Halt`; if a unit waits for what nothing
            gives, is given more than it takes, or comes to a byte that is not there.
        """
        group: list[Command] = []
        self.overflow = False
        for number, command in enumerate(up_to_halt(commands)):
            if not isinstance(command, Sync | Halt):
                if not (command.conditional and self.overflow):
                    self._check(number, command)
                    group.append(command)
                continue
            try:
                self._run(group)
            except InputError as error:
                raise InputError(f"commands before {number}: {error}") from None
            group = []

    def _check(self, number: int, command: Command) -> None:
        try:
            check(self.config, command)
        except InputError as error:
            raise InputError(f"command {number}, {error}") from None

    def _run(self, group: Sequence[Command]) -> None:
        """What lies between two synchronisations, unit by unit."""
        lanes = self.config.vpu_lanes
        loads = {source: [c for c in group if isinstance(c, Load) and c.source is source] for source in Source}
        width = self.config.storage_format.width
        bits = {Source.ELEMENTS: 32, Source.FACTORS: 64, Source.RESIDUAL: width, Source.GATE: width}  # of what units take
        streams = {
            source: _joined([read_words(self.memory, load.walk, lanes) for load in loads[source]], lanes)
            & np.uint64((1 << bits[source]) - 1)
            for source in bits
        }
        tiles = self._products([c for c in group if isinstance(c, Product)], loads[Source.WEIGHTS], loads[Source.ACTIVATIONS])
        given: dict[Sink, list[Words]] = {sink: [] for sink in Sink}
        for work in group:
            if isinstance(work, Pass | Update):
                self._vector(work, tiles, streams, given)
        sinks = {sink: _joined(parts, lanes) for sink, parts in given.items()}
        for command in group:
            if isinstance(command, Store):
                sinks[command.sink] = write_words(self.memory, command.walk, sinks[command.sink])
        left = [
            *(source.name for source, words in streams.items() if len(words)),
            *(s.name for s, words in sinks.items() if len(words)),
        ]
        if left or tiles:
            raise InputError(f"nothing takes all of: {', '.join(left or ['the sums of a product'])}")

    def _products(self, products: Sequence[Product], weights: list[Load], activations: list[Load]) -> list[Float32]:
        """The tiles of all products; each takes a load of either operand."""
        if not len(products) == len(weights) == len(activations):
            raise InputError(
                f"{len(products)} products have {len(weights)} loads of weights and {len(activations)} of activations"
            )
        tiles: list[Float32] = []
        for product, *pair in zip(products, weights, activations, strict=True):
            width = self.config.storage_format.width
            operands = array.operands(self.memory, pair[0], 2 * width), array.operands(self.memory, pair[1], width)
            tiles += array.run(self.config, product, (pair[0], pair[1]), operands)
        return tiles

    def _vector(
        self, work: Pass | Update, tiles: list[Float32], streams: dict[Source, Words], given: dict[Sink, list[Words]]
    ) -> None:
        """One pass or update."""
        operands = {}
        for source in vector.sources(work):
            operands[source], streams[source] = np.split(streams[source], [work.words])
            if len(operands[source]) < work.words:
                raise InputError(
                    f"{type(work).__name__} takes {work.words} words of {source.name}; loads bring {len(operands[source])}"
                )
        if isinstance(work, Update):
            results = vector.run_update(self.config, work, operands[Source.ELEMENTS], operands[Source.FACTORS])
            for sink, words in results.items():
                given[sink].append(words)
            return
        from_sums = work.options & vector.FROM_SUMS
        elements = array.sum_words(work, tiles, self.config.vpu_lanes) if from_sums else operands[Source.ELEMENTS]
        if len(elements) != work.words:
            raise InputError(f"a pass of {work.words} words has tiles of {len(elements)}")
        words, watched = vector.run_pass(self.config, work, elements, operands)
        given[Sink.RESULTS].append(words)
        self.overflow |= watched


def _joined(parts: list[Words], lanes: int) -> Words:
    return np.concatenate([np.zeros((0, lanes), np.uint64), *parts])
