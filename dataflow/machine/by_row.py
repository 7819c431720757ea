"""Sums and maxima of rows, over the last axis: lanes are rows, and channels come one after the other.

::

    memory: rows of channels       words: row 0, 1, 2, … of channel 0;  the same of channel 1;  …      a term is a channel
"""

from collections.abc import Iterator
from dataclasses import dataclass

from dataflow.machine.by_channel import Channels, given_by
from dataflow.machine.walks import Step, in_words
from hw.config import AcceleratorConfig
from hw.isa.commands import Command, Load, Pass, Sink, Source, Store, Walk
from hw.isa.reductions import MOST_GROUPS


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
        A vector of as many numbers as there are rows.
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
        """All blocks of as many rows as the reduction unit takes at once; then the rows that are left."""
        lanes, rows = config.vpu_lanes, self.elements.rows
        block = lanes * min(MOST_GROUPS, -(-rows // lanes))
        whole = rows // block
        if whole:
            yield self._operation(lanes, 0, block, whole)
        if rows % block:
            yield self._operation(lanes, whole * block, rows % block, 1)

    def _operation(self, lanes: int, start: int, block: int, blocks: int) -> list[Command]:
        channels, groups = self.elements.channels, -(-block // lanes)
        across = ((Source.ELEMENTS, self.elements), (Source.RESIDUAL, self.residual))
        loads = [Load(source=source, walk=_across(part, lanes, start, block, blocks)) for source, part in across if part]
        if self.pairs:
            loads.append(Load(source=Source.FACTORS, walk=_again(self.pairs, lanes, start, block, blocks, channels)))
        reduced = Pass(
            words=groups * channels * blocks,
            steps=self.steps,
            options=self.options | given_by(self.steps, self.pairs),
            function=self.function,
            scale=self.scale,
            groups=groups,
            terms=channels,
            results=groups * blocks,
        )
        return [*loads, reduced, Store(sink=Sink.RESULTS, walk=_again(self.results, lanes, start, block, blocks, 1))]


def _across(part: Channels, lanes: int, start: int, block: int, blocks: int) -> Walk:
    """Rows side by side: block after block, channel after channel."""
    u = [Step(1, 0), Step(block, part.pitch)]
    v = [Step(part.channels, part.stride), Step(blocks, block * part.pitch)]
    return in_words(part.base + start * part.pitch, part.element_bytes, lanes, u, v)


def _again(vector: Channels, lanes: int, start: int, block: int, blocks: int, times: int) -> Walk:
    """A number of each row, so many times for each block."""
    v = [Step(times, 0), Step(blocks, block * vector.stride)]
    return in_words(vector.base + start * vector.stride, vector.element_bytes, lanes, vector.run(block), v)
