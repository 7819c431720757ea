"""The walk over a step's operations: what is given at once, and what goes beside something else.

The last operation of each vector operation is *late*: it waits, since the next product may go in parts beside it.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from dataflow.compile import sums
from dataflow.compile.by_row import operations_of
from dataflow.compile.copies import cleared
from dataflow.compile.drains import Drain
from dataflow.compile.emitter import Emitter, Origin
from dataflow.compile.in_place import is_in_place
from dataflow.compile.pipelines import Held, PassBefore, PassesBehind, alone, pass_before, passes_behind, quickest
from dataflow.compile.placement import Placement
from dataflow.compile.products import begin, begin_batch, turned
from dataflow.compile.vectors import VectorPasses
from dataflow.compile.weight_gradients import WeightGradients
from dataflow.ir.program import Product, Stage, Update, Vector
from dataflow.tokens import MatMul
from hw.isa.commands import Command

Gradient = tuple[Update, list[Product]]
"""A layer's update, and the products of its weight gradient."""


@dataclass
class Schedule:
    """Gives the commands of a step in their order.

    Parameters
    ----------
    places : Placement
        Where tensors are.
    emitter : Emitter
        Gives commands behind what they depend on.
    gradients : WeightGradients
        Those that wait for operations of the vector unit.
    parts : bool
        Whether products and passes may go in parts beside each other.

    Attributes
    ----------
    late : list of Held
        The last operation, which what comes next may go beside.
    ahead : set of str
        Layers whose weight gradients are known of before their place in the program.
    """

    places: Placement
    emitter: Emitter
    gradients: WeightGradients
    parts: bool
    late: list[Held] = field(default_factory=list)
    ahead: set[str] = field(default_factory=set)

    def section(self, commands: Sequence[Product | Vector | Update]) -> Iterator[Command]:
        """All of these, but the weight gradients that go on waiting."""
        pending: list[Product] = []
        for place, command in enumerate(commands):
            if isinstance(command, Product):
                pending.append(command)
            elif isinstance(command, Update):
                yield from self._left()
                if command.layer not in self.ahead:
                    yield from self._gradient(command, pending)
                pending = []
            else:
                yield from self._vector(command, pending, _update_behind(commands[place + 1 :]))
                pending = [] if command.fused else pending
        yield from self._left()

    def given(self, held: Iterable[Held]) -> Iterator[Command]:
        """Operations of the vector unit, now."""
        for one in held:
            with self.emitter.of(one.origin):
                yield from self.gradients.beside(one.operation, one.behind)

    def _left(self) -> Iterator[Command]:
        """The last operation, if it has not been given yet."""
        late, self.late = self.late, []
        yield from self.given(late)

    def _vector(self, vector: Vector, pending: list[Product], behind: Gradient | None) -> Iterator[Command]:
        """Its passes, the first of them over the sums of the pending products as they leave where it is fused."""
        passes = VectorPasses.of(self.places, vector)
        if passes.is_fused:
            held = yield from self._fused(passes, pending, behind)
        else:
            yield from self._left()
            held = list(passes.operations(passes.all))  # whose parts are there already
        yield from self.given(held[:-1])
        self.late = list(held[-1:])

    def _fused(
        self, passes: VectorPasses, pending: list[Product], behind: Gradient | None
    ) -> Generator[Command, None, Sequence[Held]]:
        """The pending products; and which passes behind them are left.

        These go on while the array has the weight gradient `behind` them, if that does not need them.
        """
        drain, rest = passes.drained(pending)
        if passes.is_cleared(pending):
            yield from self._left()
            zeros = cleared(self.places.memory[drain.tensor], self.places.config.vpu_lanes)
            yield from self.given([Held(passes.origin, zeros)])
        held: Sequence[Held] = list(passes.operations(rest))
        if behind and self._is_apart(behind[1], passes.target):
            for product in pending:
                yield from self._product(product, drain)
            self.ahead.add(behind[0].layer)
            yield from self._gradient(*behind)
        elif len(pending) == 1:
            held = yield from self._product(pending[0], drain, held)
        else:
            for product in pending:
                yield from self._product(product, drain)
        return held

    def _product(self, product: Product, drain: Drain, held: Sequence[Held] = ()) -> Generator[Command, None, Sequence[Held]]:
        """A product, in parts beside what comes before it or behind; and which operations behind it are left."""
        is_batch = isinstance(self.places.layers[product.layer], MatMul)
        begins, product = (begin_batch, turned(product)) if is_batch else (begin, product)
        made = self._pipeline(product, drain, held, is_batch=is_batch)
        if isinstance(made, PassBefore):
            self.late = []
        yield from self._left()
        if isinstance(made, PassesBehind):
            yield from self.given(made.ahead)
            held = [one for one in held if one not in (*made.ahead, *made.held)]
        if made:
            yield from self.gradients.before_written(made.written)
            yield from made.commands(self.gradients.updates())
            return held
        for one in [product] if is_batch else product.singles():
            begun = yield from self.emitter.begin(one, begins)
            yield from self.gradients.updates()
            yield from self.emitter.drain(one, begun, drain)
        return held

    def _pipeline(
        self, product: Product, drain: Drain, held: Sequence[Held], *, is_batch: bool
    ) -> PassBefore | PassesBehind | None:
        """The quickest way in parts; None where weight gradients that wait have more to do, or nothing is quicker."""
        around = [*self.late, *held]
        if not (self.parts and (is_batch or product.count == 1) and around):
            return None
        if self.gradients.waiting_cycles >= max(alone(self.places.config, [one]) for one in around):
            return None
        before = pass_before(self.emitter, self.late[0], product, begin, drain) if self.late and not is_batch else None
        behind = passes_behind(self.emitter, product, begin_batch if is_batch else begin, drain, held)
        return quickest([one for one in (before, behind) if one])

    def _gradient(self, update: Update, products: list[Product]) -> Iterator[Command]:
        """A layer's weight gradient, which can be computed from now on, and its update behind that."""
        places, name = self.places, update.layer
        operations = operations_of(places.config, places.normalised[name].away() if name in places.normalised else ())
        if not is_in_place(places, name):
            has_bias = places.has_bias(name)
            self.gradients.wait(update, products, has_bias=has_bias)
            operations = sums.bias_gradient(places, name) if has_bias else iter(())
        yield from self.given(Held(Origin(name, Stage.WEIGHT_GRADIENT, "vector"), one) for one in operations)

    def _is_apart(self, gradient: Sequence[Product], target: str) -> bool:
        """Whether a layer has one product as its weight gradient, and that reads nothing of what is being made."""
        if len(gradient) != 1 or gradient[0].count != 1:
            return False
        return self.places.memory[target].name not in self.emitter.operands_of(gradient[0]).values()


def _update_behind(commands: Sequence[Product | Vector | Update]) -> Gradient | None:
    """The update that comes next, and the products of its gradient, if nothing is between."""
    products: list[Product] = []
    for command in commands:
        if isinstance(command, Update):
            return command, products
        if not isinstance(command, Product):
            break
        products.append(command)
    return None
