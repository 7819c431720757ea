"""Programs of commands on a copy of the memory."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.isa.agreement import Agreement
from hw.isa.bits import PassOption
from hw.isa.checks import check, check_order, up_to_halt
from hw.isa.commands import Command, Halt, Load, Pass, Product, Sink, Source, Store, Sync, Update
from training.exact import Float32
from training.machine import array, vector
from training.machine.order import Traces, operations
from training.machine.walks import Bytes, Words, read_words, write_words

OPERANDS = (Source.WEIGHTS, Source.ACTIVATIONS)


class Executor:
    """The accelerator's memory, from program to program.

    Parameters
    ----------
    config : AcceleratorConfig
        The accelerator.
    memory : ndarray of uint8
        The window's bytes; it is copied.
    stored : callable
        Told the commands of an operation and each store of it, once its bytes are in memory.

    Attributes
    ----------
    memory : ndarray of uint8
        As the programs so far have left it.
    overflow : bool
        A watched number was infinite or NaN: conditional commands are skipped.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        memory: Bytes,
        stored: Callable[[Sequence[Command], Store], None] = lambda operation, store: None,
    ) -> None:
        self.config, self.stored = config, stored
        self.memory = memory.copy()
        self.overflow = False

    def run(self, commands: Sequence[Command]) -> None:
        """Run a program, up to its `hw.isa.commands.Halt`.

        Operations follow each other as they stand: between two synchronisations the accelerator may run them at the same time,
        and what one of them writes another may only read, or write, if it waits for it. Commands are as `dataflow.machine`
        writes them.

        Raises
        ------
        InputError
            If a field cannot be, see `hw.isa.checks`; if the program does not end with `Halt`; if a unit waits for what nothing
            gives, is given more than it takes, or comes to a byte that is not there; if a command does not wait for what it
            depends on, see `training.machine.order`.
        """
        run = up_to_halt(commands)
        check_order(run)
        group: list[Command] = []
        self.overflow, agreement = False, Agreement(self.config)
        for number, command in enumerate(run):
            self._check(number, command, agreement)
            if not isinstance(command, Sync | Halt):
                if not (command.conditional and self.overflow):
                    group.append(command)
                continue
            try:
                self._run(group)
            except InputError as error:
                raise type(error)(f"commands before {number}: {error}") from None
            group = []

    def _check(self, number: int, command: Command, agreement: Agreement) -> None:
        try:
            agreement.check_condition(command)
            if isinstance(command, Sync | Halt) or not (command.conditional and self.overflow):
                check(self.config, command)
                agreement.follow(command)
        except InputError as error:
            raise InputError(f"command {number}, {error}") from None

    def _run(self, group: Sequence[Command]) -> None:
        """What lies between two synchronisations."""
        lanes = self.config.vpu_lanes
        streams, sinks = _Streams(lanes), {sink: _joined([], lanes) for sink in Sink}
        traces = Traces(self.config, len(self.memory))
        for operation in operations(group):
            traces.add(operation)
            self._load([command for command in operation if isinstance(command, Load)], streams)
            self._products([command for command in operation if isinstance(command, Product)], streams)
            given: dict[Sink, list[Words]] = {sink: [sinks[sink]] for sink in Sink}
            for work in operation:
                if isinstance(work, Pass | Update):
                    self._vector(work, streams, given)
            sinks = {sink: _joined(parts, lanes) for sink, parts in given.items()}
            for command in operation:
                if isinstance(command, Store):
                    sinks[command.sink] = write_words(self.config, self.memory, command.walk, sinks[command.sink])
                    self.stored(operation, command)
        left = [*(source.name for source, words in streams.words.items() if len(words))]
        left += [sink.name for sink, words in sinks.items() if len(words)]
        if left or streams.tiles:
            raise InputError(f"nothing takes all of: {', '.join(left or ['the sums of a product'])}")
        counts = [len(streams.operands[source]) for source in OPERANDS]
        if any(counts):
            raise InputError(f"no product takes {counts[0]} loads of weights and {counts[1]} of activations")

    def _load(self, loads: Sequence[Load], streams: "_Streams") -> None:
        """What loads read."""
        width, lanes = self.config.storage_format.width, self.config.vpu_lanes
        bits = {Source.ELEMENTS: 32, Source.FACTORS: 64, Source.RESIDUAL: width, Source.GATE: width}  # of what units take
        bits |= {Source.WEIGHTS: 2 * width, Source.ACTIVATIONS: width}
        for load in loads:
            source = load.source
            if source in OPERANDS:
                streams.operands[source].append((load, array.operands(self.config, self.memory, load, bits[source])))
            else:
                words = read_words(self.config, self.memory, load.walk) & np.uint64((1 << bits[source]) - 1)
                streams.words[source] = _joined([streams.words[source], words], lanes)

    def _products(self, products: Sequence[Product], streams: "_Streams") -> None:
        """The tiles of all products; each takes a load of either operand."""
        weights, activations = (streams.operands[source] for source in OPERANDS)
        if min(len(weights), len(activations)) < len(products):
            raise InputError(
                f"{len(products)} products have {len(weights)} loads of weights and {len(activations)} of activations"
            )
        for product in products:
            pair = weights.pop(0), activations.pop(0)
            loads, operands = (pair[0][0], pair[1][0]), (pair[0][1], pair[1][1])
            streams.tiles += array.run(self.config, product, loads, operands)

    def _vector(self, work: Pass | Update, streams: "_Streams", given: dict[Sink, list[Words]]) -> None:
        """One pass or update."""
        operands = {}
        for source in vector.sources(work):
            count = vector.words_of(self.config, work, source)
            operands[source], streams.words[source] = np.split(streams.words[source], [count])
            if len(operands[source]) < count:
                raise InputError(
                    f"{type(work).__name__} takes {count} words of {source.name}; loads bring {len(operands[source])}"
                )
        if isinstance(work, Update):
            results = vector.run_update(self.config, work, operands[Source.ELEMENTS], operands[Source.FACTORS])
            for sink, words in results.items():
                given[sink].append(words)
            return
        from_sums = work.options & PassOption.FROM_SUMS
        elements = array.sum_words(work, streams.tiles, self.config.vpu_lanes) if from_sums else operands[Source.ELEMENTS]
        if len(elements) != work.words:
            raise InputError(f"a pass of {work.words} words has tiles of {len(elements)}")
        words, watched = vector.run_pass(self.config, work, elements, operands, streams.terms)
        given[Sink.RESULTS].append(words)
        if work.groups and work.options & PassOption.PLACES:
            width = self.config.storage_format.width
            given[Sink.COPY].append(words >> np.uint64(32) & np.uint64((1 << width) - 1))
        self.overflow |= watched


class _Streams:
    """What has been loaded and computed, and not taken yet."""

    def __init__(self, lanes: int) -> None:
        self.words = {source: _joined([], lanes) for source in Source if source not in OPERANDS}
        self.operands: dict[Source, list[tuple[Load, array.Operands]]] = {source: [] for source in OPERANDS}
        self.tiles: list[Float32] = []
        self.terms: list[NDArray[np.uint32]] = []  # of a reduction that goes on


def _joined(parts: list[Words], lanes: int) -> Words:
    return np.concatenate([np.zeros((0, lanes), np.uint64), *parts])
