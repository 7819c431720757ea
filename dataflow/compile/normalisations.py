"""What a vector operation has to do for a normalisation: sums first, then its output, or the gradient of its input."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from dataflow.compile.by_channel import ChannelPass, Channels
from dataflow.compile.by_row import RowReduction
from dataflow.compile.passes import Part
from dataflow.compile.placement import Placement
from dataflow.ir import operations as op
from hw.isa.bits import PassStep


def needed_sums(places: Placement, operation: op.Operation, source: str) -> Iterator[ChannelPass | RowReduction]:
    """What a normalisation, or its gradient, needs to know of a whole tensor."""
    normalised = places.normalised[operation.layer]
    if isinstance(operation, op.GradientSums | op.SoftmaxGradient):
        channels = Channels.of(places.memory[normalised.value]).channels
        yield from normalised.gradient_sums(Channels.of(places.memory[source]).in_rows_of(channels))
    else:
        yield from normalised.statistics()


def sums_beside(places: Placement, operations: Sequence[op.Operation], tensor: str) -> ChannelPass | None:
    """Of the sums that these need, those which can leave behind the elements of a tensor that a pass writes."""
    lanes, memory = places.config.vpu_lanes, places.memory
    needed = (one for operation in operations for one in needed_sums(places, operation, tensor))
    return next((one for one in needed if isinstance(one, ChannelPass) and one.goes_beside(lanes, memory[tensor])), None)


def normalisation(places: Placement, layer: str, part: Part, source: str, target: str) -> ChannelPass:
    """The output of a normalisation, or the gradient of its input, as a pass."""
    normalised, memory = places.normalised[layer], places.memory
    channels = Channels.of(memory[normalised.value]).channels

    def of(name: str) -> Channels:
        return Channels.of(memory[name]).in_rows_of(channels)

    steps, gate = part.steps & (PassStep.RELU | PassStep.GATE), of(part.gate) if part.gate else None
    if part.value is not None:
        return normalised.input_gradient(steps, of(source), gate, of(target))
    made = normalised.output(steps, gate, of(target))
    if part.residuals:
        made = replace(made, steps=made.steps | PassStep.ROUND | PassStep.RESIDUAL, residual=of(part.residuals[0]))
    return made
