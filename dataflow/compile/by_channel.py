"""Passes over tensors whose last axis is channels, with factors of each channel, and sums of each channel."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from struct import pack, unpack

from dataflow.compile.memory import Memory, Tensor
from dataflow.compile.walks import Step, in_words, merged
from dataflow.network import Layer
from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.isa.bits import PassOption, PassStep
from hw.isa.bounds import LARGEST
from hw.isa.commands import NO_LIMIT, Command, Load, Pass, Sink, Source, Store, Walk
from hw.isa.microarchitecture import HELD_WORDS
from hw.isa.reductions import MOST_GROUPS, PARTIAL_SUMS

LINE = PassStep.SCALE | PassStep.SHIFT
TIMES = PassStep.MULTIPLY | PassStep.THIRD


def binary32(value: float) -> int:
    """Bits of a number that is rounded to binary32."""
    return int(unpack("<I", pack("<f", value))[0])


@dataclass(frozen=True, kw_only=True)
class Channels:
    """Numbers of channels, row by row, as they stand in memory.

    Parameters
    ----------
    name : str
        Of the tensor that they are in.
    base : int
        Byte of the window.
    channels : int
        How many.
    element_bytes, stride : int
        Of a number, and from a channel to the next.
    steps : tuple of Step
        From a row to the next, the innermost first; none of a single row.
    """

    name: str
    base: int
    channels: int
    element_bytes: int
    stride: int
    steps: tuple[Step, ...] = ()

    @classmethod
    def of(cls, tensor: Tensor) -> "Channels":
        """All of a tensor."""
        axes = list(zip(tensor.shape, tensor.strides, strict=True))[:-1]
        return cls(
            name=tensor.name,
            base=tensor.offset,
            channels=tensor.shape[-1],
            element_bytes=tensor.element_bytes,
            stride=tensor.strides[-1],
            steps=tuple(merged(Step(length, step) for length, step in reversed(axes) if length > 1)),
        )

    def in_rows_of(self, channels: int) -> "Channels":
        """The same numbers in rows of so many; `InputError` where they do not stand one after the other."""
        if channels == self.channels:
            return self
        row, count = self.channels * self.element_bytes, self.rows * self.channels
        beside = self.is_beside and all(step.step == row for step in self.steps) and len(self.steps) < 2
        if not beside or count % channels:
            raise InputError(f"{self.name}: rows of {channels} channels need numbers that stand one after the other")
        rows = Step(count // channels, channels * self.element_bytes)
        return replace(self, channels=channels, steps=(rows,) if rows.count > 1 else ())

    @property
    def rows(self) -> int:
        """How many."""
        return prod(step.count for step in self.steps)

    @property
    def pitch(self) -> int:
        """Bytes from a row to the next; `InputError` where rows are not evenly apart."""
        if len(self.steps) > 1:
            raise InputError(f"{self.name}: sums of rows need rows that are evenly apart in memory")
        return self.steps[0].step if self.steps else 0

    def half(self, number: int) -> "Channels":
        """The first or second binary32 number of each element of 8 bytes."""
        return replace(self, base=self.base + 4 * number, element_bytes=4)

    def walk(self, lanes: int, start: int, width: int) -> Walk:
        """Some channels of all rows, as one run where words of lanes stay the same."""
        size, rows, steps = self.element_bytes, self.rows, list(self.steps)
        if self.is_beside and steps == [Step(rows, width * size)] and width % lanes == 0 and rows * width <= LARGEST:
            width, steps = rows * width, []
        return in_words(self.base + start * self.stride, size, lanes, self.run(width), steps)

    def fills_words(self, lanes: int) -> bool:
        """Whether all rows are one after the other in whole words of lanes."""
        row = self.channels * self.element_bytes
        return self.channels % lanes == 0 and self.is_beside and self.steps in ((), (Step(self.rows, row),))

    @property
    def is_beside(self) -> bool:
        """Whether channels stand side by side."""
        return self.stride == self.element_bytes

    def run(self, width: int) -> list[Step]:
        """The loops of so many channels."""
        return [Step(width, 0)] if self.is_beside else [Step(1, 0), Step(width, self.stride)]


class Normalised:
    """What the passes of all normalisations look at: a layer, the memory, and the tensor that the layer normalises."""

    layer: Layer
    memory: Memory
    value: str

    @property
    def _x(self) -> Channels:
        return Channels.of(self.memory[self.value])

    def _of(self, kind: str) -> Channels:
        return Channels.of(self.memory[f"{self.layer.name}.{kind}"])


@dataclass(frozen=True, kw_only=True)
class Vectors:
    """Numbers of each channel, or of each row, that a layer keeps between passes: a tensor of vectors by name.

    Parameters
    ----------
    memory : Memory
        Where the tensor is.
    name : str
        Of the tensor.
    length : int
        Of each vector.
    pairs, numbers : tuple of str
        Vectors of factors b and a, and of single numbers.
    """

    memory: Memory
    name: str
    length: int
    pairs: tuple[str, ...]
    numbers: tuple[str, ...]

    def place(self) -> None:
        """Make room for them."""
        self.memory.add(self.name, "pairs", (len(self.pairs) + -(-len(self.numbers) // 2), self.length))

    def pair(self, kind: str) -> Channels:
        """One of `pairs`."""
        return self._vector(8, 8 * self.length * self.pairs.index(kind))

    def number(self, kind: str) -> Channels:
        """One of `numbers`."""
        return self._vector(4, 4 * self.length * (2 * len(self.pairs) + self.numbers.index(kind)))

    def _vector(self, size: int, offset: int) -> Channels:
        tensor = self.memory[self.name]
        base = tensor.offset + offset
        return Channels(name=tensor.name, base=base, channels=self.length, element_bytes=size, stride=size)


@dataclass(frozen=True, kw_only=True)
class ChannelPass:
    """A pass from numbers of channels to such numbers.

    Parameters
    ----------
    steps, options, function, scale, shift
        As in `hw.isa.commands.Pass`.
    elements, results : Channels
        What is read and written; of the same rows, or as many results as there are reductions of equal parts of the rows.
    reduces : bool
        Whether the results are sums, or maxima.
    residual, gate : Channels, optional
        Of the elements' rows.
    pairs, third : Channels, optional
        A row of factors b and a, or of b alone; and one of c.
    by_row : bool
        Whether factors are of rows instead; b and a are then of 8 bytes where there are both, and c of as many.
    streamed : bool
        Whether a factor comes with every number, from memory, and is not held; there is no c then.
    places : Channels, optional
        Of maxima: where their places are written.
    conditional : bool
        Whether all of it is skipped after an overflow.
    """

    steps: int
    elements: Channels
    results: Channels
    reduces: bool = False
    residual: Channels | None = None
    gate: Channels | None = None
    pairs: Channels | None = None
    third: Channels | None = None
    options: int = 0
    function: int = 0
    scale: int = 0
    shift: int = 0
    by_row: bool = False
    streamed: bool = False
    places: Channels | None = None
    conditional: bool = False

    @property
    def tensors(self) -> dict[Source | Sink, str]:
        """What each stream reads or writes."""
        names: dict[Source | Sink, str] = {source: part.name for source, part in self._streams}
        factors = self.pairs or self.third  # in one tensor where there are both
        if factors:
            names[Source.FACTORS] = factors.name
        return names | {sink: part.name for sink, part in self._stores}

    @property
    def _streams(self) -> list[tuple[Source, Channels]]:
        parts = ((Source.ELEMENTS, self.elements), (Source.RESIDUAL, self.residual), (Source.GATE, self.gate))
        return [(source, part) for source, part in parts if part]

    @property
    def _stores(self) -> list[tuple[Sink, Channels]]:
        return [(sink, part) for sink, part in ((Sink.COPY, self.places), (Sink.RESULTS, self.results)) if part]

    def _loads(self, lanes: int, start: int, width: int) -> list[tuple[Source, Walk]]:
        walks = [(source, part.walk(lanes, start, width)) for source, part in self._streams]
        kinds = [part for part in (self.pairs, self.third) if part]
        if self.by_row:
            return [*walks, (Source.FACTORS, of_rows(lanes, kinds))]
        return [*walks, *((Source.FACTORS, part.walk(lanes, start, width)) for part in kinds)]

    def goes_beside(self, lanes: int, tensor: Tensor) -> bool:
        """Whether it only sums up all rows of a tensor as they stand, so that what writes the tensor in its order can do it."""
        words = -(-self.elements.channels // lanes)
        plain = self.steps == PassStep.WIDEN and not (self.residual or self.gate or self.places)
        fits = self.reduces and self.results.rows == 1 and words <= MOST_GROUPS
        return plain and fits and self.elements == Channels.of(tensor)

    def beside(self, step: Pass, lanes: int, *, goes_on: bool = False) -> Pass:
        """A pass that writes all channels of what is summed up, with the sums behind it; column by column if not from sums.

        Where it `goes_on` these are some of the columns, and the sums are not behind it.
        """
        words, options = -(-self.elements.channels // lanes), step.options | self.options | PassOption.BESIDE
        block = step.held_block if step.options & PassOption.FROM_SUMS else words
        results = 0 if goes_on else words
        return replace(step, options=options, held_block=block, groups=words, terms=step.words // words, results=results)

    def stores(self, lanes: int) -> Store:
        """Where the sums go."""
        return Store(sink=Sink.RESULTS, walk=self.results.walk(lanes, 0, self.results.channels))

    def operations(self, config: AcceleratorConfig) -> Iterator[list[Command]]:
        """Commands for as many channels at once as the chip has room for their factors, or their partial sums."""
        lanes, channels, conditional = config.vpu_lanes, self.elements.channels, self.conditional
        most = lanes * (MOST_GROUPS if self.reduces else HELD_WORDS)
        if self.by_row or self.streamed:
            most = channels
        for start in range(0, channels, most):
            width = min(channels - start, most)
            words = -(-width // lanes)
            at_once, again = self._at_once(words), 1
            if self.reduces and self.options & PassOption.IN_TURN:
                again = -(-PARTIAL_SUMS // (words * at_once))
            loads = self._loads(lanes, start, width)
            stores = [(sink, part.walk(lanes, start, width)) for sink, part in self._stores]
            if at_once > 1 or again > 1:
                terms, size = self.elements.rows // self.results.rows, (start, width, at_once, again)
                loads = [(Source.ELEMENTS, self._images(lanes, self.elements, terms, *size))]
            if again > 1:
                stores = [(sink, self._images(lanes, part, 1, *size)) for sink, part in self._stores]
            yield [
                *(Load(conditional=conditional, source=source, walk=walk) for source, walk in loads),
                self._pass(words, at_once, again),
                *(Store(conditional=conditional, sink=sink, walk=walk) for sink, walk in stores),
            ]

    def _at_once(self, words: int) -> int:
        """How many reductions, such as those of images, can be side by side: partial results are put together once for all."""
        alone = len(self._streams) == 1 and self.elements.is_beside and len(self.elements.steps) == 1
        if not self.reduces or not alone or self.pairs or self.third:
            return 1
        count = self.results.rows
        return max(some for some in range(1, min(MOST_GROUPS // words, count) + 1) if count % some == 0)

    def _images(self, lanes: int, part: Channels, terms: int, start: int, width: int, at_once: int, again: int) -> Walk:
        """Some channels of a row of so many images, `again` as often, then of the next row of these; `terms` rows an image."""
        padded = -(-width // lanes) * lanes
        if not part.is_beside:
            raise InputError(f"{part.name}: sums of few channels need channels that stand side by side")
        if at_once > 1:
            row = part.pitch
            between, v = (
                [Step(at_once, terms * row)],
                [Step(terms, row), Step(self.results.rows // at_once, at_once * terms * row)],
            )
        else:
            between, v = [], list(part.steps)
        u = [Step(padded, 0), *between, *([Step(again, 0)] if again > 1 else [])]
        limit = NO_LIMIT if padded == width else width
        return in_words(part.base + start * part.element_bytes, part.element_bytes, lanes, u, v, run_limit=limit)

    def _pass(self, words: int, at_once: int, again: int) -> Pass:
        """With so many words a row, and reductions side by side, each so many times."""
        rows, results = self.elements.rows, self.results.rows
        reduced = {"groups": words * at_once * again, "terms": rows // results, "results": results * words * again}
        held = {"held": 1 if self.by_row else words, "held_block": words}
        return Pass(
            conditional=self.conditional,
            words=rows * words * again,
            steps=self.steps,
            options=self.options | given_by(self.steps, self.pairs) | (PassOption.BY_ROW if self.by_row else 0),
            function=self.function,
            scale=self.scale,
            shift=self.shift,
            **(held if (self.pairs or self.third) and not self.streamed else {}),
            **(reduced if self.reduces else {}),
        )


def given_by(steps: int, pairs: Channels | None) -> PassOption:
    """Which of a and b are factors; numbers of 4 bytes are b."""
    used = PassOption(0)
    if pairs and steps & PassStep.SHIFT:
        used |= PassOption.SHIFT_FACTOR
    if pairs and pairs.element_bytes == 8 and steps & PassStep.SCALE:
        used |= PassOption.SCALE_FACTOR
    return used


def of_rows(lanes: int, kinds: Sequence[Channels]) -> Walk:
    """A word of each kind of factors, then of each for the next rows; vectors are as long as whole words."""
    first, last = kinds[0], kinds[-1]
    size, words = first.element_bytes, -(-first.channels // lanes)
    v = [Step(len(kinds), last.base - first.base), Step(words, lanes * size)]
    return in_words(first.base, size, lanes, [Step(lanes, 0)], v)
