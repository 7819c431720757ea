"""Commands in their order, each behind what it depends on, and of which work of a step they are."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from dataflow.compile.dependences import Dependences, Names
from dataflow.compile.drains import Drain, emit_drain
from dataflow.compile.memory import Memory
from dataflow.compile.products import Begun, begin
from dataflow.ir.program import Product, Stage
from hw.config import AcceleratorConfig
from hw.isa.commands import Command, Sink, Source


class Origin(NamedTuple):
    """What of a step some commands are: a ``product`` of a layer, ``vector`` work, or an ``update``."""

    layer: str
    stage: Stage
    kind: str


class Emitter:
    """Gives commands of products and of what takes their sums.

    Parameters
    ----------
    config : AcceleratorConfig
        The accelerator.
    memory : Memory
        Where everything stands.

    Attributes
    ----------
    dependences : Dependences
        What commands have to wait for.
    origin : Origin
        Whose commands are being made.
    """

    def __init__(self, config: AcceleratorConfig, memory: Memory) -> None:
        self.config, self.memory = config, memory
        self.dependences = Dependences()
        self.origin = Origin("", Stage.FORWARD, "vector")
        self.operands: Iterable[str] = ()  # of the last product, by their places in memory

    @contextmanager
    def of(self, origin: Origin) -> Iterator[None]:
        """Commands within are of this origin."""
        around, self.origin = self.origin, origin
        yield
        self.origin = around

    def operands_of(self, product: Product) -> Names:
        """What it reads, by its places in memory."""
        operands = {Source.WEIGHTS: product.weights.region, Source.ACTIVATIONS: product.activations.region}
        return {source: self.memory[region].name for source, region in operands.items()}

    def names_of(self, drain: Drain) -> Names:
        """What a drain reads and writes, by its places in memory."""
        streams: dict[Source | Sink, str | None] = {
            Source.FACTORS: drain.bias,
            Source.RESIDUAL: drain.residual,
            Source.GATE: drain.gate,
            Sink.RESULTS: drain.tensor,
        }
        return {stream: self.memory[tensor].name for stream, tensor in streams.items() if tensor}

    def begin(
        self, product: Product, begins: Callable[..., Begun] = begin, part: int | None = None
    ) -> Generator[Command, None, Begun]:
        """A product without its drain: what stands between them the vector unit does while the array computes.

        `part` is which part of its operands it reads, where they come in parts.
        """
        yield from self.dependences.close()
        begun = begins(self.config, self.memory, product)
        names = self.operands_of(product)
        self.operands = names.values()
        yield from self.dependences.ordered(begun.commands, names, part=part)
        return begun

    def drain(
        self,
        product: Product,
        begun: Begun,
        drain: Drain,
        name: str | None = None,
        some: tuple[int, int] | None = None,
        part: int | None = None,
    ) -> Iterator[Command]:
        """What takes its sums, or those of `some` columns; `name` is that of its results, if not of all that they are in.

        `part` is which part of the results that is, where others wait for parts.
        """
        names = self.names_of(drain)
        if name:
            names[Sink.RESULTS] = name
        behind = drain.sums.results.name if drain.sums and not drain.goes_on else None
        with self.of(Origin(product.layer, product.stage, "product")):
            yield from self.dependences.ordered(emit_drain(self.config, self.memory, begun, drain, some), names, behind, part)
            self.dependences.read(self.operands)  # which the array has read when all sums have left
            if not some:
                yield from self.dependences.limited()
