"""The commands of a training step, in two programs between which the host computes the loss."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from struct import pack as pack_bytes
from struct import unpack as unpack_bytes

from dataflow import operations as op
from dataflow.axes import AxisPool
from dataflow.machine import pooling, updates
from dataflow.machine.buffers import place_loads
from dataflow.machine.dependences import Dependences
from dataflow.machine.memory import Memory
from dataflow.machine.passes import NO_STEPS, Chain, Part, index_of, output_of, scaled_of, sums_of, totals_of
from dataflow.machine.products import Drain, emit
from dataflow.machine.reductions import channel_sums
from dataflow.machine.updates import Rates
from dataflow.machine.walks import Step, loops
from dataflow.network import MaxPool, Network
from dataflow.program import Product, Program, Stage, Update, Vector
from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.isa.bits import PassOption, PassStep
from hw.isa.commands import Command, Halt, Load, Pass, Sink, Source, Store, Walk


@dataclass(frozen=True)
class Assembled:
    """A training step for the accelerator.

    Parameters
    ----------
    forward, backward : tuple of Command
        The two programs; the host writes the gradient of the last layer's output between them.
    memory : Memory
        Where everything stands.
    """

    forward: tuple[Command, ...]
    backward: tuple[Command, ...]
    memory: Memory


def binary32(value: float) -> int:
    """Bits of a number that is rounded to binary32."""
    return int(unpack_bytes("<I", pack_bytes("<f", value))[0])


def assemble(network: Network, program: Program, config: AcceleratorConfig, rates: Rates) -> Assembled:
    """`program`, a training step of `network`, in commands of the accelerator.

    Weights are updated when all gradients are known: an update is skipped where any of them is not finite.

    Raises
    ------
    InputError
        Where the accelerator cannot do what the program asks, or its buffers have no room.
    """
    return _Assembler(network, program, config, rates).run()


class _Assembler:
    def __init__(self, network: Network, program: Program, config: AcceleratorConfig, rates: Rates) -> None:
        self.network, self.program, self.config, self.rates = network, program, config, rates
        self.memory = Memory(config, program.aliases)
        self.dependences = Dependences()
        self.layers = {layer.name: layer for layer in network.layers}

    def run(self) -> Assembled:
        self._check()
        self._place()
        split = next(
            (
                place
                for place, one in enumerate(self.program.commands)
                if isinstance(one, Update) or one.stage is not Stage.FORWARD
            ),
            len(self.program.commands),
        )
        forward = tuple(self._section(self.program.commands[:split]))
        self.dependences = Dependences()  # the host comes between
        rest = self.program.commands[split:]
        backward = [*self._section(rest), self.dependences.synchronised()]
        for command in rest:
            if isinstance(command, Update):
                backward += self._update(command)
        placed = [tuple(place_loads(self.config, (*part, Halt()))) for part in (forward, backward)]
        return Assembled(placed[0], placed[1], self.memory)

    def _check(self) -> None:
        """`InputError` names what cannot be told to the accelerator."""
        for command in self.program.commands:
            if isinstance(command, Update) and command.writes:
                raise InputError(
                    f"layer {command.layer!r}: the accelerator packs weights only while it updates them; {command.writes[0]} is"
                    " selected by itself, as the technique 'pregenerate' is left out"
                )

    def _place(self) -> None:
        """A place for every tensor: what products read and write in memory, and what is beside them."""
        add = self.memory.add
        gradients = {product.output.region for product in self.program.products if product.stage is Stage.WEIGHT_GRADIENT}
        for name, region in self.program.regions.items():
            if region.kind != "binary32" or name in gradients:
                add(name, region.kind, region.shape, getattr(self.layers[region.layer], "groups", 1))
        for command in self.program.commands:
            if isinstance(command, Vector):
                chain, target = Chain.of(command), command.target
                add(target.tensor, "storage", self._shape(target.layer))
                if chain.pooled and chain.pool:
                    shape = self._shape(chain.pooled.layer)
                    add(chain.pooled.tensor, "storage", shape)
                    add(totals_of(chain.pooled.tensor), "binary32", shape)
                    if chain.pool.kind == "max":
                        add(index_of(chain.pool.layer), "storage", shape)
                for part in chain.parts:
                    if isinstance(part.alone, op.PoolMax):
                        add(index_of(part.alone.layer), "storage", self._shape(target.layer))
                    if part.alone and not isinstance(part.alone, op.GlobalPoolGradient):
                        add(totals_of(target.tensor), "binary32", self._shape(target.layer))
                    if isinstance(part.alone, op.PoolMeanGradient):
                        add(scaled_of(target.tensor), "binary32", self._shape(part.alone.layer))
                for layer in chain.kept:
                    add(output_of(layer), "storage", self._shape(layer))
                if any(len(part.residuals) > 1 for part in chain.parts):
                    add(sums_of(target.tensor), "storage", self._shape(target.layer))
        for command in self.program.commands:
            if isinstance(command, Update):
                gradient = self.memory[f"{command.layer}.weight_gradient"]
                add(f"{command.layer}.master", "master", gradient.shape)
                if self._has_bias(command.layer):
                    add(f"{command.layer}.bias", "master", gradient.shape[-1:])
                    add(f"{command.layer}.bias_gradient", "binary32", gradient.shape[-1:])

    def _shape(self, layer: str) -> tuple[int, ...]:
        """Of a layer's output for the whole batch."""
        return (self.program.batch, *self.network.shapes[layer])

    def _has_bias(self, layer: str) -> bool:
        return bool(getattr(self.layers[layer], "bias", False))

    def _section(self, commands: Iterable[Product | Vector | Update]) -> Iterator[Command]:
        pending: list[Product] = []
        for command in commands:
            if isinstance(command, Product):
                pending.append(command)
            elif isinstance(command, Update):
                for product in pending:
                    yield from self._product(
                        product, Drain(steps=0, tensor=product.output.region, options=PassOption.NOTE_OVERFLOW)
                    )
                yield from self._bias_gradient(command.layer)
                pending = []
            else:
                yield from self._vector(command, pending)
                pending = [] if command.fused else pending

    def _ordered(self, commands: Iterable[Command], names: Mapping[Source | Sink, str | None]) -> Iterator[Command]:
        """Commands of operations that read and write these tensors, as far as there are, behind what they depend on."""
        places = {stream: self.memory[name].name for stream, name in names.items() if name}
        yield from self.dependences.ordered(commands, places)

    def _product(self, product: Product, drain: Drain) -> Iterator[Command]:
        names: dict[Source | Sink, str | None] = {
            Source.WEIGHTS: product.weights.region,
            Source.ACTIVATIONS: product.activations.region,
            Source.FACTORS: drain.bias,
            Source.GATE: drain.gate,
            Sink.RESULTS: drain.tensor,
        }
        yield from self._ordered(emit(self.config, self.memory, product, drain), names)

    def _vector(self, vector: Vector, pending: list[Product]) -> Iterator[Command]:
        """Its passes, the first of them over the sums of the pending products as they leave where it is fused."""
        chain, target = Chain.of(vector), vector.target.tensor
        source, rest = chain.source, list(enumerate(chain.parts))
        if source is None:
            _, first = rest.pop(0)
            source = chain.written(0, target)
            bias = f"{first.bias}.bias" if first.bias else None
            drain = Drain(steps=first.steps, tensor=source, bias=bias, gate=first.gate)
            if any(product.output.region in self.program.cleared for product in pending):
                yield from self._zeros(source)
            for product in pending:
                yield from self._product(product, drain)
        for number, part in rest:
            if part.alone:
                yield from self._alone(part.alone, source, chain.written(number, target))
            else:
                yield from self._pass(part, source, chain.written(number, target))
            source = chain.written(number, target)
        if chain.pooled and chain.pool:
            yield from self._pool(chain.pool, source, chain.pooled.tensor)

    def _channel_sums(
        self, source: str, target: str, reductions: int, options: int = 0, places: str | None = None
    ) -> Iterator[Command]:
        """See `dataflow.machine.reductions.channel_sums`."""
        tensors = self.memory[source], self.memory[target]
        names: dict[Source | Sink, str | None] = {Source.ELEMENTS: source, Sink.RESULTS: target, Sink.COPY: places}
        beside = self.memory[places] if places else None
        for commands in channel_sums(self.config, *tensors, reductions, options, beside):
            yield from self._ordered(commands, names)

    def _pool(self, pool: op.GlobalPool, source: str, target: str) -> Iterator[Command]:
        """Of all pixels of a channel: the largest, or their sum, then its share."""
        totals = totals_of(target)
        batch, *pixels, _ = self.memory[source].shape
        if pool.kind == "max":
            yield from self._channel_sums(source, totals, batch, places=index_of(pool.layer))
            yield from self._stored(totals, target)
        else:
            yield from self._channel_sums(source, totals, batch)
            yield from self._stored(totals, target, PassStep.SCALE, binary32(1 / prod(pixels)))

    def _stored(self, totals: str, target: str, steps: PassStep = NO_STEPS, scale: int = 0) -> Iterator[Command]:
        """Numbers of binary32 in the storage format, scaled before if `steps` say so."""
        count = prod(self.memory[totals].shape)
        commands = (
            Load(source=Source.ELEMENTS, walk=self._flat(totals)),
            Pass(words=-(-count // self.config.vpu_lanes), steps=steps | PassStep.NARROW, scale=scale),
            Store(sink=Sink.RESULTS, walk=self._flat(target)),
        )
        yield from self._ordered(commands, {Source.ELEMENTS: totals, Sink.RESULTS: target})

    def _alone(self, operation: op.Operation, source: str, target: str) -> Iterator[Command]:
        """An operation that is passes of its own."""
        layer, memory = self.layers[operation.layer], self.memory
        if not isinstance(layer, MaxPool | AxisPool):
            index = memory[index_of(operation.layer)]
            yield from self._operations([pooling.gradient_of_global(self.config, memory[source], index, memory[target])])
            return
        inputs, outputs = self.network.input_shapes(layer)[0], self.network.shapes[layer.name]
        axes = pooling.axes_of(layer, inputs[:-1], outputs[:-1])
        forward = isinstance(operation, op.PoolMax | op.PoolMean)
        read = replace(memory[source], shape=(self.program.batch, *(inputs if forward else outputs)))
        places = memory[index_of(layer.name)] if isinstance(operation, op.PoolMax | op.PoolMaxGradient) else None
        shares = [] if places else [(rows, columns, binary32(1 / n)) for rows, columns, n in pooling.shares(layer, axes)]
        totals = memory[totals_of(target)]
        if forward:
            yield from self._operations(pooling.over_windows(self.config, axes, read, totals, places))
            if places:
                yield from self._stored(totals_of(target), target)
            for rows, columns, share in shares:
                yield from self._operations(pooling.scaled(self.config, totals, memory[target], rows, columns, share))
            return
        gradient = pooling.Gradient(read, places, shares[0][-1] if len(shares) == 1 else None)
        if len(shares) > 1:
            gradient = pooling.Gradient(memory[scaled_of(target)])
            for rows, columns, share in shares:
                yield from self._operations(pooling.scaled(self.config, read, gradient.tensor, rows, columns, share))
        yield from self._operations(pooling.gradient_of_windows(self.config, axes, gradient, totals, memory[target]))

    def _operations(self, operations: Iterable[pooling.Operation]) -> Iterator[Command]:
        for commands, names in operations:
            yield from self.dependences.ordered(commands, names)

    def _bias_gradient(self, layer: str) -> Iterator[Command]:
        if self._has_bias(layer):
            yield from self._channel_sums(f"{layer}.output_gradient", f"{layer}.bias_gradient", 1, PassOption.NOTE_OVERFLOW)

    def _flat(self, name: str) -> Walk:
        """All elements of a tensor."""
        tensor = self.memory[name]
        count = tensor.size_bytes // tensor.element_bytes
        return Walk(
            base=tensor.offset,
            size_log2=tensor.element_bytes.bit_length() - 1,
            boundary=self.config.vpu_lanes,
            u_size=count,
            u_tile=count,
            u=loops([Step(count, 0)], run=True),
        )

    def _zeros(self, name: str) -> Iterator[Command]:
        """Clear a tensor: what is read of it is all outside."""
        walk = self._flat(name)
        commands = (
            Load(source=Source.ELEMENTS, walk=replace(walk, run_limit=0)),
            Pass(words=-(-walk.u_size // self.config.vpu_lanes)),
            Store(sink=Sink.RESULTS, walk=walk),
        )
        yield from self._ordered(commands, {Source.ELEMENTS: name, Sink.RESULTS: name})

    def _pass(self, part: Part, source: str, target: str) -> Iterator[Command]:
        """A pass from memory to memory."""
        residuals = part.residuals
        if len(residuals) > 1:
            others = sums_of(target)
            for number, name in enumerate(residuals[1:]):
                yield from self._pass(Part(PassStep.RESIDUAL, residuals=[name]), others if number else residuals[0], others)
            residuals = [others]
        residual = residuals[0] if residuals else None
        flat, scale = self._flat(target), 0
        elements = self._flat(source)
        if part.steps & PassStep.SCALE:
            elements, scale = self._spread(source, target), binary32(1 / self._pixels(target))
        steps = part.steps | PassStep.WIDEN | PassStep.NARROW
        beside = ((Source.RESIDUAL, residual), (Source.GATE, part.gate))
        commands: list[Command] = [
            Load(source=Source.ELEMENTS, walk=elements),
            *(Load(source=stream, walk=self._flat(name)) for stream, name in beside if name),
            Pass(words=-(-flat.u_size // self.config.vpu_lanes), steps=steps, scale=scale),
            Store(sink=Sink.RESULTS, walk=flat),
        ]
        names: dict[Source | Sink, str | None] = {Source.ELEMENTS: source, Sink.RESULTS: target, **dict(beside)}
        yield from self._ordered(commands, names)

    def _pixels(self, name: str) -> int:
        return prod(self.memory[name].shape[1:-1])

    def _spread(self, source: str, target: str) -> Walk:
        """A number of each channel, once for every pixel of the target."""
        batch, *_, channels = self.memory[target].shape
        tensor = self.memory[source]
        steps = [Step(channels, 0), Step(self._pixels(target), 0), Step(batch, channels * tensor.element_bytes)]
        return replace(self._flat(target), base=tensor.offset, u=loops(steps, run=True))

    def _update(self, update: Update) -> Iterator[Command]:
        name, tensors = update.layer, self.memory.tensors
        master, gradient = tensors[f"{name}.master"], tensors[f"{name}.weight_gradient"]
        dense, *packed = (tensors.get(f"{name}.{kind}") for kind in ("weight", "weight_forward", "weight_backward"))
        if any(packed):
            groups = getattr(self.layers[name], "groups", 1)
            for group in range(groups):  # of channels, each with copies of its own
                copies = [tensor and tensor.part(group, groups) for tensor in (dense, *packed)]
                pair = master.part(group, groups), gradient.part(group, groups)
                yield from updates.emit_packed(self.config, self.rates, update.ratio, pair, (copies[0], copies[1], copies[2]))
        else:
            yield from updates.emit_flat(self.config, self.rates, master, gradient, dense)
        if self._has_bias(name):
            bias = tensors[f"{name}.bias"], tensors[f"{name}.bias_gradient"]
            yield from updates.emit_flat(self.config, self.rates, *bias, None)
