"""Batch norm as passes: sums over all pixels, numbers of channels that are made of them, and lines of each channel.

::

    forward    Σ x ─► -m ─► Σ (x - m)² ─► s = 1/√(v + ε) ─► a = s γ, b = β - m a ─► y = a x + b
    backward   Σ (s x - s m) g, Σ g ─► B = -s (Σ…) / n, C = -B m - (Σ g) / n ─► (B x + C + g) a
    update     γ, β; and the running mean and variance, each by a share of what it is away from the batch's
"""

from collections.abc import Iterator
from dataclasses import dataclass

from dataflow.compile.by_channel import LINE, TIMES, ChannelPass, Channels, Normalised, Vectors, binary32
from dataflow.compile.memory import Memory
from dataflow.network import BatchNorm
from hw.isa.bits import PassOption, PassStep
from hw.isa.functions import Function

SQUARE = PassStep.MULTIPLY | PassStep.ITSELF


@dataclass(frozen=True)
class BatchNormPasses(Normalised):
    """A batch norm's tensors and passes.

    Parameters
    ----------
    layer : BatchNorm
        The layer.
    memory : Memory
        Where tensors are.
    value : str
        The tensor that it normalises.
    """

    layer: BatchNorm
    memory: Memory
    value: str

    def place(self) -> None:
        """Places for what is beside its input and output: masters, running statistics, gradients, and numbers between."""
        channels, name = self._x.channels, self.layer.name
        for kind in ("scale", "shift"):
            self.memory.train(f"{name}.{kind}", (channels,))
            self.memory.add(f"{name}.{kind}_gradient", "binary32", (channels,))
        for kind in ("mean", "variance"):
            self.memory.add(f"{name}.{kind}", "binary32", (channels,))
        self._vectors.place()

    @property
    def _vectors(self) -> Vectors:
        name = f"{self.layer.name}.factors"
        return Vectors(memory=self.memory, name=name, length=self._x.channels, pairs=PAIRS, numbers=NUMBERS)

    def statistics(self) -> Iterator[ChannelPass]:
        """From the whole tensor to the line of each channel."""
        x, number, pair = self._x, self._vectors.number, self._vectors.pair
        line, normal = pair("line"), pair("normal")
        share, epsilon = 1 / x.rows, binary32(self.layer.epsilon)
        yield ChannelPass(steps=PassStep.WIDEN, elements=x, results=number("sum"), reduces=True)
        yield _scaled(number("sum"), number("negative mean"), -share)
        squares = PassStep.WIDEN | PassStep.SHIFT | SQUARE
        yield ChannelPass(steps=squares, elements=x, pairs=number("negative mean"), results=number("squares"), reduces=True)
        yield ChannelPass(
            steps=LINE, elements=number("squares"), results=normal.half(1), scale=binary32(share), shift=epsilon,
            function=Function.RECIPROCAL_ROOT,
        )  # fmt: skip
        yield _times(number("negative mean"), normal.half(1), normal.half(0))
        yield _times(normal.half(1), self._of("scale").half(0), line.half(1))
        yield ChannelPass(steps=0, elements=self._of("shift").half(0), results=line.half(0))
        yield ChannelPass(steps=LINE, elements=number("negative mean"), pairs=line, results=line.half(0))

    def gradient_sums(self, gradient: Channels) -> Iterator[ChannelPass]:
        """From the gradient of the output to those of γ and β, and to the line of each channel that the input's has."""
        x, number, pair = self._x, self._vectors.number, self._vectors.pair
        back = pair("back")
        share = 1 / x.rows
        scale, shift = self._of("scale_gradient"), self._of("shift_gradient")
        noted = PassOption.NOTE_OVERFLOW
        yield ChannelPass(
            steps=PassStep.WIDEN | LINE | PassStep.MULTIPLY, elements=x, residual=gradient, pairs=pair("normal"),
            results=scale, reduces=True, options=noted,
        )  # fmt: skip
        yield ChannelPass(steps=PassStep.WIDEN, elements=gradient, results=shift, reduces=True, options=noted)
        root = pair("normal").half(1)
        yield ChannelPass(
            steps=PassStep.SCALE | TIMES, elements=scale, third=root, results=back.half(1), scale=binary32(-share)
        )
        yield _scaled(shift, back.half(0), -share)
        yield ChannelPass(steps=LINE, elements=number("negative mean"), pairs=back, results=back.half(0))

    def output(self, steps: int, gate: Channels | None, results: Channels) -> ChannelPass:
        """The line of each channel, and what of a ReLU or a mask `steps` say."""
        steps |= PassStep.WIDEN | LINE | PassStep.NARROW
        return ChannelPass(steps=steps, elements=self._x, pairs=self._vectors.pair("line"), gate=gate, results=results)

    def input_gradient(self, steps: int, gradient: Channels, gate: Channels | None, results: Channels) -> ChannelPass:
        """Of the output's, as the sums of gradients left it."""
        steps |= PassStep.WIDEN | LINE | PassStep.RESIDUAL | TIMES | PassStep.NARROW
        pair = self._vectors.pair
        return ChannelPass(
            steps=steps, elements=self._x, residual=gradient, pairs=pair("back"), third=pair("line").half(1), gate=gate,
            results=results,
        )  # fmt: skip

    def away(self) -> Iterator[ChannelPass]:
        """How far the running statistics are away from the batch's."""
        count, number = self._x.rows, self._vectors.number
        for kind, sums, share in (("mean", "sum", 1 / count), ("variance", "squares", 1 / max(count - 1, 1))):
            yield ChannelPass(
                steps=LINE, elements=number(sums), pairs=self._of(kind), results=number(f"{kind} away"),
                scale=binary32(-share),
            )  # fmt: skip

    def running(self) -> Iterator[ChannelPass]:
        """The running statistics go on, unless the step is skipped."""
        for kind in ("mean", "variance"):
            kept, away = self._of(kind), self._vectors.number(f"{kind} away")
            scale = binary32(-self.layer.momentum)
            yield ChannelPass(steps=LINE, elements=away, pairs=kept, results=kept, scale=scale, conditional=True)


PAIRS = ("line", "normal", "back")
"""Pairs of factors, b and a: of the output, of what is normalised, of the input's gradient."""

NUMBERS = ("sum", "negative mean", "squares", "mean away", "variance away")
"""What else is kept of each channel."""


def _scaled(elements: Channels, results: Channels, scale: float) -> ChannelPass:
    return ChannelPass(steps=PassStep.SCALE, elements=elements, results=results, scale=binary32(scale))


def _times(elements: Channels, third: Channels, results: Channels) -> ChannelPass:
    return ChannelPass(steps=TIMES, elements=elements, third=third, results=results)
