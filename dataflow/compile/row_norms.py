"""Layer norm and softmax as passes: sums and maxima of rows, and lines of each row.

::

    layer norm   Σ x ─► -m ─► Σ (x - m)² ─► s = 1/√(v + ε) ─► x̂ = s x - s m, stored ─► y = γ x̂ + β
                 Σ x̂ g, Σ g by channel; h = γ g, stored; Σ x̂ h, Σ h ─► B, C ─► (B x̂ + C + h) s
    softmax      max x ─► Σ exp(x - max) ─► exp(x - max) / Σ
                 Σ y g ─► (g - Σ) y
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import e, log2

from dataflow.compile.by_channel import LINE, TIMES, ChannelPass, Channels, Normalised, Vectors, binary32
from dataflow.compile.by_row import RowReduction
from dataflow.compile.memory import Memory
from dataflow.tokens import LayerNorm, Softmax
from hw.isa.bits import PassOption, PassStep
from hw.isa.functions import Function

STORED = PassStep.WIDEN | PassStep.NARROW


@dataclass(frozen=True)
class LayerNormPasses(Normalised):
    """A layer norm's tensors and passes.

    Parameters
    ----------
    layer : LayerNorm
        The layer.
    memory : Memory
        Where tensors are.
    value : str
        The tensor that it normalises.
    lanes : int
        Of the vector unit.
    """

    layer: LayerNorm
    memory: Memory
    value: str
    lanes: int

    def place(self) -> None:
        """Places for what is beside its input and output."""
        name, x = self.layer.name, self.memory[self.value]
        for kind in ("scale", "shift"):
            self.memory.train(f"{name}.{kind}", x.shape[-1:])
            self.memory.add(f"{name}.{kind}_gradient", "binary32", x.shape[-1:])
        for kind in ("normal", "scaled"):
            self.memory.add(f"{name}.{kind}", "storage", x.shape)
        self._affine.place()
        self._rows.place()

    @property
    def _affine(self) -> Vectors:
        name = f"{self.layer.name}.factors"
        return Vectors(memory=self.memory, name=name, length=self._x.channels, pairs=("affine",), numbers=())

    @property
    def _rows(self) -> Vectors:
        return _rows(self.memory, self.layer.name, self._x, self.lanes, ("line", "back", "root"), ("sum", "squares"))

    def statistics(self) -> Iterator[ChannelPass | RowReduction]:
        """From the tensor to what is normalised, and the line of each channel that comes next."""
        x, line, root, sums = self._x, self._rows.pair("line"), self._rows.pair("root").half(0), self._rows.number("sum")
        squares, share = self._rows.number("squares"), binary32(1 / x.channels)
        affine = self._affine.pair("affine")
        for half, kind in enumerate(("shift", "scale")):
            yield ChannelPass(steps=0, elements=self._of(kind).half(0), results=affine.half(half), streamed=True)
        yield RowReduction(steps=PassStep.WIDEN, elements=x, results=sums)
        yield _scaled(sums, sums, binary32(-1 / x.channels))
        steps = PassStep.WIDEN | PassStep.SHIFT | PassStep.MULTIPLY | PassStep.ITSELF
        yield RowReduction(steps=steps, elements=x, pairs=sums, results=squares)
        yield ChannelPass(
            steps=LINE, elements=squares, results=root, scale=share, shift=binary32(self.layer.epsilon),
            function=Function.RECIPROCAL_ROOT, streamed=True,
        )  # fmt: skip
        yield ChannelPass(steps=0, elements=root, results=line.half(1), streamed=True)
        yield ChannelPass(steps=PassStep.SCALE, elements=sums, pairs=line, results=line.half(0), streamed=True)
        yield ChannelPass(steps=STORED | LINE, elements=x, pairs=line, by_row=True, results=self._of("normal"))

    def output(self, steps: int, gate: Channels | None, results: Channels) -> ChannelPass:
        """The line of each channel, and what of a ReLU or a mask `steps` say."""
        affine = self._affine.pair("affine")
        return ChannelPass(steps=steps | STORED | LINE, elements=self._of("normal"), pairs=affine, gate=gate, results=results)

    def gradient_sums(self, gradient: Channels) -> Iterator[ChannelPass | RowReduction]:
        """From the gradient of the output to those of γ and β, and to the line of each row that the input's has."""
        normal, scaled, back = self._of("normal"), self._of("scaled"), self._rows.pair("back")
        scale, shift = self._of("scale_gradient"), self._of("shift_gradient")
        noted, product = PassOption.NOTE_OVERFLOW, PassStep.WIDEN | PassStep.MULTIPLY
        yield ChannelPass(steps=product, elements=normal, residual=gradient, results=scale, reduces=True, options=noted)
        yield ChannelPass(steps=PassStep.WIDEN, elements=gradient, results=shift, reduces=True, options=noted)
        yield ChannelPass(steps=STORED | TIMES, elements=gradient, third=self._of("scale").half(0), results=scaled)
        sums, share = self._rows.number("squares"), binary32(-1 / normal.channels)
        yield RowReduction(steps=product, elements=normal, residual=scaled, results=sums)
        yield _scaled(sums, back.half(1), share)
        yield RowReduction(steps=PassStep.WIDEN, elements=scaled, results=sums)
        yield _scaled(sums, back.half(0), share)

    def input_gradient(self, steps: int, gradient: Channels, gate: Channels | None, results: Channels) -> ChannelPass:
        """Of the output's, as the sums of gradients left it."""
        return ChannelPass(
            steps=steps | STORED | LINE | PassStep.RESIDUAL | TIMES, elements=self._of("normal"), residual=self._of("scaled"),
            pairs=self._rows.pair("back"), third=self._rows.pair("root"), by_row=True, gate=gate, results=results,
        )  # fmt: skip

    def away(self) -> Iterator[ChannelPass]:
        """Nothing runs along."""
        yield from ()

    running = away


