"""Sums of channels, and their largest elements: of all rows, of each image, or of all samples."""

from collections.abc import Iterator
from math import prod

from dataflow.compile.by_channel import ChannelPass, Channels, binary32
from dataflow.compile.by_row import operations_of
from dataflow.compile.copies import narrowed
from dataflow.compile.dependences import Operation
from dataflow.compile.passes import index_of, totals_of
from dataflow.compile.placement import Placement
from dataflow.ir import operations as op
from hw.isa.bits import PassOption, PassStep


def bias_gradient(places: Placement, layer: str) -> Iterator[Operation]:
    """Of the output gradient over all rows."""
    sums = Channels.of(places.memory[f"{layer}.bias_gradient"])
    terms = Channels.of(places.memory[f"{layer}.output_gradient"]).in_rows_of(sums.channels)
    yield from operations_of(places.config, [_reduction(terms, sums, PassOption.NOTE_OVERFLOW)])


def of_samples(places: Placement, layer: str, gradient: str) -> Iterator[Operation]:
    """The gradient of what was added to all samples."""
    memory, sums = places.memory, f"{layer}.position_gradient"
    flat, samples = f"{sums} of all", f"{gradient} of samples"
    count = prod(memory[sums].shape)
    for name, tensor, shape in ((flat, sums, (count,)), (samples, gradient, (places.program.batch, count))):
        memory.alias(name, tensor)
        memory.add(name, memory[tensor].kind, shape)
    sides = Channels.of(memory[samples]), Channels.of(memory[flat])
    yield from operations_of(places.config, [_reduction(*sides, PassOption.NOTE_OVERFLOW)])


def pooled(places: Placement, pool: op.GlobalPool, source: str, target: str) -> Iterator[Operation]:
    """Of all pixels of a channel: the largest, or their sum, then its share."""
    memory, lanes = places.memory, places.config.vpu_lanes
    totals = memory[totals_of(places.own(target))]
    sides = Channels.of(memory[source]), Channels.of(totals)
    if pool.kind == "max":
        index, largest = Channels.of(memory[index_of(pool.layer)]), PassOption.LARGEST | PassOption.PLACES
        made, scale = _reduction(*sides, PassOption.IN_TURN | largest, index), None
    else:
        _, *pixels, _ = memory[source].shape
        made, scale = _reduction(*sides, PassOption.IN_TURN), binary32(1 / prod(pixels))
    yield from operations_of(places.config, [made])
    yield narrowed(totals, memory[target], lanes, scale)


def _reduction(terms: Channels, results: Channels, options: PassOption, index: Channels | None = None) -> ChannelPass:
    return ChannelPass(steps=PassStep.WIDEN, elements=terms, results=results, reduces=True, options=options, places=index)
