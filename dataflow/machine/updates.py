"""A weight update as commands: masters and gradients pass the lanes once, and leave as masters and as the next step's copies.

The order of the words is that of `hw.pregenerate`: blocks of G input channels by G output channels, G being `max_group`. Lanes
are output channels, input channels follow in time; in the backward copy, whose blocks have been turned, the other way round::

    for each G input channels:                            forward copy: groups of input channels, output channels side by side
        for each tap of the kernel:
            for each word of output channels:             backward copy: groups of output channels, input channels side by side
                for each of the G input channels: a word
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace

from dataflow.machine.memory import Tensor
from dataflow.machine.walks import NO_LIMIT, Step, loops
from hw.config import AcceleratorConfig
from hw.isa.bits import UpdateCopy, union
from hw.isa.commands import Command, Counter, Load, Sink, Source, Store, Walk
from hw.isa.commands import Update as UpdateCommand
from hw.ratio import Ratio


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Hyper-parameters of a step, as bits.

    Parameters
    ----------
    unscale : int
        Exponent of 1 / loss scale.
    weight_decay, momentum, learning_rate : int
        Bits of binary32.
    """

    unscale: int
    weight_decay: int
    momentum: int
    learning_rate: int


def at_rates(commands: Iterable[Command], rates: Rates) -> tuple[Command, ...]:
    """The commands of a step, with other hyper-parameters."""
    return tuple(replace(command, **asdict(rates)) if isinstance(command, UpdateCommand) else command for command in commands)


def emit_flat(
    config: AcceleratorConfig, rates: Rates, master: Tensor, gradient: Tensor, copy: Tensor | None
) -> Iterator[Command]:
    """An update of which no packed copy is made: all elements one after the other."""
    elements = master.size_bytes // master.element_bytes

    def walk(tensor: Tensor) -> Walk:
        run = loops([Step(elements, 0)], run=True)
        return Walk(
            base=tensor.offset,
            size_log2=tensor.element_bytes.bit_length() - 1,
            boundary=config.wuve_lanes,
            u_size=elements,
            u_tile=elements,
            u=run,
        )

    yield from _around(walk, master, gradient)
    yield _update(rates, -(-elements // config.wuve_lanes), UpdateCopy.DENSE if copy else 0, Ratio(1, 1))
    yield Store(conditional=True, sink=Sink.RESULTS, walk=walk(master))
    if copy:
        yield Store(conditional=True, sink=Sink.COPY, walk=walk(copy))


def emit_packed(
    config: AcceleratorConfig,
    rates: Rates,
    ratio: Ratio,
    tensors: tuple[Tensor, Tensor],
    copies: tuple[Tensor | None, Tensor | None, Tensor | None],
) -> Iterator[Command]:
    """An update with packed copies.

    Parameters
    ----------
    tensors : (Tensor, Tensor)
        Masters and gradients, (*kernel, in, out).
    copies : (Tensor or None) × 3
        The dense copy, the forward one (*kernel, groups, N, out), the backward one (*kernel, groups, N, in).
    """
    blocks = _Blocks(config, ratio, tensors[0])
    yield from _around(blocks.dense, *tensors)
    bits = union(bit for bit, copy in zip(UpdateCopy, copies, strict=True) if copy)
    yield _update(rates, blocks.words, bits, ratio)
    yield Store(conditional=True, sink=Sink.RESULTS, walk=blocks.dense(tensors[0]))
    for copy, sink, walk in zip(
        copies, (Sink.COPY, Sink.FORWARD, Sink.BACKWARD), (blocks.dense, blocks.forward, blocks.backward), strict=True
    ):
        if copy:
            yield Store(conditional=True, sink=sink, walk=walk(copy))


def _around(walk: Callable[[Tensor], Walk], master: Tensor, gradient: Tensor) -> Iterator[Command]:
    yield Load(conditional=True, source=Source.ELEMENTS, walk=walk(gradient))
    yield Load(conditional=True, source=Source.FACTORS, walk=walk(master))


def _update(rates: Rates, words: int, copies: int, ratio: Ratio) -> UpdateCommand:
    return UpdateCommand(conditional=True, words=words, copies=copies, n=ratio.n, m=ratio.m, **asdict(rates))


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
