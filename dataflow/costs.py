"""What a command asks of each resource, whatever the order of things: cycles of the engines, bytes of memory."""

from dataclasses import dataclass
from math import ceil

from dataflow.program import Update, Vector
from hw.config import AcceleratorConfig

MASTER_BYTES = 16
"""An updated weight's master copy and momentum, binary32, read and written."""


@dataclass(frozen=True)
class Cost:
    """Cycles of the engine that runs a command, and its memory traffic."""

    engine: str
    cycles: int
    read_bytes: int
    write_bytes: int

    @property
    def bytes(self) -> int:
        """Traffic in both directions."""
        return self.read_bytes + self.write_bytes


def vector_cost(config: AcceleratorConfig, vector: Vector) -> Cost:
    """A lane takes one element a cycle through all operations of a pass."""
    return Cost("vector", ceil(vector.elements / config.vpu_lanes), vector.read_bytes, vector.write_bytes)


def update_cost(config: AcceleratorConfig, update: Update) -> Cost:
    """Update and selection run side by side, so that the slower of the two counts."""
    cycles = max(ceil(update.elements / config.wuve_lanes), selection_cycles(config, update))
    packed_bits = sum(update.packed) * (config.storage_format.width + update.ratio.index_bits)
    dense_bits = update.elements * config.storage_format.width if update.dense_copy else 0
    written = MASTER_BYTES // 2 * update.elements + ceil((packed_bits + dense_bits) / 8)
    read = MASTER_BYTES // 2 * update.elements
    if update.writes:  # a selection by itself reads the dense weights
        read += sum(update.packed) // update.ratio.n * update.ratio.m * config.storage_format.width // 8
    return Cost("update", cycles, read, written)


def selection_cycles(config: AcceleratorConfig, update: Update) -> int:
    """Cycles of N:M selection: M a group on each lane, for every packed copy."""
    groups = sum(update.packed) // update.ratio.n
    return ceil(groups * update.ratio.m / config.sore_lanes)
