"""Reductions by channel as commands."""

from collections.abc import Iterator
from math import prod

from dataflow.machine.memory import Tensor
from dataflow.machine.walks import Step, loops, merged
from hw.config import AcceleratorConfig
from hw.isa.bits import PassOption, PassStep
from hw.isa.checks import LARGEST
from hw.isa.commands import Command, Load, Pass, Sink, Source, Store, Walk
from hw.isa.reductions import MOST_GROUPS


def channel_sums(
    config: AcceleratorConfig,
    source: Tensor,
    sums: Tensor,
    reductions: int,
    options: int = 0,
    places: Tensor | None = None,
) -> Iterator[list[Command]]:
    """Sums of each channel of a tensor over its other axes, in as many equal parts: of each image, or of all.

    As many channels at once as the reduction unit has partial sums for, an operation for each of these. With `places`, maxima,
    whose places are written there.
    """
    options |= PassOption.LARGEST | PassOption.PLACES if places else 0
    lanes = config.vpu_lanes
    rows, channels = prod(source.shape[:-1]), source.shape[-1]
    for start in range(0, channels, MOST_GROUPS * lanes):
        width = min(channels - start, MOST_GROUPS * lanes)
        groups = -(-width // lanes)
        load = Load(source=Source.ELEMENTS, walk=_channels(lanes, source, rows, start, width))
        reduced = Pass(
            words=rows * groups,
            steps=PassStep.WIDEN,
            options=options,
            groups=groups,
            terms=rows // reductions,
            results=reductions * groups,
        )
        written = ([(Sink.COPY, places)] if places else []) + [(Sink.RESULTS, sums)]
        stores = [Store(sink=sink, walk=_channels(lanes, tensor, reductions, start, width)) for sink, tensor in written]
        yield [load, reduced, *stores]


def _channels(lanes: int, tensor: Tensor, rows: int, start: int, width: int) -> Walk:
    """Some channels of all rows, as one run where words of lanes stay the same."""
    size, whole = tensor.element_bytes, rows * width
    axes = list(zip(tensor.shape[:-1], tensor.strides[:-1], strict=True))
    steps = merged(Step(length, step) for length, step in reversed(axes) if length > 1)
    if steps == [Step(rows, width * size)] and width % lanes == 0 and whole <= LARGEST:
        width, rows, steps = whole, 1, []
    return Walk(
        base=tensor.offset + start * size,
        size_log2=size.bit_length() - 1,
        boundary=lanes,
        u_size=width,
        u_tile=width,
        v_size=rows,
        v_tile=rows,
        u=loops([Step(width, 0)], run=True),
        v=loops(steps, run=False),
    )
