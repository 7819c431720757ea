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


def operands(config: AcceleratorConfig, memory: Bytes, load: Load, bits: int) -> Operands:
    """The blocks of a load, read now, and of elements so many bits."""
    found = blocks(load.walk, config.address_bits)
    placed = [read(memory, load.walk, block) & np.uint64((1 << bits) - 1) for block in found]
    return iter([block.T if load.across else block for block in placed])


def run(
    config: AcceleratorConfig, product: Product, loads: tuple[Load, Load], operands: tuple[Operands, Operands]
) -> list[Float32]:
    """The sums of a product's tiles, (lines, columns) each, outer loop first."""
    held: dict[tuple[int, int], Words] = {}
    tiles = []
    pixels = np.concatenate(list(operands[1])) if product.cuts else None
    for outer in range(product.outer):
        kept: dict[int, Words] = {}
        for middle in range(product.middle):
            weights, activations = [], []
            for inner in range(product.inner):
                if outer == 0 or not product.weights_held:
                    held[middle, inner] = next(operands[0])
                if pixels is not None:
                    kept[inner] = _windows(config, product, pixels, outer)
                elif middle == 0 or not product.activations_held:
                    kept[inner] = next(operands[1])
                weights.append(held[middle, inner])
                activations.append(kept[inner])
            tiles.append(_tile(config, product, loads[1].group, weights, activations))
    return tiles


def _distance(product: Product, y: int, x: int) -> int:
    """Lines from a column's own pixel to that of one of its taps."""
    rows, columns = product.start_y + y * product.step_y, product.start_x + x * product.step_x
    return rows * product.grid_x + columns


def _windows(config: AcceleratorConfig, product: Product, pixels: Words, outer: int) -> Words:
    """The activations of a tile's columns, (columns, taps · positions): each tap's line, zeros outside the image."""
    tile = config.columns * product.slot_columns
    own = np.arange(outer * tile, min((outer + 1) * tile, len(pixels)))
    row, column = own // product.grid_x % product.grid_y, own % product.grid_x
    taps = []
    for y in range(product.taps_y):
        for x in range(product.taps_x):
            to_row, to_column = product.start_y + y * product.step_y, product.start_x + x * product.step_x
            inside = (row + to_row >= 0) & (row + to_row < product.grid_y)
            inside &= (column + to_column >= 0) & (column + to_column < product.grid_x)
            read = np.clip(own + _distance(product, y, x), 0, len(pixels) - 1)
            taps.append(np.where(inside[:, None], pixels[read], 0))
    return np.concatenate(taps, axis=1).astype(np.uint64)


def _tile(config: AcceleratorConfig, product: Product, group: int, weights: list[Words], activations: list[Words]) -> Float32:
    """The sums of one tile, its parts one after the other."""
    storage = config.storage_format
    values, chosen, start = [], [], 0
    for inner, (west, north) in enumerate(zip(weights, activations, strict=True)):
        rounds = min(product.part_rounds, product.rounds - inner * product.part_rounds)
        bits = west[:, :rounds]
        values.append(bits & np.uint64((1 << storage.width) - 1))
        place = np.arange(rounds)
        within = place % product.group_rounds
        index = (bits >> np.uint64(storage.width)).astype(np.int64) | within // product.n * product.m & config.max_group - 1
        index = np.broadcast_to(within, bits.shape) if product.dense else index
        chosen.append(start + place // product.group_rounds * config.max_group + index)
        start += -(-north.shape[1] // group) * config.max_group
    columns = _decoded(config, np.concatenate([_in_words(north, group, config.max_group) for north in activations], axis=1))
    return matmul_chosen(_decoded(config, np.concatenate(values, axis=1)), np.concatenate(chosen, axis=1), columns)


def _in_words(block: Words, group: int, lanes: int) -> Words:
    """Positions as they stand in buffer words, of which a group is used: zeros beyond it, and beyond the last position."""
    lines, length = block.shape
    words = np.zeros((lines, -(-length // group), lanes), np.uint64)
    padded = np.zeros((lines, words.shape[1] * group), np.uint64)
    padded[:, :length] = block
    words[:, :, :group] = padded.reshape(lines, -1, group)
    return words.reshape(lines, -1)


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
