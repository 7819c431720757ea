"""A product and what the vector unit does around it in parts, so that the array and the vector unit both have something to do.

::

    array           │ columns 0 … │ columns 1 …        │ columns 2 …        │
    vector unit                   │ sums 0 │ passes 0 │ sums 1 │ passes 1 │ sums 2 │ passes 2      passes behind a product

    array                    │ columns 0 …       │ columns 1 …        │ columns 2 …
    vector unit     │ pass 0 │ pass 1 │ sums 0 … │ pass 2 │ sums 1 …  │ sums 2 …                  a pass before a product

Sums wait in the output buffer while the vector unit has passes. Parts are only made where all that is done in another order
touches other bytes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import NamedTuple, TypeVar

from dataflow.compile.dependences import Names, Operation
from dataflow.compile.drains import Drain, emit_drain
from dataflow.compile.emitter import Emitter, Origin
from dataflow.compile.parts import cycles_of, part_of, parts_of, span
from dataflow.compile.products import Begun, product_cycles
from dataflow.compile.walks import some_columns
from dataflow.ir.program import Product
from hw.config import AcceleratorConfig
from hw.isa.commands import Command, Load, Pass, Sink, Source, Store
from hw.isa.reductions import PARTIAL_SUMS

PARTS = range(2, 17)
"""Into how many a product and what is around it may be cut: the number of commands does not grow with the batch."""

PRODUCT_CYCLES = 100
"""About what a product of its own takes more than as a part of one."""


class Held(NamedTuple):
    """An operation of the vector unit that waits to be given."""

    origin: Origin
    operation: Operation
    behind: str | None = None

    @property
    def written(self) -> str:
        """Where its results go."""
        return self.operation[1][Sink.RESULTS]

    def part(self, part: int, parts: int) -> list[Command]:
        """One of so many equal parts."""
        commands, _ = self.operation
        of = parts_of(commands)
        return part_of(commands, part * of // parts, of // parts, of)


class Access(NamedTuple):
    """Bytes that a part of an operation reads or writes."""

    place: str
    written: bool
    first: int
    end: int


Accesses = list[list[Access]]
"""Of an operation: of each of its parts."""


@dataclass(frozen=True)
class PassesBehind:
    """A product that takes its sums in parts, each followed by its part of some operations.

    Parameters
    ----------
    emitter : Emitter
        Gives commands.
    product : Product
        What the array computes.
    begun : Begun
        The same as commands.
    drain : Drain
        What takes its sums.
    ahead, held : sequence of Held
        Operations that need not be behind it; and those that are, in their order.
    parts : int
        Equal ones.
    """

    emitter: Emitter
    product: Product
    begun: Begun
    drain: Drain
    ahead: Sequence[Held]
    held: Sequence[Held]
    parts: int

    @property
    def written(self) -> set[str]:
        """Places of all results."""
        return {self.emitter.names_of(self.drain)[Sink.RESULTS], *(one.written for one in self.held)}

    def is_possible(self) -> bool:
        """Whether columns and operations can be cut so, and no part touches what an earlier one would have changed."""
        if self._columns % (self.parts * self._tile) or any(parts_of(one.operation[0]) % self.parts for one in self.held):
            return False
        view, tensor = self.begun.output, self.emitter.memory[self.drain.tensor]
        if any(some_columns(self.emitter.config, view, tensor, self._some(part)) is None for part in range(self.parts)):
            return False
        is_read = not self.written.isdisjoint(self.emitter.operands_of(self.product).values())
        return not is_read and _is_safe(self._accesses)

    @cached_property
    def saved(self) -> float:
        """Cycles that it is quicker than one after the other, estimated."""
        config = self.emitter.config
        total, room = product_cycles(config, self.product, self.begun)
        sums = sum(command.words for command in self._drained(0) if isinstance(command, Pass))
        passes = sum(cycles_of(config, one.part(0, self.parts)) for one in self.held)
        array, each, vector = 0.0, total / self.parts, 0.0
        for _ in range(self.parts):
            array = max(array + each, vector + max(0.0, each - room))
            vector = max(array, vector + sums) + passes
        return total + alone(config, self.held) - vector

    def commands(self, beside: Iterator[Command]) -> Iterator[Command]:
        """All but those of `ahead`; and what is `beside` the first part on the array."""
        emitter = self.emitter
        emitter.dependences.part(self.written, self.parts)
        yield from emitter.begin(self.product, lambda *_: self.begun)
        yield from beside
        emitter.dependences.open(emitter.operands, map(self._taken, range(self.parts)))
        yield from emitter.dependences.close()

    def _taken(self, part: int) -> Iterator[Command]:
        yield from self.emitter.drain(self.product, self.begun, self.drain, some=self._some(part), part=part)
        for one in self.held:
            yield from _given(self.emitter, one, part, self.parts)

    @property
    def _columns(self) -> int:
        return self.begun.output.shape[1]

    @property
    def _tile(self) -> int:
        """Columns that are not cut: of a tile, or of a whole product where there are several."""
        tiling = self.begun.tiling
        return tiling.columns * tiling.tiles_n // self.product.count if self.product.count > 1 else tiling.columns

    def _some(self, part: int) -> tuple[int, int]:
        size = self._columns // self.parts
        return part * size, size

    def _drained(self, part: int) -> list[Command]:
        return list(emit_drain(self.emitter.config, self.emitter.memory, self.begun, self.drain, self._some(part)))

    @cached_property
    def _accesses(self) -> list[Accesses]:
        names = self.emitter.names_of(self.drain)
        drained = [_touched(self._drained(part), names) for part in range(self.parts)]
        return [drained, *(_of_operation(one, self.parts) for one in self.held)]


@dataclass(frozen=True)
class PassBefore:
    """An operation, and products of some columns that each begin as soon as their part of it is there.

    Parameters
    ----------
    emitter : Emitter
        Gives commands.
    held : Held
        The operation.
    products : sequence of Product
        Of equal parts of the columns.
    begun : sequence of Begun
        Each as commands.
    drain : Drain
        What takes their sums.
    whole : float
        Cycles of the product if it is not cut, estimated.
    """

    emitter: Emitter
    held: Held
    products: Sequence[Product]
    begun: Sequence[Begun]
    drain: Drain
    whole: float

    @property
    def written(self) -> set[str]:
        """Places of all results."""
        return {self.emitter.names_of(self.drain)[Sink.RESULTS], self.held.written}

    def is_possible(self) -> bool:
        """Whether no part touches what an earlier one would have changed."""
        emitter, names = self.emitter, self.emitter.names_of(self.drain)
        read = [
            _touched(begun.commands, emitter.operands_of(product))
            for product, begun in zip(self.products, self.begun, strict=True)
        ]
        drain = replace(self.drain, sums=None)
        drained = [_touched(list(emit_drain(emitter.config, emitter.memory, begun, drain)), names) for begun in self.begun]
        return _is_safe([_of_operation(self.held, len(self.products)), read, drained])

    @cached_property
    def saved(self) -> float:
        """Cycles that it is quicker than one after the other, estimated."""
        config, parts = self.emitter.config, len(self.products)
        passed = cycles_of(config, self.held.part(0, parts))
        there, array, vector = float(passed), 0.0, float(passed)
        for part, (product, begun) in enumerate(zip(self.products, self.begun, strict=True)):
            each, room = product_cycles(config, product, begun)
            array, start = max(array, there) + each + PRODUCT_CYCLES, vector
            there = start + passed if part + 1 < parts else start
            vector = array = max(array, there + max(0.0, each - room))
        return self.whole + alone(config, [self.held]) - vector

    def commands(self, beside: Iterator[Command]) -> Iterator[Command]:
        """All, the operation's among them; and what is `beside` the first part on the array."""
        emitter, parts = self.emitter, len(self.products)
        emitter.dependences.part(self.written, parts)
        yield from _given(emitter, self.held, 0, parts)
        for part, (product, begun) in enumerate(zip(self.products, self.begun, strict=True)):
            yield from emitter.begin(product, lambda *_, begun=begun: begun, part)
            yield from beside
            if part + 1 < parts:
                yield from _given(emitter, self.held, part + 1, parts)
            drain = replace(self.drain, goes_on=part + 1 < parts)
            yield from emitter.drain(product, begun, drain, part=part)


