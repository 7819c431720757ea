"""A program's products as the array's operand streams, and its results as matrices again."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataflow.timing import TileShape, tile
from hw.config import AcceleratorConfig
from hw.formats import BINARY32
from hw.ratio import Ratio
from hw.sequencer import tiles_layout

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
    """

    ratio: Ratio
    weights: Bits
    indices: NDArray[np.uint8] | None
    activations: Bits
    interleave: tuple[int, int]

    def tile(self, config: AcceleratorConfig) -> TileShape:
        """How the product is cut into tiles on `config`."""
        (m, kept), (n, _) = self.weights.shape, self.activations.shape
        return tile(config, m, n, kept, self.interleave)


@dataclass(frozen=True)
class Play:
    """What the array is given for one product, and how its answer is read."""

    config: AcceleratorConfig
    operands: Operands

    @property
    def words(self) -> int:
        """Words of results."""
        shape = self.operands.tile(self.config)
        return shape.tiles_m * shape.tiles_n * self.config.drain_steps

    def command(self) -> bytes:
        """The command, as `hw.sequencer.tiles_layout` lays it out."""
        shape, (rows, columns) = self.operands.tile(self.config), self.operands.interleave
        fields = {
            "tiles": shape.tiles_m * shape.tiles_n,
            "rounds": self.operands.weights.shape[1],
            "group_rounds": self._group_rounds,
            "slot_rows": rows,
            "slot_columns": columns,
            "dense": self.operands.ratio.is_dense,
        }
        layout = tiles_layout(self.config)
        value = sum(int(fields[name]) << field.offset for name, field in layout)
        return value.to_bytes(-(-layout.size // 8), "big")

    def weight_words(self) -> NDArray[np.uint8]:
        """Bytes of the W2E stream, shape (words, bytes of a word)."""
        config, operands = self.config, self.operands
        shape, (slot_rows, slot_columns) = operands.tile(config), operands.interleave
        lanes = operands.weights.astype(np.uint32)
        if operands.indices is not None:
            lanes |= operands.indices.astype(np.uint32) << config.storage_format.width
        kept = lanes.shape[1]
        lanes = _pad_rows(lanes, shape.tiles_m * slot_rows * config.rows)
        lanes = lanes.reshape(shape.tiles_m, slot_rows, config.rows, kept).transpose(0, 3, 1, 2)
        words = _pack(lanes, config.storage_format.width + config.index_bits)
        words = np.broadcast_to(words[None, :, :, None], (shape.tiles_n, shape.tiles_m, kept, slot_columns, *words.shape[2:]))
        return words.reshape(-1, words.shape[-1])

    def group_words(self) -> NDArray[np.uint8]:
        """Bytes of the N2S stream, shape (words, bytes of a word)."""
        config, operands = self.config, self.operands
        shape, (_, slot_columns) = operands.tile(config), operands.interleave
        size = config.max_group if operands.ratio.is_dense else operands.ratio.m
        n, k = operands.activations.shape
        groups = -(-k // size)
        padded = np.zeros((shape.tiles_n * slot_columns * config.columns, groups, config.max_group), np.uint32)
        rows = np.zeros((n, groups * size), np.uint32)
        rows[:, :k] = operands.activations
        padded[:n, :, :size] = rows.reshape(n, groups, size)
        lanes = padded.reshape(shape.tiles_n, slot_columns, config.columns, groups, config.max_group)
        lanes = lanes.transpose(0, 3, 1, 2, 4)
        words = _pack(lanes.reshape(*lanes.shape[:3], -1), config.storage_format.width)
        if slot_columns > 1:  # the column blocks take turns within each round, so a group is sent again for each
            words = words[:, np.arange(operands.weights.shape[1]) // self._group_rounds]
        words = np.broadcast_to(words[:, None], (shape.tiles_n, shape.tiles_m, *words.shape[1:]))
        return words.reshape(-1, words.shape[-1])

    def result(self, words: NDArray[np.uint32]) -> NDArray[np.float32]:
        """The (m, n) product from its words of sums, shape (words, rows)."""
        config, operands = self.config, self.operands
        shape, (slot_rows, slot_columns) = operands.tile(config), operands.interleave
        sums = words.reshape(shape.tiles_n, shape.tiles_m, config.columns, config.interleave_slots, config.rows)
        sums = sums[:, :, ::-1, : slot_rows * slot_columns]  # the last column comes first
        sums = sums.reshape(*sums.shape[:3], slot_columns, slot_rows, config.rows)
        matrix = sums.transpose(1, 4, 5, 0, 3, 2).reshape(
            shape.tiles_m * slot_rows * config.rows, shape.tiles_n * slot_columns * config.columns
        )
        return matrix[: operands.weights.shape[0], : operands.activations.shape[0]].copy().view(np.float32)

    @property
    def _group_rounds(self) -> int:
        ratio = self.operands.ratio
        return self.config.max_group if ratio.is_dense else ratio.n


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


def _pad_rows(array: NDArray, rows: int) -> NDArray:
    padded = np.zeros((rows, *array.shape[1:]), array.dtype)
    padded[: len(array)] = array
    return padded


def _pack(lanes: NDArray[np.uint32], width: int) -> NDArray[np.uint8]:
    """Lanes of `width` bits side by side, the first lowest, as bytes of a word, the most significant first."""
    bits = (lanes[..., None] >> np.arange(width, dtype=np.uint32)) & 1
    bits = bits.astype(np.uint8).reshape(*lanes.shape[:-1], -1)
    return np.packbits(bits, axis=-1, bitorder="little")[..., ::-1]
