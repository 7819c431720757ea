"""Sums and maxima of rows, over the last axis: words are parts of rows, as they stand, and lanes are put together in the end.

::

    memory: rows of channels       words: the first channels of row 0, 1, 2, …;  the next ones of the same rows;  …
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dataflow.compile.by_channel import ChannelPass, Channels, given_by
from dataflow.compile.dependences import Operation
from dataflow.compile.walks import MOST_GUARDED, Step, in_words
from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.isa.bits import PassOption
from hw.isa.commands import Command, Load, Pass, Sink, Source, Store, Walk
from hw.isa.reductions import lanes_summed


@dataclass(frozen=True, kw_only=True)
class RowReduction:
    """A pass over all rows, whose results are a number of each.

    Parameters
    ----------
    steps, options, function, scale
        As in `hw.isa.commands.Pass`.
    elements : Channels
        What is read.
    results : Channels
        A vector of as many numbers as there are rows, and room for whole words.
    residual : Channels, optional
        Of the elements' rows.
    pairs : Channels, optional
        Factors b of rows, or pairs b and a.
    """

    steps: int
    elements: Channels
    results: Channels
    residual: Channels | None = None
    pairs: Channels | None = None
    options: int = 0
    function: int = 0
    scale: int = 0

    @property
    def tensors(self) -> dict[Source | Sink, str]:
        """What each stream reads or writes."""
        loads = ((Source.ELEMENTS, self.elements), (Source.RESIDUAL, self.residual), (Source.FACTORS, self.pairs))
        names: dict[Source | Sink, str] = {source: part.name for source, part in loads if part}
        return names | {Sink.RESULTS: self.results.name}

    def operations(self, config: AcceleratorConfig) -> Iterator[list[Command]]:
        """All blocks of as many rows as there are lanes; then the rows that are left."""
        lanes, rows = config.vpu_lanes, self.elements.rows
        whole = rows // lanes
        if whole:
            yield self._operation(lanes, 0, lanes, whole)
        if rows % lanes:
            yield self._operation(lanes, whole * lanes, rows % lanes, 1)

    def _operation(self, lanes: int, start: int, rows: int, blocks: int) -> list[Command]:
        """Blocks from row `start` on, each of so many rows."""
        channels, summed = self.elements.channels, lanes_summed(lanes)
        words = -(-channels // summed)
        streams = ((Source.ELEMENTS, self.elements), (Source.RESIDUAL, self.residual))
        loads = [Load(source=source, walk=_along(part, lanes, start, rows, blocks)) for source, part in streams if part]
        if self.pairs:
            loads.append(Load(source=Source.FACTORS, walk=_of_rows(self.pairs, lanes, start, blocks)))
        options = self.options | given_by(self.steps, self.pairs) | PassOption.ACROSS
        reduced = Pass(
            words=lanes * words * blocks,
            steps=self.steps,
            options=options | (PassOption.BY_ROW if self.pairs else 0),
            function=self.function,
            scale=self.scale,
            groups=lanes,
            terms=words,
            results=blocks,
            last_lanes=channels - (words - 1) * summed,
            held=int(self.pairs is not None),
        )
        return [*loads, reduced, Store(sink=Sink.RESULTS, walk=_of_rows(self.results, lanes, start, blocks))]


def _along(part: Channels, lanes: int, start: int, rows: int, blocks: int) -> Walk:
    """Words of a row after those of the rows beside it in its block, zeros for rows and channels that are not there.

    They use the lanes that hold partial results.
    """
    summed = lanes_summed(lanes)
    words, guarded = -(-part.channels // summed), part.channels % summed != 0
    if guarded and part.channels >= MOST_GUARDED:
        raise InputError(
            f"{part.name}: rows must be of fewer than {MOST_GUARDED:,} channels, or of a multiple of {summed}, to be added up; "
            f"they are of {part.channels:,}"
        )
    u = [Step(summed, 0)] if part.is_beside else [Step(1, 0), Step(summed, part.stride, (0, int(guarded)))]
    v = [
        Step(lanes, part.pitch, (int(rows < lanes), 0)),
        Step(words, summed * part.stride, (0, summed * guarded)),
        Step(blocks, lanes * part.pitch),
    ]
    guards = {"limit_0": rows} if rows < lanes else {}
    guards |= {"limit_1": part.channels, "run_guard": int(part.is_beside)} if guarded else {}
    return in_words(part.base + start * part.pitch, part.element_bytes, summed, u, v, **guards)


def _of_rows(vector: Channels, lanes: int, start: int, blocks: int) -> Walk:
    """A number of each row, a word for each block."""
    v = [Step(blocks, lanes * vector.stride)]
    return in_words(vector.base + start * vector.stride, vector.element_bytes, lanes, vector.run(lanes), v)


def operations_of(config: AcceleratorConfig, passes: Iterable[ChannelPass | RowReduction]) -> Iterator[Operation]:
    """Passes over channels or rows as operations of the vector unit."""
    for one in passes:
        yield from ((commands, one.tensors) for commands in one.operations(config))
