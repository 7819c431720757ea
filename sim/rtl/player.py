"""A program's products as the array's operand streams, and its results as matrices again."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataflow.ir.program import Dataflow
from dataflow.scheduling.timing import TileShape, tile
from hw.array.sequencer import tiles_layout
from hw.config import AcceleratorConfig
from hw.formats import BINARY32
from hw.ratio import Ratio

Bits = NDArray[np.uint16]


@dataclass(frozen=True)
class Operands:
    """A product's operands as bits of the storage format.

    Parameters
    ----------
    ratio : Ratio
        Dense, or N:M.
    weights : array of uint16, shape (m, kept)
        Kept weights.
    indices : array of uint8, shape (m, kept), or None
        Their indices within the group; None in a dense product.
    activations : array of uint16, shape (n, k)
        k is in whole groups unless the product is dense.
    interleave : (int, int)
        Interleave slots spent on rows and columns of a tile.
    dataflow : Dataflow
        What stays in the array.
    """

    ratio: Ratio
    weights: Bits
    indices: NDArray[np.uint8] | None
    activations: Bits
    interleave: tuple[int, int]
    dataflow: Dataflow = Dataflow.OUTPUT_STATIONARY

    def tile(self, config: AcceleratorConfig) -> TileShape:
        """How the product is cut into tiles on `config`."""
        (m, kept), (n, _) = self.weights.shape, self.activations.shape
        return tile(config, m, n, kept, self.interleave, self.dataflow)


@dataclass(frozen=True)
class Play(ABC):
    """What the array is given for one product, and how its answer is read."""

    config: AcceleratorConfig
    operands: Operands

    @property
    def shape(self) -> TileShape:
        """How the product is cut into tiles."""
        return self.operands.tile(self.config)

    @property
    @abstractmethod
    def words(self) -> int:
        """Words of results."""

    @abstractmethod
    def weight_words(self) -> NDArray[np.uint8]:
        """Bytes of the W2E stream, shape (words, bytes of a word)."""

    @abstractmethod
    def group_words(self) -> NDArray[np.uint8]:
        """Bytes of the N2S stream, shape (words, bytes of a word)."""

    @abstractmethod
    def result(self, words: NDArray[np.uint32]) -> NDArray[np.float32]:
        """The (m, n) product from its words of sums, shape (words, rows)."""

    def command(self) -> bytes:
        """The command, as `hw.array.sequencer.tiles_layout` lays it out."""
        shape, (slot_rows, slot_columns) = self.shape, self.operands.interleave
        stationary = shape.dataflow is Dataflow.WEIGHT_STATIONARY
        fields = {
            "tiles": shape.tiles_m * shape.tiles_n,
            "rounds": shape.rounds if stationary else self.kept,
            "vectors": shape.vectors,
            "group_rounds": self.group_rounds,
            "slot_rows": slot_rows,
            "slot_columns": slot_columns,
            "dense": self.operands.ratio.is_dense,
            "stationary": stationary,
        }
        layout = tiles_layout(self.config)
        value = sum(int(fields[name]) << field.offset for name, field in layout)
        return value.to_bytes(-(-layout.size // 8), "big")

    @property
    def kept(self) -> int:
        """Terms of each sum."""
        return self.operands.weights.shape[1]

    @property
    def group_rounds(self) -> int:
        """Kept elements that use one group of activations."""
        ratio = self.operands.ratio
        return self.config.max_group if ratio.is_dense else ratio.n

    def lanes(self, rows: int) -> NDArray[np.uint32]:
        """Weights and indices as the W2E lanes carry them, padded to (rows, kept)."""
        lanes = self.operands.weights.astype(np.uint32)
        indices = np.uint32(0) if self.operands.indices is None else self.operands.indices.astype(np.uint32)
        return _pad(lanes | indices << self.config.storage_format.width, 0, rows)

    def groups(self, columns: int) -> NDArray[np.uint32]:
        """Activations in the array's groups, padded to (columns, groups, max_group)."""
        ratio, activations = self.operands.ratio, self.operands.activations
        size = self.config.max_group if ratio.is_dense else ratio.m
        whole = _pad(activations.astype(np.uint32), 1, -(-activations.shape[1] // size) * size)
        return _pad(_pad(whole.reshape(len(whole), -1, size), 2, self.config.max_group), 0, columns)

    def pack_lanes(self, lanes: NDArray[np.uint32]) -> NDArray[np.uint8]:
        """W2E words from lanes (..., rows)."""
        return _pack(lanes, self.config.storage_format.width + self.config.index_bits)

    def pack_groups(self, groups: NDArray[np.uint32]) -> NDArray[np.uint8]:
        """N2S words from groups (..., columns, max_group)."""
        return _pack(groups.reshape(*groups.shape[:-2], -1), self.config.storage_format.width)


class OutputStationary(Play):
    """Sums stay: see `hw.array.sequencer.Sequencer` and the streams of `hw.array.stce.STCE`."""

    @property
    def words(self) -> int:
        return self.shape.tiles_m * self.shape.tiles_n * self.config.drain_steps

    def weight_words(self) -> NDArray[np.uint8]:
        shape, (slot_rows, slot_columns) = self.shape, self.operands.interleave
        lanes = self.lanes(shape.tiles_m * slot_rows * self.config.rows)
        lanes = lanes.reshape(shape.tiles_m, slot_rows, self.config.rows, self.kept).transpose(0, 3, 1, 2)
        words = self.pack_lanes(lanes)[None, :, :, None]
        words = np.broadcast_to(words, (shape.tiles_n, shape.tiles_m, self.kept, slot_columns, slot_rows, words.shape[-1]))
        return words.reshape(-1, words.shape[-1])

    def group_words(self) -> NDArray[np.uint8]:
        shape, (_, slot_columns) = self.shape, self.operands.interleave
        groups = self.groups(shape.tiles_n * slot_columns * self.config.columns)
        groups = groups.reshape(shape.tiles_n, slot_columns, self.config.columns, *groups.shape[1:])
        words = self.pack_groups(groups.transpose(0, 3, 1, 2, 4))
        if slot_columns > 1:  # the column blocks take turns within each round, so a group is sent again for each
            words = words[:, np.arange(self.kept) // self.group_rounds]
        words = np.broadcast_to(words[:, None], (shape.tiles_n, shape.tiles_m, *words.shape[1:]))
        return words.reshape(-1, words.shape[-1])

    def result(self, words: NDArray[np.uint32]) -> NDArray[np.float32]:
        config, shape, (slot_rows, slot_columns) = self.config, self.shape, self.operands.interleave
        sums = words.reshape(shape.tiles_n, shape.tiles_m, config.columns, config.interleave_slots, config.rows)
        sums = sums[:, :, ::-1, : slot_rows * slot_columns]  # the last column comes first
        sums = sums.reshape(*sums.shape[:3], slot_columns, slot_rows, config.rows)
        matrix = sums.transpose(1, 4, 5, 0, 3, 2).reshape(
            shape.tiles_m * slot_rows * config.rows, shape.tiles_n * slot_columns * config.columns
        )
        return _crop(matrix, self.operands)


class WeightStationary(Play):
    """Weights stay: see `hw.array.stationary.StationarySequencer` and the streams of `hw.array.stce.STCE`."""

    @property
    def words(self) -> int:
        return self.shape.tiles_m * self.shape.tiles_n * self.shape.vectors

    def weight_words(self) -> NDArray[np.uint8]:
        shape, config = self.shape, self.config
        lanes = _pad(self.lanes(shape.tiles_m * config.rows), 1, shape.rounds * config.columns)
        lanes = lanes.reshape(shape.tiles_m, config.rows, -1).transpose(0, 2, 1)
        words = self.pack_lanes(lanes)
        words = np.broadcast_to(words, (shape.tiles_n, *words.shape))
        return words.reshape(-1, words.shape[-1])

    def group_words(self) -> NDArray[np.uint8]:
        shape, config = self.shape, self.config
        groups = self.groups(shape.tiles_n * shape.vectors)
        # The group of each kept element, blocks of C side by side; elements beyond the last read zeros.
        of_element = np.arange(shape.rounds * config.columns) // self.group_rounds
        groups = _pad(groups, 1, max(groups.shape[1], int(of_element[-1]) + 1))[:, of_element]
        groups = groups.reshape(shape.tiles_n, shape.vectors, shape.rounds, config.columns, config.max_group)
        rounds = _pad(groups.transpose(0, 2, 1, 3, 4), 2, shape.slots)
        rounds = np.broadcast_to(rounds[:, None], (shape.tiles_n, shape.tiles_m, *rounds.shape[1:]))
        steps = rounds.reshape(-1, config.columns, config.max_group)
        skewed = np.zeros((len(steps) + (config.columns - 1) * config.add_latency_cycles, *steps.shape[1:]), np.uint32)
        for column in range(config.columns):
            skewed[column * config.add_latency_cycles :][: len(steps), column] = steps[:, column]
        return self.pack_groups(skewed)

    def result(self, words: NDArray[np.uint32]) -> NDArray[np.float32]:
        shape = self.shape
        sums = words.reshape(shape.tiles_n, shape.tiles_m, shape.vectors, self.config.rows)
        matrix = sums.transpose(1, 3, 0, 2).reshape(shape.tiles_m * self.config.rows, shape.tiles_n * shape.vectors)
        return _crop(matrix, self.operands)


def play(config: AcceleratorConfig, operands: Operands) -> Play:
    """The streams of a product in its dataflow."""
    kinds = {Dataflow.OUTPUT_STATIONARY: OutputStationary, Dataflow.WEIGHT_STATIONARY: WeightStationary}
    return kinds[operands.dataflow](config, operands)


def write_streams(plays: Sequence[Play], folder: Path) -> None:
    """Write the files that the player module reads."""
    with (
        (folder / "tiles.bin").open("wb") as tiles,
        (folder / "words.bin").open("wb") as words,
        (folder / "w2e.bin").open("wb") as weights,
        (folder / "n2s.bin").open("wb") as groups,
    ):
        for play in plays:
            tiles.write(play.command())
            words.write(play.words.to_bytes(8, "big"))
            weights.write(play.weight_words().tobytes())
            groups.write(play.group_words().tobytes())


def read_results(plays: Sequence[Play], folder: Path) -> tuple[list[NDArray[np.float32]], list[int]]:
    """Each product's result, and the cycle of its last word counted from the first command."""
    text = (folder / "sums.hex").read_text()
    rows = plays[0].config.rows
    words = np.frombuffer(bytes.fromhex(text), dtype=">u4").reshape(-1, rows)[:, ::-1].astype(np.uint32)
    ends = np.cumsum([play.words for play in plays])
    if len(words) != ends[-1]:
        raise ValueError(f"the array answered {len(words)} words, not {ends[-1]}")
    results = [play.result(part) for play, part in zip(plays, np.split(words, ends[:-1]), strict=True)]
    return results, [int(line) for line in (folder / "cycles.txt").read_text().split()]


def player_package(config: AcceleratorConfig) -> str:
    """The SystemVerilog package that gives the player module its widths."""
    widths = {
        "TILES_BITS": tiles_layout(config).size,
        "W2E_BITS": config.rows * (config.storage_format.width + config.index_bits),
        "N2S_BITS": config.columns * config.max_group * config.storage_format.width,
        "SUMS_BITS": config.rows * BINARY32.width,
    }
    lines = (f"  localparam int {name} = {value};" for name, value in widths.items())
    return "\n".join(["package player_config;", *lines, "endpackage", ""])


def _pad(array: NDArray, axis: int, size: int) -> NDArray:
    """`array` with zeros behind, up to `size` along `axis`."""
    widths = [(0, size - array.shape[axis] if position == axis else 0) for position in range(array.ndim)]
    return np.pad(array, widths)


def _crop(matrix: NDArray[np.uint32], operands: Operands) -> NDArray[np.float32]:
    """The real part of a padded result."""
    return matrix[: operands.weights.shape[0], : operands.activations.shape[0]].copy().view(np.float32)


def _pack(lanes: NDArray[np.uint32], width: int) -> NDArray[np.uint8]:
    """Lanes of `width` bits side by side, the first lowest, as bytes of a word, the most significant first."""
    bits = (lanes[..., None] >> np.arange(width, dtype=np.uint32)) & 1
    side_by_side = bits.astype(np.uint8).reshape(*lanes.shape[:-1], -1)
    return np.packbits(side_by_side, axis=-1, bitorder="little")[..., ::-1]
