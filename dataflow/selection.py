"""Without pre-generation: N:M selection from dense weights right before the product that reads the packed copy."""

from collections.abc import Iterator
from dataclasses import replace

from dataflow.program import Command, Product, Program, Update


def select_late(program: Program) -> Program:
    """`program` with dense updates, and a selection in front of every sparse product.

    A selection starts when the product's activations are there: nothing has planned it any earlier. The phases of a strided
    input gradient share one.
    """
    return replace(program, commands=tuple(_commands(program)))


def _commands(program: Program) -> Iterator[Command]:
    selected: set[str] = set()
    for command in program.commands:
        if isinstance(command, Update):
            yield replace(command, packed=(), dense_copy=command.dense_copy or bool(command.packed))
            continue
        if isinstance(command, Product) and not command.ratio.is_dense and command.weights.region not in selected:
            packed = command.weights.region
            selected.add(packed)
            activations = command.activations.region
            reads = (program.aliases.get(activations, activations),)
            size = program.regions[packed].size
            yield Update(layer=command.layer, elements=0, packed=(size,), ratio=command.ratio, reads=reads, writes=(packed,))
        yield command
