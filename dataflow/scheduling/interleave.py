"""Which outputs share a USPE's accumulator pipeline."""

from functools import lru_cache

from dataflow.scheduling.timing import tile
from hw.config import AcceleratorConfig


@lru_cache(maxsize=4096)
def choose_interleave(config: AcceleratorConfig, m: int, n: int, kept: int) -> tuple[int, int]:
    """The (rows, columns) of interleave slots with the fewest steps for an (m, n) output of `kept` terms each.

    Among equals the squarest tile wins, because it reads the fewest operand words.
    """

    def cost(split: tuple[int, int]) -> tuple[int, int, int]:
        rows, columns = split
        return tile(config, m, n, kept, split).steps, abs(config.rows * rows - config.columns * columns), rows

    return min(splits(config), key=cost)


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
