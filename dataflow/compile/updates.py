"""A weight update as commands: masters and gradients pass the lanes once, and leave as masters and as the next step's copies.

With AdamW two operations come before it: the moments go on by the gradient, and the direction takes the gradient's place::

    r ← g + β1 r, s ← β2 s + g²        g ← r · 1/√(1 · s + floor)        w ← w − η (g + λ w)

The order of the words is that of `hw.engines.pregenerate`: blocks of G input channels by G output channels, G is `max_group`.
Lanes are output channels, input channels follow in time; in the backward copy, whose blocks have been turned, the other way
round::

    for each G input channels:                            forward copy: groups of input channels, output channels side by side
        for each tap of the kernel:
            for each word of output channels:             backward copy: groups of output channels, input channels side by side
                for each of the G input channels: a word
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from math import lcm, prod
from typing import Any

from dataflow.compile.by_channel import LINE, TIMES
from dataflow.compile.dependences import Names, Operation
from dataflow.compile.memory import MOMENTS, NEXT, Memory, Tensor
from dataflow.compile.walks import Step, in_words, loops, whole, words_of
from dataflow.scheduling.tilings import Tiling
from hw.config import AcceleratorConfig
from hw.isa.bits import PassOption, UpdateCopy, union
from hw.isa.commands import NO_LIMIT, Command, Counter, Load, Pass, Sink, Source, Store, Walk
from hw.isa.commands import Update as UpdateCommand
from hw.isa.functions import Function
from hw.isa.microarchitecture import RESULT_TILES
from hw.ratio import Ratio

PARTS = 16
"""Of a layer's update, or more."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Hyper-parameters of a step, as bits.

    Parameters
    ----------
    unscale : int
        Exponent of 1 / loss scale.
    weight_decay, momentum, learning_rate : int
        Bits of binary32.
    squares : int, optional
        Of AdamW, as `training.adamw.AdamW.factors` has its numbers: bits of β2, `momentum` being β1.
    floor : int
        Bits of what is added to the squares.
    """

    unscale: int
    weight_decay: int
    momentum: int
    learning_rate: int
    squares: int | None = None
    floor: int = 0

    @property
    def is_adamw(self) -> bool:
        """Whether moments are kept, instead of velocities."""
        return self.squares is not None

    def at(self, command: Command) -> Command:
        """A command with these hyper-parameters, if it has any."""
        if isinstance(command, UpdateCommand) and self.squares is not None:
            if command.moments:
                rates = self.unscale, self.momentum, self.squares, 0
            else:
                rates = 0, self.weight_decay, 0, self.learning_rate
            return _with(command, *rates)
        if isinstance(command, UpdateCommand):
            return _with(command, self.unscale, self.weight_decay, self.momentum, self.learning_rate)
        if isinstance(command, Pass) and (command.steps, command.function, command.held) == _DIRECTION:
            return replace(command, shift=self.floor)
        return command


def _with(command: UpdateCommand, unscale: int, weight_decay: int, momentum: int, learning_rate: int) -> Command:
    return replace(command, unscale=unscale, weight_decay=weight_decay, momentum=momentum, learning_rate=learning_rate)


ONES = "adamw.ones"
"""A word of lanes, each 1."""

_DIRECTION = (LINE | TIMES, Function.RECIPROCAL_ROOT, 0)
"""Steps, function and held factors of the passes that make directions of moments; no others have c without holding it."""


def at_rates(commands: Iterable[Command], rates: Rates) -> tuple[Command, ...]:
    """The commands of a step, with other hyper-parameters."""
    return tuple(map(rates.at, commands))


@dataclass(frozen=True)
class Layer:
    """The tensors of an update, (*kernel, in, out), or one axis of biases.

    Parameters
    ----------
    master, gradient : Tensor
        What it reads.
    updated : Tensor
        Where the masters go.
    dense, forward, backward : Tensor, optional
        The copies that are made: the dense one, (*kernel, groups, N, out), and (*kernel, groups, N, in).
    moments, moved : Tensor, optional
        Of AdamW: what it remembers, and where that goes.
    """

    master: Tensor
    gradient: Tensor
    updated: Tensor
    dense: Tensor | None = None
    forward: Tensor | None = None
    backward: Tensor | None = None
    moments: Tensor | None = None
    moved: Tensor | None = None

    @classmethod
    def of(
        cls,
        tensors: Mapping[str, Tensor],
        master: str,
        gradient: Tensor,
        copies: tuple[Tensor | None, Tensor | None, Tensor | None] = (None, None, None),
    ) -> "Layer":
        """What is trained under a name, to its second place if it has one; `copies` in the order of the attributes."""

        def following(name: str) -> Tensor | None:
            return tensors.get(name + NEXT) or tensors.get(name)

        moments = tensors.get(master + MOMENTS)
        updated, moved = following(master), following(master + MOMENTS)
        assert updated is not None
        return cls(tensors[master], gradient, updated, *copies, moments, moved)

    @property
    def bytes_read(self) -> int:
        """Of a weight, by all commands of its update."""
        parts = [self.master, self.gradient]
        parts += [self.moments, self.moments, self.gradient] if self.moments else []
        return sum(part.element_bytes for part in parts)

    @property
    def is_packed(self) -> bool:
        """Whether there are packed copies."""
        return bool(self.forward or self.backward)

    def part(self, number: int, count: int) -> "Layer":
        """Of output channels, one of so many equal parts; of all copies, since each group has its own."""
        parts = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return Layer(**{name: tensor and tensor.part(number, count) for name, tensor in parts.items()})

    def columns(self, start: int, count: int, ratio: Ratio) -> "Layer":
        """Of the columns (*kernel, in): whole places of the kernel, or some input channels of one."""
        inputs = self.master.shape[-2]
        tap, first = divmod(start, inputs)
        taps, width = (count // inputs, inputs) if count >= inputs else (1, count)

        def cut(tensor: Tensor | None, axis: int, group: int = 1) -> Any:  # noqa: ANN401 (as it is)
            if tensor is None:
                return None
            flat = tensor.flat(3 if tensor.kind != "packed" else 4).cut(0, tap, taps)
            return flat if width == inputs else flat.cut(axis, first // group, width // group)

        return Layer(
            master=cut(self.master, 1),
            gradient=cut(self.gradient, 1),
            updated=cut(self.updated, 1),
            dense=cut(self.dense, 1),
            forward=cut(self.forward, 1, ratio.m),
            backward=cut(self.backward, 3),
            moments=cut(self.moments, 1),
            moved=cut(self.moved, 1),
        )

    def flat_columns(self, start: int, count: int) -> "Layer":
        """The same, any of them, where there are no packed copies."""
        parts = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return Layer(**{name: tensor and tensor.flat(2).cut(0, start, count) for name, tensor in parts.items()})


def operations(
    config: AcceleratorConfig, memory: Memory, rates: Rates, ratio: Ratio, layer: Layer, gradient: str
) -> Iterator[Operation]:
    """An update of what has the gradient of this name; what it depends on is by names."""
    if layer.moments and layer.moved:
        moved = f"{layer.moved.name} by {gradient}"
        names: Names = {Source.ELEMENTS: gradient, Source.FACTORS: layer.moments.name, Sink.RESULTS: moved}
        yield list(map(rates.at, _moments(config, layer.gradient, layer.moments, layer.moved))), names
        names = {Source.ELEMENTS: ONES, Source.FACTORS: moved, Sink.RESULTS: gradient}
        yield list(map(rates.at, _direction(config, memory[ONES], layer.moved, layer.gradient))), names
    names = {Source.ELEMENTS: gradient, Source.FACTORS: layer.master.name, Sink.RESULTS: layer.updated.name}
    yield list(map(rates.at, _update(config, ratio, layer))), names


def _moments(config: AcceleratorConfig, gradient: Tensor, moments: Tensor, moved: Tensor) -> Iterator[Command]:
    read = whole(gradient, config.wuve_lanes)
    yield Load(source=Source.ELEMENTS, walk=read)
    yield Load(source=Source.FACTORS, walk=whole(moments, config.wuve_lanes))
    yield UpdateCommand(words=words_of(read), moments=1)
    yield Store(sink=Sink.RESULTS, walk=whole(moved, config.wuve_lanes))


def _direction(config: AcceleratorConfig, ones: Tensor, moments: Tensor, target: Tensor) -> Iterator[Command]:
    """Where the weights go, in the gradient's place: a pass over pairs alone, whose elements are 1."""
    lanes, written = config.vpu_lanes, whole(target, config.vpu_lanes)
    words, (steps, function, _) = words_of(written), _DIRECTION
    again = in_words(ones.offset, ones.element_bytes, lanes, [Step(lanes, 0)], [Step(words, 0)])
    yield Load(source=Source.ELEMENTS, walk=again)
    yield Load(source=Source.FACTORS, walk=whole(moments, lanes))
    yield Pass(words=words, steps=steps, options=PassOption.SCALE_FACTOR, function=function)
    yield Store(sink=Sink.RESULTS, walk=written)


