"""Where loads go in the operand buffers: beside what the product before still reads, if there is room."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from hw.config import AcceleratorConfig
from hw.isa.commands import Command, Halt, Load, Product, Source, Sync

Region = tuple[int, int]
"""Words of a bank: the first one, and the one after the last."""


def words_of(load: Load, product: Product) -> int:
    """Words of each bank that a load of a product takes up."""
    if load.source is Source.ACTIVATIONS and product.cuts:
        return product.tap_words * load.word_step
    return load.shares * load.share_words


def place_loads(config: AcceleratorConfig, commands: Iterable[Command]) -> list[Command]:
    """The commands, each product's operands in front of or behind those of the product before, and loaded while it runs.

    Where there is no room for both, a load waits until all is free, and begins at the beginning.
    """
    room = {Source.WEIGHTS: config.weight_buffer_words, Source.ACTIVATIONS: config.activation_buffer_words}
    before: dict[Source, Region] = {}
    loads: dict[Source, int] = {}
    placed: list[Command] = []
    for command in commands:
        if isinstance(command, Load) and command.source in room:
            loads[command.source] = len(placed)
        elif isinstance(command, Product):
            bases: dict[str, Any] = {}
            for source, place in loads.items():
                load = placed[place]
                assert isinstance(load, Load)
                base, beside = _beside(words_of(load, command), before.get(source), room[source])
                placed[place] = replace(load, base=base, beside=int(beside))
                before[source] = base, base + words_of(load, command)
                bases["weight_base" if source is Source.WEIGHTS else "activation_base"] = base
            loads, command = {}, replace(command, **bases)
        elif isinstance(command, Sync | Halt):
            before = {}
        placed.append(command)
    return placed


def _beside(words: int, before: Region | None, room: int) -> tuple[int, bool]:
    """Where so many words begin, and whether that is beside what is there."""
    if before is None or words <= before[0]:
        return 0, before is not None
    return (before[1], True) if before[1] + words <= room else (0, False)
