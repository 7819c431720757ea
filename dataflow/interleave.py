"""Interleave mapping: which outputs share a USPE's accumulator pipeline."""

from functools import lru_cache

from dataflow.timing import tile
from hw.config import AcceleratorConfig


@lru_cache(maxsize=4096)
def choose_interleave(config: AcceleratorConfig, m: int, n: int, kept: int) -> tuple[int, int]:
    """The (rows, columns) of interleave slots with the fewest steps for an (m, n) output of `kept` terms each.

    Among equals the squarest tile wins, because it reads the fewest operand words.
    """
    slots = config.interleave_slots
    splits = [(rows, columns) for rows in range(1, slots + 1) for columns in range(1, slots // rows + 1)]

    def cost(split: tuple[int, int]) -> tuple[int, int, int]:
        rows, columns = split
        return tile(config, m, n, kept, split).steps, abs(config.rows * rows - config.columns * columns), rows

    return min(splits, key=cost)
