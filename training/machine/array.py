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
    _check_loads(config, product, loads)
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
                    kept[inner] = _windows(config, product, loads[1].group, pixels, outer)
                elif middle == 0 or not product.activations_held:
                    kept[inner] = next(operands[1])
                weights.append(held[middle, inner])
                activations.append(kept[inner])
            tiles.append(_tile(config, product, loads[1].group, weights, activations))
    return tiles


def _check_loads(config: AcceleratorConfig, product: Product, loads: tuple[Load, Load]) -> None:
    """`InputError` where a product reads its operands elsewhere than they were loaded to."""
    for load, layout in (
        (loads[0], (product.weight_base, product.weight_share_words, product.weight_line_words, 1)),
        (
            loads[1],
            (
                product.activation_base,
                product.activation_share_words,
                product.activation_line_words,
                product.activation_word_step,
            ),
        ),
    ):
        if (load.base, load.share_words, load.line_words, load.word_step) != layout:
            loaded = (
                f"shares of {load.share_words} words from {load.base} on, lines of {load.line_words}, steps of {load.word_step}"
            )
            raise InputError(
                f"{load.source.name} are loaded in {loaded}; the product reads {', '.join(str(number) for number in layout)}"
            )
    spread = min(product.group_rounds, config.columns) if product.vectors else 0
    if loads[1].spread != spread:
        raise InputError(f"ACTIVATIONS are loaded with a spread of {loads[1].spread}; the product reads {spread}")
    if product.cuts:
        _check_ring(config, product, loads[1])


def _check_ring(config: AcceleratorConfig, product: Product, load: Load) -> None:
    """`InputError` where windows reach beyond the lines that are in the buffer."""
    lines, ring = config.columns * product.slot_columns, product.activation_shares * product.activation_share_words
    if (product.activation_share_words, product.activation_word_step) != (product.slot_columns, ring):
        raise InputError(f"a product with taps has a ring of {product.activation_word_step} lines of a bank, not {ring}")
    moves = [_distance(product, y, x) for y in range(product.taps_y) for x in range(product.taps_x)]
    behind, ahead = (-(-max(0, move) // lines) for move in (-min(moves), max(moves)))
    if product.ahead < min(ahead, product.outer - 1) or product.behind < min(behind, product.outer - 1):
        raise InputError(
            f"windows reach {behind} shares back and {ahead} on; the product has {product.behind} and {product.ahead}"
        )
    needed = min(product.outer, 1 + behind + ahead)
    if product.activation_shares < needed:
        raise InputError(f"windows need {needed} shares; the product has {product.activation_shares}")
    if load.walk.outer != product.outer or load.walk.middle * load.walk.inner != 1:
        raise InputError(f"a product with taps needs a share of activations for each of its {product.outer} outer counts")


def _distance(product: Product, y: int, x: int) -> int:
    """Lines from a column's own pixel to that of one of its taps."""
    rows, columns = product.start_y + y * product.step_y, product.start_x + x * product.step_x
    return rows * product.grid_x + columns


def _windows(config: AcceleratorConfig, product: Product, group: int, pixels: Words, outer: int) -> Words:
    """The activations of a tile's columns, (columns, taps · positions): each tap's line, zeros outside the image."""
    positions = product.tap_words * group
    if pixels.shape[1] != positions:
        raise InputError(f"a tap has {product.tap_words} words of {group} elements; the load brings {pixels.shape[1]}")
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
        bits = _first(west, rounds)
        values.append(bits & np.uint64((1 << storage.width) - 1))
        place = np.arange(rounds)
        within = place % product.group_rounds
        index = (bits >> np.uint64(storage.width)).astype(np.int64) | within // product.n * product.m & config.max_group - 1
        index = np.broadcast_to(within, bits.shape) if product.dense else index
        chosen.append(start + place // product.group_rounds * group + index)
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
