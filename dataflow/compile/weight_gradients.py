"""Weight gradients, each begun while the vector unit has something else to do, and the updates that follow them.

The array computes a part of a weight gradient, some of its columns, beside passes that take about as long. Its sums wait in
the output buffer until then; when they have left, the weights of these columns are updated::

    array           │ weight gradient, columns 0 …  │ columns 1 …                   │ input gradient …
    vector unit     │ pass ───────────────────────► │ sums │ update │ pass ───────► │ sums │ update │ …
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil, inf

from dataflow.compile import updates
from dataflow.compile.dependences import Operation
from dataflow.compile.drains import Drain
from dataflow.compile.emitter import Emitter, Origin
from dataflow.compile.memory import NEXT
from dataflow.compile.parts import cycles_of, part_of, parts_of
from dataflow.compile.products import Begun, begin, product_cycles
from dataflow.compile.updates import Layer, Rates
from dataflow.compile.walks import access
from dataflow.ir.program import Product, Stage, Update
from hw.isa.bits import PassOption
from hw.isa.commands import Command, Sink
from hw.ratio import Ratio

SHORT = 4
"""A pass is not cut where what is left of it is shorter than such a part of what the array has to do beside it."""

PRODUCT_CYCLES = 50_000
"""Of a part that is a product of its own, or more: it takes some hundreds until its first operands are there."""

Due = tuple[Layer, Ratio, str]
"""What can be updated, and the name of its gradient."""


@dataclass(frozen=True)
class Piece:
    """Columns whose sums leave at once.

    Parameters
    ----------
    columns : (int, int)
        The first one of the product, and how many.
    name : str
        Of the results.
    updates : sequence of Due
        What can be updated when they have left.
    """

    columns: tuple[int, int]
    name: str
    updates: Sequence[Due]


@dataclass(frozen=True)
class Part:
    """A single product, and the pieces of its columns in their order, all of as many.

    Parameters
    ----------
    product : Product
        Single.
    drain : Drain
        What takes its sums.
    pieces : sequence of Piece
        At least one.
    cycles : float
        Of the array, or of the port that brings operands, for a piece.
    room : float
        Cycles until the output buffer is full of its sums.
    parts : bool
        Whether some pieces can be a product of their own.
    """

    product: Product
    drain: Drain
    pieces: Sequence[Piece]
    cycles: float
    room: float
    parts: bool = False

    @property
    def alone(self) -> float:
        """Cycles that the array goes on for without the vector unit."""
        return min(self.room, self.cycles * len(self.pieces))

    def split(self, cycles: float) -> "tuple[Part, Part | None]":
        """So many cycles of it, and what is left."""
        total = len(self.pieces)
        least = max(1, ceil(min(total, max(cycles, PRODUCT_CYCLES) / self.cycles)))
        for count in range(least, total if self.parts else 0):
            pieces, others = self.pieces[:count], self.pieces[count:]
            columns = sum(piece.columns[1] for piece in pieces)
            first, rest = self.product.of_columns(0, columns), self.product.of_columns(columns, self.product.n - columns)
            if first and rest:
                others = [replace(piece, columns=(piece.columns[0] - columns, piece.columns[1])) for piece in others]
                return replace(self, product=first, pieces=pieces), replace(self, product=rest, pieces=others)
        return self, None


class WeightGradients:
    """Those that wait, the one that the array has, and the updates that are due.

    Parameters
    ----------
    emitter : Emitter
        Gives their commands.
    rates : Rates
        Hyper-parameters of the updates.
    """

    def __init__(self, emitter: Emitter, rates: Rates) -> None:
        self.emitter, self.rates = emitter, rates
        self._waiting: list[Part] = []
        self._due: list[Due] = []
        self._piece = 0.0  # cycles that the array takes for a piece of what it has, as far as that is known
        self._room = 0.0  # and until the output buffer is full of it
        self._left = 0.0  # and until the vector unit is to take the next piece

    def wait(self, update: Update, products: Sequence[Product], *, has_bias: bool) -> None:
        """A layer's weight gradient can be computed from now on; `has_bias`: what is behind it updates biases, too."""
        config, memory, name = self.emitter.config, self.emitter.memory, update.layer
        tensors = memory.tensors
        dense, forward, backward = (
            tensors.get(f"{name}.{kind}{NEXT}") for kind in ("weight", "weight_forward", "weight_backward")
        )
        layer = Layer.of(tensors, f"{name}.master", tensors[f"{name}.weight_gradient"], (dense, forward, backward))
        drain = Drain(steps=0, tensor=layer.gradient.name, options=PassOption.NOTE_OVERFLOW)
        singles = [single for product in products for single in product.singles()]
        if len(singles) == 1:
            parts = [self._part(singles[0], drain, layer, update.ratio)]
        else:
            groups = [layer.part(group, len(singles)) for group in range(len(singles))] if layer.is_packed else [layer]
            behind: list[Due] = [(group, update.ratio, layer.gradient.name) for group in groups]
            parts = []
            for number, single in enumerate(singles):
                piece = Piece((0, single.n), drain.tensor, behind if number == len(singles) - 1 else [])
                parts.append(Part(single, drain, [piece], *product_cycles(config, single, begin(config, memory, single))))
        if has_bias:
            bias = Layer.of(tensors, f"{name}.bias", tensors[f"{name}.bias_gradient"])
            *others, end = parts[-1].pieces
            end = replace(end, updates=[*end.updates, (bias, update.ratio, f"{name}.bias_gradient")])
            parts[-1] = replace(parts[-1], pieces=[*others, end])
        self._waiting.extend(parts)

    @property
    def waiting_cycles(self) -> float:
        """Of the array, that it has something to do for beside passes."""
        return sum(part.alone for part in self._waiting)

    def _part(self, product: Product, drain: Drain, layer: Layer, ratio: Ratio) -> Part:
        """Of a layer with one product: pieces that are updated at once."""
        config, memory = self.emitter.config, self.emitter.memory
        begun = begin(config, memory, product)
        even = access(config, product.output, memory[drain.tensor], across=True).is_even
        size = updates.columns_at_once(config, layer, begun.tiling, product.kept) if even else product.n
        pieces = []
        for start in range(0, product.n, size):
            cut = start, min(size, product.n - start)
            name = f"{drain.tensor} {start}"
            some = layer.columns(*cut, ratio) if layer.is_packed else layer.flat_columns(*cut)
            pieces.append(Piece(cut, name, [(some, ratio, name)]))
        cycles, room = product_cycles(config, product, begun)
        return Part(product, drain, pieces, cycles / len(pieces), room, not begun.tiling.weights_held)

    def beside(self, operation: Operation, behind: str | None = None) -> Iterator[Command]:
        """An operation of the vector unit from memory to memory, in parts as long as what the array has to do beside them.

        `behind` is where results go that are stored right behind others.
        """
        commands, names = operation
        dependences = self.emitter.dependences
        yield from self.before_written({name for stream, name in names.items() if isinstance(stream, Sink)})
        count, done = parts_of(commands), 0
        each = cycles_of(self.emitter.config, commands) / count
        while done < count:
            some = count - done
            if self._waiting and (not dependences.is_open or (count == 1 and 2 * self._left < each)):
                yield from self._begin(some * each, PRODUCT_CYCLES if count > 1 else each)
            if dependences.is_open and some * each > self._left * (1 + 1 / SHORT):
                some = min(some, max(1, int(self._left / each)))
            part = commands if some == count else part_of(commands, done, some, count)
            yield from dependences.ordered(part, names, behind)
            done, self._left = done + some, self._left - some * each
            self._left = max(self._left, self._piece - self._room)
            while dependences.is_open and self._left < (each if count > 1 else 1):
                yield from dependences.take()
        yield from dependences.limited()

    def finish(self) -> Iterator[Command]:
        """All that wait, and all updates."""
        while self._waiting:
            yield from self._begin()
        yield from self.emitter.dependences.close()
        yield from self.updates()

    def updates(self) -> Iterator[Command]:
        """Those that are due."""
        due, self._due = self._due, []
        emitter = self.emitter
        for layer, ratio, gradient in due:
            with emitter.of(Origin(layer.master.name.rpartition(".")[0], Stage.WEIGHT_GRADIENT, "update")):
                for commands, names in updates.operations(emitter.config, emitter.memory, self.rates, ratio, layer, gradient):
                    self._left -= cycles_of(emitter.config, commands)
                    yield from emitter.dependences.ordered(commands, names)

    def before_written(self, written: set[str]) -> Iterator[Command]:
        """Those that read what is about to be written, and all that wait in front of them."""
        reading = [
            number
            for number, part in enumerate(self._waiting)
            if not written.isdisjoint(self.emitter.operands_of(part.product).values())
        ]
        for _ in range(reading[-1] + 1 if reading else 0):
            yield from self._begin()
            yield from self.emitter.dependences.close()

    def _begin(self, cycles: float = inf, alone: float = 0) -> Iterator[Command]:
        """The array goes on with so many cycles of what waits: of the first that needs no vector unit for as long."""
        emitter = self.emitter
        number = max(range(len(self._waiting)), key=lambda number: min(alone, self._waiting[number].alone))
        part, left = self._waiting[number].split(cycles)
        self._waiting[number : number + 1] = [left] if left else []
        begun = yield from emitter.begin(part.product)
        self._piece, self._room = part.cycles, part.room
        self._left = min(part.cycles, part.room)
        yield from self.updates()
        emitter.dependences.open(emitter.operands, self._taken(part, begun))

    def _taken(self, part: Part, begun: Begun) -> Iterator[Iterator[Command]]:
        """The pieces of a part, each time with the update of what came before."""
        for piece in part.pieces:
            yield self._piece_taken(part, begun, piece)

    def _piece_taken(self, part: Part, begun: Begun, piece: Piece) -> Iterator[Command]:
        yield from self.updates()
        some = piece.columns if len(part.pieces) > 1 else None
        yield from self.emitter.drain(part.product, begun, part.drain, piece.name, some)
        self._due += piece.updates
        self._left += self._piece
