"""What stays in the array during a product, and which outputs share a USPE's accumulator pipeline."""

from functools import lru_cache

from dataflow.stages import Dataflow
from dataflow.techniques import ALL, Techniques
from dataflow.timing import tile
from hw.config import AcceleratorConfig

Mapping = tuple[Dataflow, tuple[int, int]]
"""Dataflow, and interleave slots on (rows, columns)."""


@lru_cache(maxsize=4096)
def choose_interleave(config: AcceleratorConfig, m: int, n: int, kept: int) -> tuple[int, int]:
    """The (rows, columns) of interleave slots with the fewest steps for an (m, n) output of `kept` terms each.

    Among equals the squarest tile wins, because it reads the fewest operand words.
    """

    def cost(split: tuple[int, int]) -> tuple[int, int, int]:
        rows, columns = split
        return tile(config, m, n, kept, split).steps, abs(config.rows * rows - config.columns * columns), rows

    return min(splits(config), key=cost)


@lru_cache(maxsize=4096)
def choose_mapping(config: AcceleratorConfig, m: int, n: int, kept: int, techniques: Techniques = ALL) -> Mapping:
    """Dataflow and interleaving with the fewest steps; output-stationary unless the other is faster."""
    if not techniques.interleave:
        return Dataflow.OUTPUT_STATIONARY, (1, 1)
    if not techniques.schedule:
        return Dataflow.OUTPUT_STATIONARY, squarest(config)
    interleave = choose_interleave(config, m, n, kept)
    stationary = tile(config, m, n, kept, interleave, Dataflow.WEIGHT_STATIONARY)
    faster = stationary.steps + stationary.flush_steps + 1 < tile(config, m, n, kept, interleave).steps
    return (Dataflow.WEIGHT_STATIONARY if faster else Dataflow.OUTPUT_STATIONARY), interleave


def squarest(config: AcceleratorConfig) -> tuple[int, int]:
    """The split whose tile has most outputs, and among those is nearest to a square."""

    def rank(split: tuple[int, int]) -> tuple[int, int]:
        rows, columns = split
        return -rows * columns, abs(config.rows * rows - config.columns * columns)

    return min(splits(config), key=rank)


def splits(config: AcceleratorConfig) -> list[tuple[int, int]]:
    """All (rows, columns) of slots."""
    slots = config.interleave_slots
    return [(rows, columns) for rows in range(1, slots + 1) for columns in range(1, slots // rows + 1)]
