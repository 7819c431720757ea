"""Cycles of the array, in the terms of the configuration that the hardware is built from."""

from dataclasses import dataclass

from hw.config import AcceleratorConfig


@dataclass(frozen=True)
class TileShape:
    """How a product of (m, n, kept) is cut into tiles on an array with given interleaving."""

    tiles_m: int
    tiles_n: int
    rounds: int
    slots: int

    @property
    def steps(self) -> int:
        """Steps of the array, one multiply-accumulate per USPE each, from the first operand to the last."""
        return self.tiles_m * self.tiles_n * self.rounds * self.slots


def tile(config: AcceleratorConfig, m: int, n: int, kept: int, interleave: tuple[int, int]) -> TileShape:
    """Cut an (m, n) output into tiles of (R * rows slots, C * columns slots).

    A tile takes one round per kept element, and each round one step per interleave slot. Its results leave through the
    rows' drain chains, one word a step, so that a tile is never shorter than `columns` rounds.
    """
    slot_rows, slot_columns = interleave
    return TileShape(
        tiles_m=-(-m // (config.rows * slot_rows)),
        tiles_n=-(-n // (config.columns * slot_columns)),
        rounds=max(kept, config.columns),
        slots=config.interleave_slots,
    )
