"""Sums of products' tiles: which operands each one takes, and what they come to, by plain loops."""

import numpy as np
import pytest

from hw.config import PRESETS
from hw.errors import InputError
from hw.isa.commands import Load, Pass, Product, Source
from training.machine.array import run, sum_words

TINY = PRESETS["tiny"]
GROUP = TINY.max_group
LOADS = Load(source=Source.WEIGHTS), Load(source=Source.ACTIVATIONS, group=GROUP)
RNG = np.random.default_rng(0)


def whole(*shape):
    return RNG.integers(-4, 4, shape).astype(np.float16)


def words(numbers):
    return np.ascontiguousarray(numbers).view(np.uint16).astype(np.uint64)


@pytest.mark.parametrize("held", [0, 1])
@pytest.mark.parametrize("kept", [0, 1])
def test_a_tile_takes_the_next_operands_or_those_that_are_held(held, kept):
    """Held weights are those of the first outer count, held activations those of the first middle one; parts are added up."""
    outer, middle, inner, lines, columns = 3, 2, 2, 3, 5
    weights = [whole(lines, GROUP) for _ in range(middle * inner * (1 if held else outer))]
    activations = [whole(columns, GROUP) for _ in range(outer * inner * (1 if kept else middle))]
    product = Product(
        outer=outer, middle=middle, inner=inner, rounds=2 * GROUP, part_rounds=GROUP, group_rounds=GROUP, dense=1,
        weights_held=held, activations_held=kept,
    )  # fmt: skip
    operands = iter(map(words, weights)), iter(map(words, activations))
    tiles = run(TINY, product, LOADS, operands)
    assert [len(list(left)) for left in operands] == [0, 0]
    for place, tile in enumerate(tiles):
        at, row = divmod(place, middle)
        due = np.zeros((lines, columns))
        for part in range(inner):
            west = weights[((0 if held else at) * middle + row) * inner + part].astype(float)
            north = activations[(at if kept else at * middle + row) * inner + part].astype(float)
            due += west @ north.T
        np.testing.assert_array_equal(tile, due)
    assert len(tiles) == outer * middle


def test_kept_elements_choose_their_activations():
    """Two of eight: an index is above its value, and counts from its group of a word, two of which have sixteen positions."""
    kept, index = whole(3, 8), RNG.permuted(np.tile(np.arange(8), (12, 1)), axis=1)[:, :2].reshape(3, 8)
    line = whole(4, 32)
    product = Product(rounds=8, part_rounds=8, group_rounds=2 * GROUP // 8, n=2, m=8)
    west = words(kept) | index.astype(np.uint64) << np.uint64(16)
    (tile,) = run(TINY, product, LOADS, (iter([west]), iter([words(line)])))
    due = np.zeros((3, 4))
    for row in range(3):
        for place in range(8):
            group = place // 2  # of eight positions of the line
            due[row] += float(kept[row, place]) * line[:, 8 * group + index[row, place]].astype(float)
    np.testing.assert_array_equal(tile, due)


def test_windows_read_the_lines_of_their_taps_and_zeros_outside_of_their_image():
    """Two images of 3x4 pixels; taps at rows -1 and 1, columns 0 and 1 from a column's own pixel."""
    images, high, wide = 2, 3, 4
    pixels, west = whole(images * high * wide, 1), whole(2, 4)
    product = Product(
        outer=3, rounds=4, part_rounds=4, group_rounds=GROUP, dense=1, slot_columns=8 // TINY.columns, weights_held=1,
        taps_y=2, taps_x=2, tap_words=1, grid_y=high, grid_x=wide, start_y=-1, start_x=0, step_y=2, step_x=1,
    )  # fmt: skip
    assert TINY.columns * product.slot_columns == 8
    tiles = run(TINY, product, LOADS, (iter([words(west)]), iter([words(pixels[:10]), words(pixels[10:])])))
    image = pixels.reshape(images, high, wide).astype(float)
    due = np.zeros((2, images * high * wide))
    for own in range(images * high * wide):
        number, row, column = np.unravel_index(own, image.shape)
        for tap, (y, x) in enumerate([(-1, 0), (-1, 1), (1, 0), (1, 1)]):
            if 0 <= row + y < high and column + x < wide:
                due[:, own] += west[:, tap].astype(float) * image[number, row + y, column + x]
    np.testing.assert_array_equal(np.concatenate(tiles, axis=1), due)


def test_words_of_sums_are_the_rows_of_each_column_tile_by_tile():
    """Five rows in tiles of three, three columns in tiles of two, on four lanes."""
    rows, columns, lanes = 5, 3, 4
    numbers = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    tiles = [np.pad(numbers[top : top + 3, left : left + 2], 1)[1:, 1:] for left in (0, 2) for top in (0, 3)]
    step = Pass(outer=2, middle=2, rows=rows, row_tile=3, columns=columns, column_tile=2)
    made = sum_words(step, tiles, lanes).astype(np.uint32).view(np.float32)
    due = [
        [*numbers[top : min(top + 3, rows), column]]
        for left in (0, 2)
        for top in (0, 3)
        for column in range(left, left + 2)[: 3 - left]
    ]
    assert [[*word] for word in made] == [[*of, *[0] * (lanes - len(of))] for of in due]
    assert tiles == []
    with pytest.raises(InputError, match=r"^a pass waits for a tile that no product gives$"):
        sum_words(step, [], lanes)
    with pytest.raises(InputError, match=r"takes a tile of 3 rows and 2 columns; the product gives \(3, 1\)$"):
        sum_words(step, [numbers[:3, :1]], lanes)
