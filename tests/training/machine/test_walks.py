"""Walks as addresses: those of small ones are kept, and cannot be changed."""

import numpy as np
import pytest

from hw.isa.commands import Loop, Walk
from training.machine.walks import MOST_KEPT, blocks

SMALL = Walk(base=64, size_log2=1, middle=2, v_counter=2, u_size=8, u_tile=8, v_size=4, v_tile=2, u=(Loop(count=8),))


def test_a_small_walk_is_kept():
    first, second = (list(blocks(SMALL, 40)) for _ in range(2))
    assert all(one is other for one, other in zip(first, second, strict=True))
    assert first[0].addresses[0].tolist() == list(range(64, 80, 2))
    with pytest.raises(ValueError, match="read-only"):
        first[0].addresses += 1
    assert next(blocks(SMALL, 6)).addresses[0].tolist() == list(range(0, 16, 2)), "by the width of addresses, too"


def test_a_large_walk_is_not():
    wide = Walk(base=0, size_log2=0, u_size=MOST_KEPT, u_tile=MOST_KEPT, u=(Loop(count=MOST_KEPT),))
    (first,), (second,) = blocks(wide, 40), blocks(wide, 40)
    assert first is not second
    np.testing.assert_array_equal(first.addresses, second.addresses)
