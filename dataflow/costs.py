"""What a command asks of each resource, whatever the order of things: cycles of the engines, bytes of memory."""

from dataclasses import dataclass
from math import ceil

from dataflow.program import Update, Vector
from hw.config import SELECT_LATENCY_CYCLES, TURN_LATENCY_CYCLES, AcceleratorConfig

MASTER_BYTES = 16
"""An updated weight's master copy and momentum, binary32, read and written."""


@dataclass(frozen=True)
class Cost:
    """Cycles of the engine that runs a command, and its memory traffic.

    Parameters
    ----------
    engine : str
        ``"vector"`` or ``"update"``.
    cycles : int
        In which its lanes take elements.
    latency_cycles : int
        From the last element taken to the last word of the results.
    read_bytes, write_bytes : int
        Traffic.
    """

    engine: str
    cycles: int
    latency_cycles: int
    read_bytes: int
    write_bytes: int

    @property
    def bytes(self) -> int:
        """Traffic in both directions."""
        return self.read_bytes + self.write_bytes


def vector_cost(config: AcceleratorConfig, vector: Vector) -> Cost:
    """A lane takes one element a cycle through all operations of a pass."""
    cycles = ceil(vector.elements / config.vpu_lanes)
    return Cost("vector", cycles, config.vpu_latency_cycles, vector.read_bytes, vector.write_bytes)


def update_cost(config: AcceleratorConfig, update: Update) -> Cost:
    """Update and selection run side by side, so that the slower of the two counts."""
    cycles = max(ceil(update.elements / config.wuve_lanes), selection_cycles(config, update))
    packed_bits = sum(update.packed) * (config.storage_format.width + update.ratio.index_bits)
    dense_bits = update.elements * config.storage_format.width if update.dense_copy else 0
    written = MASTER_BYTES // 2 * update.elements + ceil((packed_bits + dense_bits) / 8)
    read = MASTER_BYTES // 2 * update.elements
    if update.writes:  # a selection by itself reads the dense weights
        read += sum(update.packed) // update.ratio.n * update.ratio.m * config.storage_format.width // 8
    return Cost("update", cycles, update_latency_cycles(config, update), read, written)


def update_latency_cycles(config: AcceleratorConfig, update: Update) -> int:
    """Cycles from the last weights taken to the last word of what is made of them.

    Of two packed copies one needs the weights in another order: the last block is turned, word by word, when it is complete.
    """
    engine = 0 if update.writes else config.wuve_latency_cycles
    if not update.packed:
        return engine
    turn = TURN_LATENCY_CYCLES + config.turned_block_words - 1 if len(update.packed) > 1 else 0
    return engine + turn + SELECT_LATENCY_CYCLES + update.ratio.n - 1


def selection_cycles(config: AcceleratorConfig, update: Update) -> int:
    """Cycles of N:M selection: M a group on each lane; two packed copies are selected side by side."""
    groups = max(update.packed, default=0) // update.ratio.n
    return ceil(groups * update.ratio.m / config.sore_lanes)
