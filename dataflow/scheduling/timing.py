"""Cycles of the array, in the terms of the configuration that the hardware is built from."""

from dataclasses import dataclass

from dataflow.ir.program import Dataflow
from hw.config import AcceleratorConfig


@dataclass(frozen=True)
class TileShape:
    """How a product of (m, n, kept) is cut into tiles on an array.

    Output-stationary, a tile takes `rounds` rounds, one for each kept element, of `slots` steps, one for each interleave slot.
    Weight-stationary, it takes one round for each block of C kept elements, of one step for each of its `vectors` columns.

    Parameters
    ----------
    dataflow : Dataflow
        What stays in the array.
    tiles_m, tiles_n : int
        Tiles along rows and columns of the result.
    rounds : int
        Rounds of a tile.
    slots : int
        Steps of a round.
    vectors : int
        Weight-stationary, columns of the result in a tile; at most `slots`, which may be more to let partial sums return.
    flush_steps : int
        Steps after the last that bring out what is still in the array.
    """

    dataflow: Dataflow
    tiles_m: int
    tiles_n: int
    rounds: int
    slots: int
    vectors: int
    flush_steps: int

    @property
    def steps(self) -> int:
        """Steps of the array, one multiply-accumulate per USPE each, from the first operand to the last."""
        return self.tiles_m * self.tiles_n * self.rounds * self.slots

    @property
    def steps_to_last_word(self) -> int:
        """Steps until the last word of results is at the array's edge."""
        idle = self.slots - self.vectors if self.dataflow is Dataflow.WEIGHT_STATIONARY else 0
        return self.steps - idle + self.flush_steps


def tile(
    config: AcceleratorConfig,
    m: int,
    n: int,
    kept: int,
    interleave: tuple[int, int],
    dataflow: Dataflow = Dataflow.OUTPUT_STATIONARY,
) -> TileShape:
    """Cut an (m, n) output with `kept` terms each into tiles.

    Output-stationary tiles are (R * rows slots, C * columns slots). Their results leave through the rows' drain chains, one
    word a step, so that a tile is never shorter than `columns` rounds. Weight-stationary tiles are R rows by equal shares of
    the columns, as many as partial sums have room for; `interleave` does not matter.
    """
    if dataflow is Dataflow.WEIGHT_STATIONARY:
        tiles_n = -(-n // config.partial_sum_words)
        vectors = -(-n // tiles_n)
        return TileShape(
            dataflow,
            tiles_m=-(-m // config.rows),
            tiles_n=tiles_n,
            rounds=-(-kept // config.columns),
            slots=max(vectors, config.stationary_period_steps),
            vectors=vectors,
            flush_steps=config.stationary_steps,
        )
    slot_rows, slot_columns = interleave
    return TileShape(
        dataflow,
        tiles_m=-(-m // (config.rows * slot_rows)),
        tiles_n=-(-n // (config.columns * slot_columns)),
        rounds=max(kept, config.columns),
        slots=config.interleave_slots,
        vectors=0,
        flush_steps=config.uspe_latency_cycles + config.drain_steps - config.interleave_slots,
    )
