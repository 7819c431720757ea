"""Products of commands: operands as loads place them, sums as passes take them."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.isa.commands import Load, Pass, Product
from training.exact import Float32, matmul_chosen
from training.machine.walks import Bytes, Words, blocks, read
from training.numbers import from_bits

Operands = Iterator[Words]
"""Blocks of one operand, (lines, positions), bits."""


def operands(memory: Bytes, load: Load, bits: int) -> Operands:
    """The blocks of a load, read now, and of elements so many bits."""
    placed = [read(memory, load.walk, block) & np.uint64((1 << bits) - 1) for block in blocks(load.walk)]
    return iter([block.T if load.across else block for block in placed])


def run(
    config: AcceleratorConfig, product: Product, loads: tuple[Load, Load], operands: tuple[Operands, Operands]
) -> list[Float32]:
    """The sums of a product's tiles, (lines, columns) each, outer loop first."""
    for load, share, line in (
        (loads[0], product.weight_share_words, product.weight_line_words),
        (loads[1], product.activation_share_words, product.activation_line_words),
    ):
        if (load.share_words, load.line_words) != (share, line):
            loaded = f"shares of {load.share_words} words and lines of {load.line_words}"
            raise InputError(f"{load.source.name} are loaded in {loaded}; the product reads {share} and {line}")
    spread = min(product.group_rounds, config.columns) if product.vectors else 0
    if loads[1].spread != spread:
        raise InputError(f"ACTIVATIONS are loaded with a spread of {loads[1].spread}; the product reads {spread}")
    held: dict[tuple[int, int], Words] = {}
    tiles = []
    for outer in range(product.outer):
        kept: dict[int, Words] = {}
        for middle in range(product.middle):
            weights, activations = [], []
            for inner in range(product.inner):
                if outer == 0 or not product.weights_held:
                    held[middle, inner] = next(operands[0])
                if middle == 0 or not product.activations_held:
                    kept[inner] = next(operands[1])
                weights.append(held[middle, inner])
                activations.append(kept[inner])
            tiles.append(_tile(config, product, loads[1].group, weights, activations))
    return tiles


def _tile(config: AcceleratorConfig, product: Product, group: int, weights: list[Words], activations: list[Words]) -> Float32:
    """The sums of one tile, its parts one after the other."""
    storage = config.storage_format
    values, chosen, start = [], [], 0
    for inner, (west, north) in enumerate(zip(weights, activations, strict=True)):
        rounds = min(product.part_rounds, product.rounds - inner * product.part_rounds)
        bits = _first(west, rounds)
        values.append(bits & np.uint64((1 << storage.width) - 1))
        place = np.arange(rounds)
        index = np.broadcast_to(place % product.group_rounds, bits.shape) if product.dense else bits >> np.uint64(storage.width)
        chosen.append(start + place // product.group_rounds * group + index.astype(np.int64))
        start += north.shape[1]
    columns = _decoded(config, np.concatenate(activations, axis=1))
    beyond = int(max(block.max(initial=0) for block in chosen)) + 1 - columns.shape[1]
    columns = np.pad(columns, ((0, 0), (0, max(beyond, 0))))
    return matmul_chosen(_decoded(config, np.concatenate(values, axis=1)), np.concatenate(chosen, axis=1), columns)


def _first(block: Words, count: int) -> Words:
    """The first positions of each line."""
    if count > block.shape[1]:
        raise InputError(f"a product needs {count} positions of a line; the load brings {block.shape[1]}")
    return block[:, :count]


def _decoded(config: AcceleratorConfig, bits: Words) -> NDArray[np.floating]:
    return from_bits(bits.astype(np.int64), config.storage_format)


def sum_words(step: Pass, tiles: list[Float32], lanes: int) -> Words:
    """The words of a pass from sums, (words, lanes): tile by tile, of each column the rows; takes its tiles from the list."""
    words = []
    for outer in range(step.outer):
        for middle in range(step.middle):
            if not tiles:
                raise InputError("a pass waits for a tile that no product gives")
            rows = min(step.row_tile, step.rows - middle * step.row_tile)
            columns = min(step.column_tile, step.columns - outer * step.column_tile)
            tile = tiles.pop(0)[:rows, :columns]
            if tile.shape != (rows, columns):
                raise InputError(f"a pass takes a tile of {rows} rows and {columns} columns; the product gives {tile.shape}")
            padded = np.zeros((columns, -(-rows // lanes) * lanes), np.uint32)
            padded[:, :rows] = np.ascontiguousarray(tile.T).view(np.uint32)
            words.append(padded.reshape(-1, lanes))
    return np.concatenate(words).astype(np.uint64)
