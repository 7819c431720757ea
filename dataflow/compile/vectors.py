"""A vector operation of the program as operations of the vector unit: what takes a product's sums, and passes behind that.

Which of them are given when is said in `dataflow.compile.schedule`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from dataflow.compile import sums
from dataflow.compile.by_channel import ChannelPass, Channels, binary32
from dataflow.compile.by_row import operations_of
from dataflow.compile.drains import Drain
from dataflow.compile.emitter import Origin
from dataflow.compile.normalisations import needed_sums, normalisation, sums_beside
from dataflow.compile.passes import Chain, Part, sums_of
from dataflow.compile.pipelines import Held
from dataflow.compile.placement import Placement
from dataflow.compile.standalone import standalone
from dataflow.compile.walks import by_rows, whole, words_of
from dataflow.ir import operations as op
from dataflow.ir.program import Product, Vector
from hw.isa.bits import PassStep
from hw.isa.commands import Command, Load, Pass, Sink, Source, Store


@dataclass(frozen=True)
class Rest:
    """What is to be done from memory to memory.

    Parameters
    ----------
    parts : sequence of (int, Part)
        Passes of a chain, with their numbers.
    source : str
        What the first of them reads.
    sums : ChannelPass, optional
        Sums that leave beside what is before them.
    """

    parts: Sequence[tuple[int, Part]]
    source: str
    sums: ChannelPass | None = None


@dataclass(frozen=True)
class VectorPasses:
    """The passes of a vector operation.

    Parameters
    ----------
    places : Placement
        Where tensors are.
    vector : Vector
        The operation.
    chain : Chain
        The same as passes.
    target : str
        What it writes, as its layer sees that.
    """

    places: Placement
    vector: Vector
    chain: Chain
    target: str

    @classmethod
    def of(cls, places: Placement, vector: Vector) -> "VectorPasses":
        """Those of a vector operation."""
        return cls(places, vector, Chain.of(places.viewed(vector)), places.operand(vector.target).tensor)

    @property
    def origin(self) -> Origin:
        """Of all commands."""
        return Origin(self.vector.layer, self.vector.stage, "vector")

    @property
    def is_fused(self) -> bool:
        """Whether the first pass takes sums as they leave the array."""
        return self.chain.source is None and self.vector.fused

    @property
    def all(self) -> Rest:
        """Every pass from memory to memory."""
        return Rest(list(enumerate(self.chain.parts)), self.chain.source or self.target)

    def is_cleared(self, products: Sequence[Product]) -> bool:
        """Whether these products leave some of their output out, which is zero."""
        return any(product.output.region in self.places.program.cleared for product in products)

    def drained(self, products: Sequence[Product]) -> tuple[Drain, Rest]:
        """What takes the sums of these products, and what comes behind that."""
        source, rest = self.chain.written(0, self.target), list(enumerate(self.chain.parts))
        _, first = rest.pop(0)
        if first.steps & PassStep.ROUND and (self.is_cleared(products) or not self._alike(first, source)):
            first, second = first.split()
            rest.insert(0, (0, second))
        gate = first.gate and self.places.operand(op.Operand(first.gate, self.vector.target.layer, 0)).tensor
        beside = sums_beside(self.places, self.chain.sums, source) if not rest and self._in_order(products, source) else None
        drain = Drain(
            steps=first.steps,
            scale=binary32(first.factor),
            tensor=source,
            bias=f"{first.bias}.bias" if first.bias else None,
            residual=first.residuals[0] if first.residuals else None,
            gate=gate,
            sums=beside,
        )
        return drain, Rest(rest, source, beside)

    def operations(self, rest: Rest) -> Iterator[Held]:
        """Passes, and the sums that are taken of what they leave."""
        source, target, beside = rest.source, self.target, rest.sums
        for number, part in rest.parts:
            written = self.chain.written(number, target)
            if part.alone:
                yield from (Held(self.origin, one) for one in standalone(self.places, part.alone, source, written))
            else:
                if number + 1 == len(self.chain.parts) and self._fills_words(part, written):
                    beside = sums_beside(self.places, self.chain.sums, written)
                yield from self._pass(part, source, written, beside)
            source = written
            if isinstance(part.alone, op.Embed):
                source = target = self.vector.target.tensor  # all of the tokens from here on
        for operation in self.chain.sums:
            left = (one for one in needed_sums(self.places, operation, source) if not _is_taken(one, beside))
            yield from (Held(self.origin, one) for one in operations_of(self.places.config, left))
        for layer in self.chain.batch_sums:
            yield from (Held(self.origin, one) for one in sums.of_samples(self.places, layer, source))
        if self.chain.pooled and self.chain.pool:
            pooled = sums.pooled(self.places, self.chain.pool, source, self.chain.pooled.tensor)
            yield from (Held(self.origin, one) for one in pooled)

    def _pass(self, part: Part, source: str, target: str, beside: ChannelPass | None = None) -> Iterator[Held]:
        """A pass from memory to memory, which may sum up what it writes."""
        if part.steps & PassStep.ROUND and not self._alike(part, target):
            first, part = part.split()
            yield from self._pass(first, source, target)
            source = target
        if part.normal:
            made = normalisation(self.places, part.normal, part, source, target)
            yield from (Held(self.origin, one) for one in operations_of(self.places.config, [made]))
            return
        residuals = part.residuals
        if len(residuals) > 1:
            others = sums_of(self.places.own(target))
            for number, name in enumerate(residuals[1:]):
                yield from self._pass(Part(PassStep.RESIDUAL, residuals=[name]), others if number else residuals[0], others)
            residuals = [others]
        yield self._elementwise(part, residuals[0] if residuals else None, source, target, beside)

    def _elementwise(self, part: Part, residual: str | None, source: str, target: str, beside: ChannelPass | None) -> Held:
        memory, lanes, scale, walk = self.places.memory, self.places.config.vpu_lanes, 0, whole
        elements = walk(memory[source], lanes)
        if part.steps & PassStep.SCALE:
            pixels, walk = prod(memory[target].shape[1:-1]), by_rows
            elements, scale = by_rows(memory[source], lanes, pixels), binary32(1 / pixels)
        written = walk(memory[target], lanes)
        streams = {Source.RESIDUAL: residual, Source.GATE: part.gate}
        others = {stream: memory[name] for stream, name in streams.items() if name}
        step = Pass(words=words_of(written), steps=part.steps | PassStep.WIDEN | PassStep.NARROW, scale=scale)
        commands: list[Command] = [
            Load(source=Source.ELEMENTS, walk=elements),
            *(Load(source=stream, walk=walk(tensor, lanes)) for stream, tensor in others.items()),
            beside.beside(step, lanes) if beside else step,
            Store(sink=Sink.RESULTS, walk=written),
            *([beside.stores(lanes)] if beside else []),
        ]
        names: dict[Source | Sink, str] = {Source.ELEMENTS: memory[source].name, Sink.RESULTS: memory[target].name}
        names |= {stream: tensor.name for stream, tensor in others.items()}
        return Held(self.origin, (commands, names), beside.results.name if beside else None)

    def _fills_words(self, part: Part, written: str) -> bool:
        return not part.normal and Channels.of(self.places.memory[written]).fills_words(self.places.config.vpu_lanes)

    def _in_order(self, products: Sequence[Product], tensor: str) -> bool:
        """Whether one product writes all of a tensor: its rows are the channels, its columns the others in their order."""
        if len(products) != 1 or products[0].count > 1 or self.is_cleared(products):
            return False
        product, channels = products[0], Channels.of(self.places.memory[tensor])
        return product.m == channels.channels and product.n == channels.rows

    def _alike(self, part: Part, target: str) -> bool:
        """Whether what a pass adds is one tensor, whose axes are those of what it writes."""
        memory = self.places.memory
        return len(part.residuals) == 1 and memory[part.residuals[0]].shape == memory[target].shape


def _is_taken(one: object, beside: ChannelPass | None) -> bool:
    """Whether a reduction has left beside what it sums up."""
    return isinstance(one, ChannelPass) and one.reduces and beside is not None and one.results == beside.results
