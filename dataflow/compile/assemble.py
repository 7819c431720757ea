"""The commands of a training step, in two programs between which the host computes the loss."""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from dataflow.axes import AxisPool
from dataflow.compile import pooling, tokens, updates
from dataflow.compile.buffers import place_loads
from dataflow.compile.by_channel import ChannelPass, Channels, binary32
from dataflow.compile.by_row import RowReduction
from dataflow.compile.dependences import Dependences, Names, Operation
from dataflow.compile.drains import Drain
from dataflow.compile.emitter import Emitter, Origin
from dataflow.compile.loss import LossPasses
from dataflow.compile.memory import Memory, Tensor
from dataflow.compile.passes import NO_STEPS, TOKENS, Chain, Part, index_of, scaled_of, sums_of, totals_of
from dataflow.compile.pipelines import Held, PassBefore, PassesBehind, alone, pass_before, passes_behind, quickest
from dataflow.compile.placement import Placement
from dataflow.compile.products import begin, begin_batch, turned
from dataflow.compile.updates import Layer, Rates
from dataflow.compile.walks import by_rows, whole, words_of
from dataflow.compile.weight_gradients import WeightGradients
from dataflow.ir import operations as op
from dataflow.ir.program import Product, Program, Stage, Update, Vector
from dataflow.network import MaxPool, Network
from dataflow.tokens import Embed, MatMul
from hw.config import ADAMW, AcceleratorConfig
from hw.errors import InputError
from hw.isa.bits import PassOption, PassStep
from hw.isa.checks import check_sat
from hw.isa.commands import Command, Halt, Load, Pass, Sink, Source, Store, Sync, Walk
from hw.ratio import DENSE

NO_OPTIONS = PassOption(0)


@dataclass(frozen=True)
class Assembled:
    """A training step for the accelerator.

    Parameters
    ----------
    forward, backward : tuple of Command
        The two programs; the host writes the gradient of the last layer's output between them.
    memory : Memory
        Where everything stands.
    origins : tuple of tuple of Origin
        Of each program, whose results each ``STORE.RESULTS`` writes.
    """

    forward: tuple[Command, ...]
    backward: tuple[Command, ...]
    memory: Memory
    origins: tuple[tuple[Origin, ...], tuple[Origin, ...]]

    @property
    def step(self) -> tuple[Command, ...]:
        """Both as one program, for a step whose gradient the accelerator computes itself."""
        return (*self.forward[:-1], Sync(), *self.backward)


def assemble(
    network: Network,
    program: Program,
    config: AcceleratorConfig,
    rates: Rates,
    *,
    loss: bool = False,
    exchanged: bool = False,
    parts: bool = True,
) -> Assembled:
    """`program`, a training step of `network`, in commands of the accelerator.

    Weights have two places. They are read in one and, updated, written in the other; the host goes on with the programs whose
    places are `exchanged`, unless a gradient was not finite. What normalisations and embeddings train is updated in its place
    when all gradients are known, or skipped. With `loss` the forward program ends with the gradient of softmax cross-entropy,
    see `dataflow.compile.loss`. Without `parts` each product is taken, and each pass given, at once, see
    `dataflow.compile.pipelines`.

    Raises
    ------
    InputError
        Where the accelerator cannot be built, cannot do what the program asks, or its buffers have no room.
    """
    check_sat(config)
    return _Assembler(network, program, config, rates, exchanged=exchanged, parts=parts).run(loss=loss)