Pipeline = TypeVar("Pipeline", bound=PassesBehind | PassBefore)


def passes_behind(
    emitter: Emitter, product: Product, begins: Callable[..., Begun], drain: Drain, held: Sequence[Held]
) -> PassesBehind | None:
    """The quickest way to give a product and operations behind it in parts; None where one after the other is quicker."""
    config, names = emitter.config, [name for one in held for name in one.operation[1].values()]
    if drain.sums or not held or emitter.dependences.waits_for_all(names):
        return None
    begun = begins(config, emitter.memory, product)
    ahead, held = _ahead(emitter.names_of(drain), held)
    found: list[PassesBehind] = []
    for parts in PARTS:
        count = next((place for place, one in enumerate(held) if one.behind or parts_of(one.operation[0]) % parts), len(held))
        for some in range(count, 0, -1):
            made = PassesBehind(emitter, product, begun, drain, ahead, held[:some], parts)
            if made.is_possible():
                found.append(made)
                break
    return quickest(found)


def pass_before(
    emitter: Emitter, held: Held, product: Product, begins: Callable[..., Begun], drain: Drain
) -> PassBefore | None:
    """The quickest way to give an operation and a product that reads its results in parts, likewise."""
    config, operands = emitter.config, emitter.operands_of(product)
    names = [*held.operation[1].values(), *operands.values()]
    if held.behind or emitter.dependences.waits_for_all(names):
        return None
    if operands[Source.ACTIVATIONS] != held.written:
        return None
    whole = begins(config, emitter.memory, product)
    cycles, _ = product_cycles(config, product, whole)
    found: list[PassBefore] = []
    of = parts_of(held.operation[0])
    for parts in (parts for parts in PARTS if of % parts == 0 and product.n % parts == 0):
        size = product.n // parts
        if drain.sums and size % PARTIAL_SUMS:
            continue
        products = [one for part in range(parts) if (one := product.of_columns(part * size, size))]
        if len(products) < parts:
            continue
        begun = [begins(config, emitter.memory, one) for one in products]
        if all(one.cuts == whole.cuts for one in begun):  # else pixels would be read for each of their windows
            found.append(PassBefore(emitter, held, products, begun, drain, cycles))
    return quickest([made for made in found if made.is_possible()])


