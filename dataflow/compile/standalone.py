"""Operations of the program that are passes of their own: windows of pools, softmax, tokens, parts of a whole."""

from collections.abc import Iterator
from dataclasses import replace

from dataflow.axes import AxisPool
from dataflow.compile import pooling, tokens
from dataflow.compile.by_channel import binary32
from dataflow.compile.by_row import operations_of
from dataflow.compile.copies import cleared, copied, narrowed
from dataflow.compile.dependences import Operation
from dataflow.compile.normalisations import needed_sums, normalisation
from dataflow.compile.passes import Part, index_of, scaled_of, totals_of
from dataflow.compile.placement import Placement
from dataflow.ir import operations as op
from dataflow.network import MaxPool


def standalone(places: Placement, operation: op.Operation, source: str, target: str) -> Iterator[Operation]:
    """One of them, from tensor to tensor."""
    config, memory, name = places.config, places.memory, operation.layer
    match operation:
        case op.Gather():
            yield from _gathered(places, operation, target)
        case op.Softmax() | op.SoftmaxGradient():
            part = Part(value=source if isinstance(operation, op.SoftmaxGradient) else None)
            yield from operations_of(config, needed_sums(places, operation, source))
            yield from operations_of(config, [normalisation(places, name, part, source, target)])
        case op.Activate():
            yield tokens.activated(config, operation.kind, memory[operation.kept.tensor], memory[target])
        case op.ActivationGradient():
            tensors = memory[operation.kept.tensor], memory[source], memory[target]
            yield tokens.activation_gradient(config, operation.kind, *tensors)
        case op.Embed():
            written = memory.at(target, places.layouts.view(name, name))
            yield from tokens.embedded(config, written, memory[f"{name}.token"], memory[f"{name}.position"])
        case op.SelectGradient():
            layout = places.layouts.view(places.made[memory.place(target)], name)
            yield cleared(memory[target], config.vpu_lanes)
            yield copied(memory[source], memory.at(target, layout), config.vpu_lanes)
        case _ if isinstance(layer := places.layers[name], MaxPool | AxisPool):
            yield from _windows(places, layer, operation, source, target)
        case _:
            yield pooling.gradient_of_global(config, memory[source], memory[index_of(name)], memory[target])


def _gathered(places: Placement, operation: op.Gather, target: str) -> Iterator[Operation]:
    """Parts that are not in their places already, and zeros elsewhere."""
    memory, lanes = places.memory, places.config.vpu_lanes
    parts = [part.tensor for part in operation.parts if memory.place(part.tensor) != memory.place(target)]
    if parts:
        yield cleared(memory[target], lanes)
    for name in parts:
        layout = places.layouts.view(operation.layer, places.made[name])
        yield copied(memory[name], memory.at(target, layout), lanes)


def _windows(
    places: Placement, layer: MaxPool | AxisPool, operation: op.Operation, source: str, target: str
) -> Iterator[Operation]:
    """A pool of windows, or its gradient."""
    config, memory, own = places.config, places.memory, places.own(target)
    inputs, outputs = places.network.input_shapes(layer)[0], places.network.shapes[layer.name]
    axes = pooling.axes_of(layer, inputs[:-1], outputs[:-1])
    forward = isinstance(operation, op.PoolMax | op.PoolMean)
    read = replace(memory[source], shape=(places.program.batch, *(inputs if forward else outputs)))
    index = memory[index_of(layer.name)] if isinstance(operation, op.PoolMax | op.PoolMaxGradient) else None
    shares = [] if index else [(rows, columns, binary32(1 / n)) for rows, columns, n in pooling.shares(layer, axes)]
    totals = memory[totals_of(own)]
    if forward:
        yield from pooling.over_windows(config, axes, read, totals, index)
        if index:
            yield narrowed(totals, memory[target], config.vpu_lanes)
        for rows, columns, share in shares:
            yield from pooling.scaled(config, totals, memory[target], rows, columns, share)
        return
    gradient = pooling.Gradient(read, index, shares[0][-1] if len(shares) == 1 else None)
    if len(shares) > 1:
        gradient = pooling.Gradient(memory[scaled_of(own)])
        for rows, columns, share in shares:
            yield from pooling.scaled(config, read, gradient.tensor, rows, columns, share)
    yield from pooling.gradient_of_windows(config, axes, gradient, totals, memory[target])