class _Assembler:
    def __init__(
        self, network: Network, program: Program, config: AcceleratorConfig, rates: Rates, *, exchanged: bool, parts: bool
    ) -> None:
        self.network, self.program, self.config, self.rates, self.parts = network, program, config, rates, parts
        self.places = places = Placement(network, program, config, exchanged=exchanged, moments=rates.is_adamw)
        self.memory, self.layouts, self.layers = places.memory, places.layouts, places.layers
        self.made, self.normalised = places.made, places.normalised
        self.emitter = Emitter(config, self.memory)
        self.gradients = WeightGradients(self.emitter, rates)
        self.held: list[Held] | None = None  # operations that are not given yet, while they are collected
        self.late: list[Held] = []  # the last operation, which what comes next may go beside
        self.ahead: set[str] = set()  # layers whose weight gradients are known of before their place in the program
        self.summed: list[Channels] = []  # where sums are already, which what they sum up was written beside

    def run(self, *, loss: bool) -> Assembled:
        if self.rates.is_adamw and not self.config.adamw:
            raise InputError(
                f"{self.config.name} has no AdamW; a preset with {ADAMW} behind its name has, or a file with adamw = true"
            )
        self.places.place()
        split = next(
            (
                place
                for place, one in enumerate(self.program.commands)
                if isinstance(one, Update) or one.stage is not Stage.FORWARD
            ),
            len(self.program.commands),
        )
        forward, forward_operations = self._traced(self._forward(self.program.commands[:split], loss=loss))
        self.emitter.dependences = Dependences()  # the host comes between
        backward, backward_operations = self._traced(self._backward(self.program.commands[split:]))
        placed = [tuple(place_loads(self.config, (*part, Halt()))) for part in (forward, backward)]
        return Assembled(placed[0], placed[1], self.memory, (forward_operations, backward_operations))

    def _forward(self, commands: Sequence[Product | Vector | Update], *, loss: bool) -> Iterator[Command]:
        yield from self._section(commands)
        if loss:
            last = self.network.layers[-1].name
            passes = LossPasses(self.memory, f"{last}.output", f"{last}.output_gradient", self.config.vpu_lanes)
            passes.place()
            self.emitter.origin = Origin(last, Stage.FORWARD, "vector")
            yield from self._by_channel(passes.passes())

    def _backward(self, commands: Sequence[Product | Vector | Update]) -> Iterator[Command]:
        yield from self._section(commands)
        yield from self.gradients.finish()
        last = [one.layer for one in commands if isinstance(one, Update) and self._in_place(one.layer)]
        if last:
            yield from self.emitter.dependences.synchronised()
            yield from self._updates_in_place(last)

    def _traced(self, commands: Iterator[Command]) -> tuple[list[Command], tuple[Origin, ...]]:
        """Commands, and the origin of each of their ``STORE.RESULTS``."""
        made, origins = [], []
        for command in commands:
            made.append(command)
            if isinstance(command, Store) and command.sink is Sink.RESULTS:
                origins.append(self.emitter.origin)
        return made, tuple(origins)

    def _section(self, commands: Sequence[Product | Vector | Update]) -> Iterator[Command]:
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
                self.emitter.origin = Origin(command.layer, command.stage, "vector")
                yield from self._vector(command, pending, _update_behind(commands[place + 1 :]))
                pending = [] if command.fused else pending
        yield from self._left()

    def _ordered(
        self, commands: Iterable[Command], names: Mapping[Source | Sink, str | None], behind: str | None = None
    ) -> Iterator[Command]:
        """Commands of operations that read and write these tensors, as far as there are, behind what they depend on."""
        places = {stream: self.memory[name].name for stream, name in names.items() if name}
        yield from self._operation((list(commands), places), behind)

    def _operation(self, operation: Operation, behind: str | None = None) -> Iterator[Command]:
        """An operation of the vector unit, now or, where operations are collected, later."""
        if self.held is None:
            yield from self.gradients.beside(operation, behind)
        else:
            self.held.append(Held(self.emitter.origin, operation, behind))

    def _collected(self, operations: Iterator[Command]) -> list[Held]:
        """Operations that are to be given later."""
        self.held = []
        assert not list(operations)
        held, self.held = self.held, None
        return held

    def _left(self) -> Iterator[Command]:
        """The last operation, if it has not been given yet."""
        late, self.late = self.late, []
        yield from self._given(late)

    def _given(self, held: Iterable[Held]) -> Iterator[Command]:
        """Operations that were collected."""
        for one in held:
            with self.emitter.of(one.origin):
                yield from self.gradients.beside(one.operation, one.behind)

    def _product(self, product: Product, drain: Drain, held: Sequence[Held] = ()) -> Generator[Command, None, Sequence[Held]]:
        """A product, in parts beside what comes before it or behind; and which operations behind it are left."""
        is_batch = isinstance(self.layers[product.layer], MatMul)
        begins = begin_batch if is_batch else begin
        product = turned(product) if is_batch else product
        single, config = self.parts and (is_batch or product.count == 1), self.config
        around = [*self.late, *held]
        made: PassBefore | PassesBehind | None = None
        if single and around and self.gradients.waiting_cycles < max(alone(config, [one]) for one in around):
            before = pass_before(self.emitter, self.late[0], product, begins, drain) if self.late and not is_batch else None
            behind = passes_behind(self.emitter, product, begins, drain, held)
            made = quickest([one for one in (before, behind) if one])
        if isinstance(made, PassBefore):
            self.late = []
        yield from self._left()
        if isinstance(made, PassesBehind):
            yield from self._given(made.ahead)
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

    def _vector(self, vector: Vector, pending: list[Product], behind: tuple[Update, list[Product]] | None) -> Iterator[Command]:
        """Its passes, the first of them over the sums of the pending products as they leave where it is fused.

        The others go on while the array has the weight gradient `behind` it, if that does not need them.
        """
        chain, target = Chain.of(self.places.viewed(vector)), self.places.operand(vector.target).tensor
        source, rest = chain.source, list(enumerate(chain.parts))
        if source is None and vector.fused:
            _, first = rest.pop(0)
            source = chain.written(0, target)
            cleared = any(product.output.region in self.program.cleared for product in pending)
            if first.steps & PassStep.ROUND and (cleared or not self._alike(first, source)):
                first, second = first.split()
                rest.insert(0, (0, second))
            bias = f"{first.bias}.bias" if first.bias else None
            gate = first.gate and self.places.operand(op.Operand(first.gate, vector.target.layer, 0)).tensor
            sums = self._beside(chain, source) if not rest and self._in_order(pending, source) else None
            scale = binary32(first.factor)
            residual = first.residuals[0] if first.residuals else None
            drain = Drain(steps=first.steps, scale=scale, tensor=source, bias=bias, residual=residual, gate=gate, sums=sums)
            if cleared:
                yield from self._left()
                yield from self._zeros(source)
            apart = behind and self._is_apart(behind[1], target)
            held: Sequence[Held] = [] if apart else self._collected(self._passes(vector, chain, rest, source))
            if len(pending) == 1:
                held = yield from self._product(pending[0], drain, held)
            else:
                for product in pending:
                    yield from self._product(product, drain)
            if behind and apart:
                self.ahead.add(behind[0].layer)
                yield from self._gradient(*behind)
                held = self._collected(self._passes(vector, chain, rest, source))
        else:
            yield from self._left()
            held = self._collected(self._passes(vector, chain, rest, source or target))  # whose parts are there already
        yield from self._given(held[:-1])
        self.late = list(held[-1:])

    def _passes(self, vector: Vector, chain: Chain, rest: Iterable[tuple[int, Part]], source: str) -> Iterator[Command]:
        """Passes from memory to memory from `source` on, and the sums that are taken of what they leave."""
        target = self.places.operand(vector.target).tensor
        for number, part in rest:
            if part.alone:
                yield from self._alone(part.alone, source, chain.written(number, target))
            else:
                written, last = chain.written(number, target), number + 1 == len(chain.parts)
                fits = last and not part.normal and self._channels(written).fills_words(self.config.vpu_lanes)
                yield from self._pass(part, source, written, self._beside(chain, written) if fits else None)
            source = chain.written(number, target)
            if isinstance(part.alone, op.Embed):
                source = target = vector.target.tensor  # all of the tokens from here on
        for operation in chain.sums:
            yield from self._by_channel(self._sums(operation, source))
        for layer in chain.batch_sums:
            yield from self._batch_sums(layer, source)
        if chain.pooled and chain.pool:
            yield from self._pool(chain.pool, source, chain.pooled.tensor)

    def _sums(self, operation: op.Operation, source: str) -> Iterator[ChannelPass | RowReduction]:
        """What a normalisation, or its gradient, needs to know of a whole tensor."""
        normalised = self.normalised[operation.layer]
        if isinstance(operation, op.GradientSums | op.SoftmaxGradient):
            channels = self._channels(normalised.value).channels
            yield from normalised.gradient_sums(self._channels(source).in_rows_of(channels))
        else:
            yield from normalised.statistics()

    def _by_channel(self, passes: Iterable[ChannelPass | RowReduction]) -> Iterator[Command]:
        """Passes, each behind what it depends on."""
        for one in passes:
            if isinstance(one, ChannelPass) and one.reduces and one.results in self.summed:
                self.summed.remove(one.results)
                continue
            yield from self._operations((commands, one.tensors) for commands in one.operations(self.config))

    def _channel_sums(
        self, source: str, target: str, options: PassOption = NO_OPTIONS, places: str | None = None
    ) -> Iterator[Command]:
        """Sums of each channel of a tensor over its other axes, of all rows or of each image; or maxima with their places."""
        of, steps = self._channels, PassStep.WIDEN
        options |= PassOption.LARGEST | PassOption.PLACES if places else NO_OPTIONS
        yield from self._by_channel(
            [
                ChannelPass(
                    steps=steps, elements=of(source), results=of(target), reduces=True, options=options,
                    places=of(places) if places else None,
                )
            ]
        )  # fmt: skip

    def _channels(self, name: str) -> Channels:
        return Channels.of(self.memory[name])

    def _pool(self, pool: op.GlobalPool, source: str, target: str) -> Iterator[Command]:
        """Of all pixels of a channel: the largest, or their sum, then its share."""
        totals = totals_of(self.places.own(target))
        _, *pixels, _ = self.memory[source].shape
        if pool.kind == "max":
            yield from self._channel_sums(source, totals, PassOption.IN_TURN, places=index_of(pool.layer))
            yield from self._stored(totals, target)
        else:
            yield from self._channel_sums(source, totals, PassOption.IN_TURN)
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
        if isinstance(operation, op.Gather):
            yield from self._gather(operation, target)
            return
        if isinstance(operation, op.Softmax | op.SoftmaxGradient):
            yield from self._by_channel(self._sums(operation, source))
            value = source if isinstance(operation, op.SoftmaxGradient) else None
            yield from self._by_channel([self._normalise(Part(value=value), layer.name, source, target)])
            return
        if isinstance(operation, TOKENS):
            yield from self._tokens(operation, source, target)
            return
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
        totals = memory[totals_of(self.places.own(target))]
        if forward:
            yield from self._operations(pooling.over_windows(self.config, axes, read, totals, places))
            if places:
                yield from self._stored(totals_of(self.places.own(target)), target)
            for rows, columns, share in shares:
                yield from self._operations(pooling.scaled(self.config, totals, memory[target], rows, columns, share))
            return
        gradient = pooling.Gradient(read, places, shares[0][-1] if len(shares) == 1 else None)
        if len(shares) > 1:
            gradient = pooling.Gradient(memory[scaled_of(self.places.own(target))])
            for rows, columns, share in shares:
                yield from self._operations(pooling.scaled(self.config, read, gradient.tensor, rows, columns, share))
        yield from self._operations(pooling.gradient_of_windows(self.config, axes, gradient, totals, memory[target]))

    def _tokens(self, operation: op.Operation, source: str, target: str) -> Iterator[Command]:
        """Activations, embedded tokens, and the gradient of one of them."""
        config, memory, name = self.config, self.memory, operation.layer
        match operation:
            case op.Activate():
                made = tokens.activated(config, operation.kind, memory[operation.kept.tensor], memory[target])
                yield from self._operations([made])
            case op.ActivationGradient():
                tensors = memory[operation.kept.tensor], memory[source], memory[target]
                yield from self._operations([tokens.activation_gradient(config, operation.kind, *tensors)])
            case op.Embed():
                written = memory.at(target, self.layouts.view(name, name))
                masters = memory[f"{name}.token"], memory[f"{name}.position"]
                yield from self._operations(tokens.embedded(config, written, *masters))
            case _:
                yield from self._zeros(target)
                layout = self.layouts.view(self.made[memory.place(target)], name)
                yield from self._copy(source, memory.at(target, layout))

    def _batch_sums(self, layer: str, gradient: str) -> Iterator[Command]:
        """The gradient of what was added to all samples."""
        sums = f"{layer}.position_gradient"
        flat, samples = f"{sums} of all", f"{gradient} of samples"
        count = prod(self.memory[sums].shape)
        for name, tensor, shape in ((flat, sums, (count,)), (samples, gradient, (self.program.batch, count))):
            self.memory.alias(name, tensor)
            self.memory.add(name, self.memory[tensor].kind, shape)
        yield from self._channel_sums(samples, flat, PassOption.NOTE_OVERFLOW)

    def _gather(self, operation: op.Gather, target: str) -> Iterator[Command]:
        """Parts that are not in their places already, and zeros elsewhere."""
        parts = [part.tensor for part in operation.parts if self.memory.place(part.tensor) != self.memory.place(target)]
        if parts:
            yield from self._zeros(target)
        for name in parts:
            layout = self.layouts.view(operation.layer, self.made[name])
            yield from self._copy(name, self.memory.at(target, layout))

    def _copy(self, source: str, written: Tensor) -> Iterator[Command]:
        """The elements of a tensor to where those of another one are."""
        lanes = self.config.vpu_lanes
        read = whole(self.memory[source], lanes)
        commands = (
            Load(source=Source.ELEMENTS, walk=read),
            Pass(words=words_of(read)),
            Store(sink=Sink.RESULTS, walk=whole(written, lanes)),
        )
        names: Names = {Source.ELEMENTS: self.memory[source].name, Sink.RESULTS: written.name}
        yield from self._operation((list(commands), names))

    def _operations(self, operations: Iterable[Operation]) -> Iterator[Command]:
        for operation in operations:
            yield from self._operation(operation)

    def _bias_gradient(self, layer: str) -> Iterator[Command]:
        if self.places.has_bias(layer):
            sums = self._channels(f"{layer}.bias_gradient")
            terms = self._channels(f"{layer}.output_gradient").in_rows_of(sums.channels)
            noted = PassOption.NOTE_OVERFLOW
            yield from self._by_channel(
                [ChannelPass(steps=PassStep.WIDEN, elements=terms, results=sums, reduces=True, options=noted)]
            )

    def _beside(self, chain: Chain, tensor: str) -> ChannelPass | None:
        """Sums that a normalisation needs of what the last pass of a chain writes, which can leave behind that."""
        for one in (one for operation in chain.sums for one in self._sums(operation, tensor)):
            if isinstance(one, ChannelPass) and one.goes_beside(self.config.vpu_lanes, self.memory[tensor]):
                self.summed.append(one.results)
                return one
        return None

    def _in_order(self, pending: Sequence[Product], tensor: str) -> bool:
        """Whether one product writes all of a tensor: its rows are the channels, its columns the others in their order."""
        if len(pending) != 1 or pending[0].count > 1 or pending[0].output.region in self.program.cleared:
            return False
        product, channels = pending[0], self._channels(tensor)
        return product.m == channels.channels and product.n == channels.rows

    def _alike(self, part: Part, target: str) -> bool:
        """Whether what a pass adds is one tensor, whose axes are those of what it writes."""
        return len(part.residuals) == 1 and self.memory[part.residuals[0]].shape == self.memory[target].shape

    def _flat(self, name: str) -> Walk:
        """All elements of a tensor."""
        return whole(self.memory[name], self.config.vpu_lanes)

    def _zeros(self, name: str) -> Iterator[Command]:
        """Clear a tensor: what is read of it is all outside."""
        walk = self._flat(name)
        commands = (
            Load(source=Source.ELEMENTS, walk=replace(walk, run_limit=0)),
            Pass(words=words_of(walk)),
            Store(sink=Sink.RESULTS, walk=walk),
        )
        yield from self._ordered(commands, {Source.ELEMENTS: name, Sink.RESULTS: name})

    def _pass(self, part: Part, source: str, target: str, sums: ChannelPass | None = None) -> Iterator[Command]:
        """A pass from memory to memory, which may sum up what it writes."""
        if part.steps & PassStep.ROUND and not self._alike(part, target):
            first, part = part.split()
            yield from self._pass(first, source, target)
            source = target
        if part.normal:
            yield from self._by_channel([self._normalise(part, part.normal, source, target)])
            return
        residuals = part.residuals
        if len(residuals) > 1:
            others = sums_of(self.places.own(target))
            for number, name in enumerate(residuals[1:]):
                yield from self._pass(Part(PassStep.RESIDUAL, residuals=[name]), others if number else residuals[0], others)
            residuals = [others]
        residual = residuals[0] if residuals else None
        lanes, scale, walk = self.config.vpu_lanes, 0, whole
        elements = walk(self.memory[source], lanes)
        if part.steps & PassStep.SCALE:
            pixels, walk = prod(self.memory[target].shape[1:-1]), by_rows
            elements, scale = by_rows(self.memory[source], lanes, pixels), binary32(1 / pixels)
        written = walk(self.memory[target], lanes)
        steps = part.steps | PassStep.WIDEN | PassStep.NARROW
        beside = ((Source.RESIDUAL, residual), (Source.GATE, part.gate))
        made = Pass(words=words_of(written), steps=steps, scale=scale)
        commands: list[Command] = [
            Load(source=Source.ELEMENTS, walk=elements),
            *(Load(source=stream, walk=walk(self.memory[name], lanes)) for stream, name in beside if name),
            sums.beside(made, lanes) if sums else made,
            Store(sink=Sink.RESULTS, walk=written),
            *([sums.stores(lanes)] if sums else []),
        ]
        names: dict[Source | Sink, str | None] = {Source.ELEMENTS: source, Sink.RESULTS: target, **dict(beside)}
        yield from self._ordered(commands, names, sums.results.name if sums else None)

    def _normalise(self, part: Part, layer: str, source: str, target: str) -> ChannelPass:
        """The output of a normalisation, or the gradient of its input, as a pass."""
        normalised = self.normalised[layer]
        channels = self._channels(normalised.value).channels

        def of(name: str) -> Channels:
            return self._channels(name).in_rows_of(channels)

        steps, gate = part.steps & (PassStep.RELU | PassStep.GATE), of(part.gate) if part.gate else None
        if part.value is None:
            made = normalised.output(steps, gate, of(target))
            if part.residuals:
                made = replace(made, steps=made.steps | PassStep.ROUND | PassStep.RESIDUAL, residual=of(part.residuals[0]))
            return made
        return normalised.input_gradient(steps, of(source), gate, of(target))

    def _in_place(self, name: str) -> bool:
        """Whether a layer's update comes last, without a second place."""
        return name in self.normalised or isinstance(self.layers[name], Embed)

    def _updates_in_place(self, names: Iterable[str]) -> Iterator[Command]:
        """What normalisations train, and their running averages; or tokens and positions."""
        due = [(name, list(operations)) for name in names for operations in self._in_its_place(name)]
        for number in range(3 if self.rates.is_adamw else 1):
            if number:
                yield from self.emitter.dependences.synchronised()
            for name, operations in due:
                self.emitter.origin = Origin(name, Stage.WEIGHT_GRADIENT, "update")
                commands, _ = operations[number]
                yield from (replace(command, conditional=True) for command in commands)
        for name in filter(self.normalised.get, names):
            self.emitter.origin = Origin(name, Stage.WEIGHT_GRADIENT, "update")
            for one in self.normalised[name].running():
                for commands in one.operations(self.config):
                    yield from commands

    def _in_its_place(self, name: str) -> Iterator[Iterator[Operation]]:
        """The updates of all that a layer trains, without a second place; the class token moves as the first position does."""
        tensors = self.memory.tensors
        if isinstance(self.layers[name], Embed):
            gradient = tensors[f"{name}.position_gradient"]
            pairs = [("position", gradient), ("token", replace(gradient, shape=gradient.shape[1:]))]
        else:
            pairs = [(kind, tensors[f"{name}.{kind}_gradient"]) for kind in ("shift", "scale")]
        for kind, gradient in pairs:
            layer = Layer.of(tensors, f"{name}.{kind}", gradient)
            yield updates.operations(self.config, self.memory, self.rates, DENSE, layer, gradient.name)

    def _gradient(self, update: Update, products: list[Product]) -> Iterator[Command]:
        """A layer's weight gradient, which can be computed from now on, and its update behind that."""
        name = update.layer
        with self.emitter.of(Origin(name, Stage.WEIGHT_GRADIENT, "vector")):
            if self._in_place(name):
                yield from self._by_channel(self.normalised[name].away() if name in self.normalised else ())
            else:
                self.gradients.wait(update, products, has_bias=self.places.has_bias(name))
                yield from self._bias_gradient(name)

    def _is_apart(self, gradient: Sequence[Product], target: str) -> bool:
        """Whether a layer has one product as its weight gradient, and that reads nothing of what is being made."""
        if len(gradient) != 1 or gradient[0].count != 1:
            return False
        return self.memory[target].name not in self.emitter.operands_of(gradient[0]).values()


def _update_behind(commands: Sequence[Product | Vector | Update]) -> tuple[Update, list[Product]] | None:
    """The update that comes next, and the products of its gradient, if nothing is between."""
    products: list[Product] = []
    for command in commands:
        if isinstance(command, Update):
            return command, products
        if not isinstance(command, Product):
            break
        products.append(command)
    return None