def quickest(pipelines: Sequence[Pipeline]) -> Pipeline | None:
    """That which saves most; None where none saves anything."""
    return max((made for made in pipelines if made.saved > 0), key=lambda made: made.saved, default=None)


def alone(config: AcceleratorConfig, held: Sequence[Held]) -> float:
    """Cycles of operations one after the other, estimated."""
    return sum(cycles_of(config, one.operation[0]) for one in held)


def _given(emitter: Emitter, one: Held, part: int, parts: int) -> Iterator[Command]:
    """A part of an operation, behind what it depends on."""
    with emitter.of(one.origin):
        yield from emitter.dependences.ordered(one.part(part, parts), one.operation[1], part=part)


def _ahead(drained: Names, held: Sequence[Held]) -> tuple[list[Held], list[Held]]:
    """Operations that touch nothing of what a drain and those before them touch; and the others."""
    found: tuple[list[Held], list[Held]] = ([], [])
    read, written = _sides(drained)
    for one in held:
        reads, writes = _sides(one.operation[1])
        touches = not (written.isdisjoint(reads | writes) and read.isdisjoint(writes))
        found[touches].append(one)
        if touches:
            read, written = read | reads, written | writes
    return found


def _sides(names: Names) -> tuple[set[str], set[str]]:
    """What is read, and what is written."""
    return (
        {name for stream, name in names.items() if isinstance(stream, Source)},
        {name for stream, name in names.items() if isinstance(stream, Sink)},
    )


def _of_operation(one: Held, parts: int) -> Accesses:
    return [_touched(one.part(part, parts), one.operation[1]) for part in range(parts)]


def _touched(commands: Sequence[Command], names: Names) -> list[Access]:
    """What commands read and write, by place."""
    found = []
    for command in commands:
        if isinstance(command, Load | Store):
            stream: Source | Sink = command.source if isinstance(command, Load) else command.sink
            found.append(Access(names[stream], isinstance(command, Store), *span(command.walk)))
    return found


def _is_safe(operations: Sequence[Accesses]) -> bool:
    """Whether parts can come before later parts of the operations in front of them."""
    return not any(
        _conflict(one, other)
        for before, behind in combinations(operations, 2)
        for part, late in enumerate(before)
        for early in behind[:part]
        for one in late
        for other in early
    )


def _conflict(one: Access, other: Access) -> bool:
    """Whether it matters which of both comes first."""
    together = one.first < other.end and other.first < one.end
    return one.place == other.place and (one.written or other.written) and together
