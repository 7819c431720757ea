"""Updates of what has no second place: of normalisations, tokens and positions, when all gradients are known, or skipped."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from dataflow.compile import updates
from dataflow.compile.by_row import operations_of
from dataflow.compile.dependences import Operation
from dataflow.compile.emitter import Emitter, Origin
from dataflow.compile.placement import Placement
from dataflow.compile.updates import Layer, Rates
from dataflow.ir.program import Stage
from dataflow.tokens import Embed
from hw.isa.commands import Command
from hw.ratio import DENSE


def is_in_place(places: Placement, layer: str) -> bool:
    """Whether a layer's update comes last, without a second place."""
    return layer in places.normalised or isinstance(places.layers[layer], Embed)


def updates_in_place(places: Placement, emitter: Emitter, rates: Rates, names: Sequence[str]) -> Iterator[Command]:
    """What these layers train, and the running averages of normalisations."""
    yield from emitter.dependences.synchronised()
    due = [(name, list(operations)) for name in names for operations in _updates(places, rates, name)]
    for number in range(3 if rates.is_adamw else 1):
        if number:
            yield from emitter.dependences.synchronised()
        for name, operations in due:
            commands, _ = operations[number]
            with emitter.of(Origin(name, Stage.WEIGHT_GRADIENT, "update")):
                yield from (replace(command, conditional=True) for command in commands)
    for name in filter(places.normalised.get, names):
        with emitter.of(Origin(name, Stage.WEIGHT_GRADIENT, "update")):
            for commands, _ in operations_of(places.config, places.normalised[name].running()):
                yield from commands


def _updates(places: Placement, rates: Rates, name: str) -> Iterator[Iterator[Operation]]:
    """Of all that a layer trains; the class token moves as the first position does."""
    tensors = places.memory.tensors
    if isinstance(places.layers[name], Embed):
        gradient = tensors[f"{name}.position_gradient"]
        pairs = [("position", gradient), ("token", replace(gradient, shape=gradient.shape[1:]))]
    else:
        pairs = [(kind, tensors[f"{name}.{kind}_gradient"]) for kind in ("shift", "scale")]
    for kind, gradient in pairs:
        layer = Layer.of(tensors, f"{name}.{kind}", gradient)
        yield updates.operations(places.config, places.memory, rates, DENSE, layer, gradient.name)