@dataclass
class SoftmaxPasses(Normalised):
    """A softmax's tensors and passes; of its gradient, which needs the output as it is stored.

    Parameters
    ----------
    layer : Softmax
        The layer.
    memory : Memory
        Where tensors are.
    value : str
        The tensor that it reads.
    lanes : int
        Of the vector unit.
    made : str
        The tensor that it writes, which may be the same.
    """

    layer: Softmax
    memory: Memory
    value: str
    lanes: int
    made: str = ""

    def place(self) -> None:
        """Places for what is beside its input and output."""
        self._rows.place()

    @property
    def _rows(self) -> Vectors:
        return _rows(self.memory, self.layer.name, self._x, self.lanes, (), ("shift", "share"))

    def statistics(self) -> Iterator[ChannelPass | RowReduction]:
        """From the tensor to the largest of each row, and one over the sum of exponentials."""
        x, shift, share = self._x, self._rows.number("shift"), self._rows.number("share")
        yield RowReduction(steps=PassStep.WIDEN, elements=x, results=shift, options=PassOption.LARGEST)
        yield _scaled(shift, shift, binary32(-log2(e)))
        yield RowReduction(
            steps=PassStep.WIDEN | LINE, elements=x, pairs=shift, results=share, scale=binary32(log2(e)),
            function=Function.EXP2,
        )  # fmt: skip
        yield ChannelPass(steps=0, elements=share, results=share, function=Function.RECIPROCAL, streamed=True)

    def output(self, steps: int, gate: Channels | None, results: Channels) -> ChannelPass:
        """Exponentials times the share of each row."""
        wide = self.wide(results)
        return replace(wide, steps=wide.steps | steps | PassStep.NARROW, gate=gate)

    def wide(self, results: Channels) -> ChannelPass:
        """The same in binary32."""
        return ChannelPass(
            steps=PassStep.WIDEN | LINE | TIMES, elements=self._x, pairs=self._rows.number("shift"), by_row=True,
            third=self._rows.number("share"), scale=binary32(log2(e)), function=Function.EXP2, results=results,
        )  # fmt: skip

    def gradient_sums(self, gradient: Channels) -> Iterator[ChannelPass | RowReduction]:
        """Sums of the gradient times what it is of."""
        shift, made = self._rows.number("shift"), Channels.of(self.memory[self.made])
        yield RowReduction(steps=PassStep.WIDEN | PassStep.MULTIPLY, elements=made, residual=gradient, results=shift)
        yield _scaled(shift, shift, binary32(-1.0))

    def input_gradient(self, steps: int, gradient: Channels, gate: Channels | None, results: Channels) -> ChannelPass:
        """Of the output's, as the sums of gradients left it."""
        return ChannelPass(
            steps=steps | STORED | PassStep.SHIFT | PassStep.MULTIPLY, elements=gradient, gate=gate, by_row=True,
            residual=Channels.of(self.memory[self.made]), pairs=self._rows.number("shift"), results=results,
        )  # fmt: skip

    def away(self) -> Iterator[ChannelPass]:
        """Nothing runs along."""
        yield from ()

    running = away


def _rows(memory: Memory, layer: str, value: Channels, lanes: int, pairs: tuple[str, ...], numbers: tuple[str, ...]) -> Vectors:
    """Vectors of numbers of rows, as long as whole words."""
    length = -(-value.rows // lanes) * lanes
    return Vectors(memory=memory, name=f"{layer}.rows", length=length, pairs=pairs, numbers=numbers)


def _scaled(elements: Channels, results: Channels, scale: int) -> ChannelPass:
    return ChannelPass(steps=PassStep.SCALE, elements=elements, results=results, scale=scale, streamed=True)