def _update(config: AcceleratorConfig, ratio: Ratio, layer: Layer) -> Iterator[Command]:
    """An update of masters, and all copies that there are places for."""
    blocks = _Blocks(config, ratio, layer.master) if layer.is_packed else None
    walk = blocks.dense if blocks else partial(whole, lanes=config.wuve_lanes)
    yield Load(source=Source.ELEMENTS, walk=walk(layer.gradient))
    yield Load(source=Source.FACTORS, walk=walk(layer.master))
    yield UpdateCommand(
        words=blocks.words if blocks else words_of(whole(layer.master, config.wuve_lanes)),
        copies=union(bit for bit in UpdateCopy if getattr(layer, bit.key)),
        n=ratio.n if blocks else 1,
        m=ratio.m if blocks else 1,
    )
    yield Store(sink=Sink.RESULTS, walk=walk(layer.updated))
    if layer.dense:
        yield Store(sink=Sink.COPY, walk=walk(layer.dense))
    if blocks and layer.forward:
        yield Store(sink=Sink.FORWARD, walk=blocks.forward(layer.forward))
    if blocks and layer.backward:
        yield Store(sink=Sink.BACKWARD, walk=blocks.backward(layer.backward))


def columns_at_once(config: AcceleratorConfig, layer: Layer, tiling: Tiling, rounds: int) -> int:
    """Columns of a weight gradient, whole tiles, that are updated at once, so that the array need not wait for it.

    While the vector unit updates, the array fills the output buffer: half of its tiles should last as long. A last update comes
    behind the product: it should be a small part of all.
    """
    *kernel, inputs, outputs = layer.master.shape
    tile = tiling.columns
    words = tiling.vectors or tiling.slots[0] * tile
    tiles = min(RESULT_TILES, 2 * config.result_buffer_words // words) // 2
    steps = tiles * rounds * tiling.rows * tile // config.macs_per_cycle
    most = steps * config.axi_data_bytes // (layer.bytes_read * outputs)
    most = min(most, prod(kernel) * inputs // PARTS)
    whole, some = lcm(tile, inputs), lcm(tile, config.max_group) if layer.is_packed else tile
    if most >= whole or inputs % some:
        counts = (count for count in range(1, max(1, most // whole) + 1) if _is_even(kernel, count * whole // inputs))
        return max(counts, default=0) * whole or prod(kernel) * inputs
    return max(size for size in range(some, inputs + 1, some) if inputs % size == 0 and (size <= most or size == some))


def _is_even(kernel: Sequence[int], taps: int) -> bool:
    """Whether a kernel's taps, so many at once, are whole loops over its last axes, or equal parts of one."""
    within = 1
    for size in reversed(kernel):
        if taps <= within * size:
            return taps % within == 0 and size % (taps // within) == 0
        within *= size
    return True


class _Blocks:
    """Walks of the three orders over a layer's weights."""

    def __init__(self, config: AcceleratorConfig, ratio: Ratio, weights: Tensor) -> None:
        *kernel, self.inputs, self.outputs = weights.shape
        self.taps = 1
        for size in kernel:
            self.taps *= size
        self.size, self.lanes, self.ratio = config.max_group, config.wuve_lanes, ratio
        self.wide = max(self.size, self.lanes)  # output channels that are padded to
        self.in_blocks = -(-self.inputs // self.size)
        self.out_words = -(-self.outputs // self.wide) * (self.wide // self.lanes)
        self.kept = self.size // ratio.m * ratio.n
        """Packed elements of a block along its groups."""

    @property
    def words(self) -> int:
        """Of lanes, padding included."""
        return self.in_blocks * self.taps * self.size * self.out_words

    def dense(self, tensor: Tensor) -> Walk:
        """Masters, gradients, and the dense copy."""
        return self._by_outputs(tensor, self.size, self.inputs)

    def forward(self, tensor: Tensor) -> Walk:
        """The forward copy."""
        return self._by_outputs(tensor, self.kept, self.ratio.groups(self.inputs) * self.ratio.n)

    def _by_outputs(self, tensor: Tensor, block: int, length: int) -> Walk:
        """Lanes are output channels; `block` places along the other axis, of `length`, make a block."""
        row = tensor.pitch * tensor.element_bytes
        along = [
            Step(block, row, (1, 0)),
            Step(self.taps, length * row),
            Step(self.in_blocks, block * row, (block, 0)),
        ]
        return Walk(
            base=tensor.offset,
            size_log2=tensor.element_bytes.bit_length() - 1,
            boundary=self.lanes,
            middle=self.in_blocks * self.taps,
            inner=self.out_words,
            u_counter=Counter.INNER,
            u_size=self.out_words * self.lanes,
            u_tile=self.lanes,
            v_counter=Counter.MIDDLE,
            v_size=self.in_blocks * self.taps * block,
            v_tile=block,
            run_limit=self.outputs,
            limit_0=length,
            u=loops([Step(self.out_words * self.lanes, 0)], run=True),
            v=loops(along, run=False),
        )

    def backward(self, tensor: Tensor) -> Walk:
        """The backward copy: of each block, lanes are input channels; with many lanes blocks stand side by side."""
        row, element = tensor.pitch * tensor.element_bytes, tensor.element_bytes
        length = self.ratio.groups(self.outputs) * self.ratio.n
        run, beside, bands = min(self.lanes, self.size), max(1, self.lanes // self.size), max(1, self.size // self.lanes)
        out_blocks = -(-self.outputs // self.wide) * (self.wide // self.size) // beside
        across = [
            Step(run, 0),
            Step(beside, self.kept * row, (self.kept, 0)),
            Step(self.in_blocks, self.size * element),
        ]
        along = [
            Step(self.kept, row, (1, 0)),
            Step(bands, run * element),
            Step(out_blocks, beside * self.kept * row, (beside * self.kept, 0)),
            Step(self.taps, length * row),
        ]
        return Walk(
            base=tensor.offset,
            size_log2=element.bit_length() - 1,
            boundary=self.lanes,
            outer=self.in_blocks,
            middle=self.taps * out_blocks,
            u_counter=Counter.OUTER,
            u_size=self.in_blocks * self.lanes,
            u_tile=self.lanes,
            v_counter=Counter.MIDDLE,
            v_size=self.taps * out_blocks * bands * self.kept,
            v_tile=bands * self.kept,
            run_limit=NO_LIMIT,
            limit_0=length,
            u=loops(across, run=True),
            v=loops(along, run=False),
        )
