"""Turned blocks, and the joining and forking of streams around them."""

import numpy as np
import pytest
from stream_bench import join_fields, on_amaranth, on_verilog, run, split_fields

from hw.engines.transpose import Transpose, check_lanes
from hw.errors import InputError

SHAPES = [(4, 4), (4, 2), (16, 4), (4, 8), (2, 8), (8, 2), (2, 2)]


def bands(blocks, lanes):
    """Words of blocks (count, side by side, row, column): band after band of rows, each column by column."""
    for block in blocks:
        for first in range(0, block.shape[1], lanes):
            for column in range(block.shape[2]):
                yield block[:, first : first + lanes, column].reshape(-1)


def check(size, lanes, *, count=3, **options):
    beside, deep = max(lanes // size, 1), min(lanes, size)
    blocks = np.random.default_rng(1).integers(0, 1 << 8, (count, beside, size, size))
    sent = [join_fields((element, 8) for element in word) for word in bands(blocks, deep)]
    traffic = run(Transpose(8, size=size, lanes=lanes), {"i": sent}, {"o": len(sent)}, **options)
    wanted = [list(word) for word in bands(blocks.swapaxes(2, 3), deep)]
    assert [split_fields(word, [8] * lanes) for word in traffic["o"].words] == wanted
    return traffic


EVERYWHERE = [*((*shape, on_amaranth) for shape in SHAPES), (4, 2, on_verilog)]


@pytest.mark.parametrize("size, lanes, on", EVERYWHERE)
def test_rows_become_columns(size, lanes, on):
    check(size, lanes, stall=0.4, on=on)


@pytest.mark.parametrize("size, lanes, on", EVERYWHERE)
def test_a_word_a_cycle_and_the_declared_latency(size, lanes, on):
    traffic = check(size, lanes, count=4, on=on)
    block_words = size * size // min(size, lanes)
    assert traffic["i"].cycles == list(range(4 * block_words))
    start = block_words - 1 + Transpose.latency_cycles
    assert traffic["o"].cycles == list(range(start, start + 4 * block_words))


@pytest.mark.parametrize("lanes, size, fault", [(3, 4, "lanes .* not 3"), (1, 4, "lanes .* not 1"), (4, 6, "size .* not 6")])
def test_shapes_are_checked(lanes, size, fault):
    with pytest.raises(InputError, match=fault):
        check_lanes(lanes, size)
