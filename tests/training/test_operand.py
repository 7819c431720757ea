"""What a product knows of its weights, dense and packed, by shapes that differ along each axis."""

import numpy as np

from hw.ratio import Ratio
from training.nm import Packed
from training.operand import Operand, kept_mask

ROWS, KERNEL, GROUPS = 5, (3, 2), 2
DENSE = Operand(np.arange(5 * 3 * 2 * 11, dtype=np.float32).reshape(ROWS, *KERNEL, 11))
INDICES = np.array([[1, 3], [0, 2]], np.uint8)  # of both groups of four
PACKED = Operand(
    Packed(np.ones((ROWS, *KERNEL, GROUPS, 2), np.float32), np.broadcast_to(INDICES, (ROWS, *KERNEL, GROUPS, 2))), Ratio(2, 4)
)


def test_rows_and_kernel_lead_and_channels_are_behind_them():
    assert (DENSE.lead, DENSE.channels) == ((5, 3, 2), 11)
    assert (PACKED.lead, PACKED.channels) == ((5, 3, 2), 8)  # whole groups


def test_a_matrix_has_a_row_for_each_output():
    assert DENSE.matrix().values.shape == (5, 3 * 2 * 11)
    assert DENSE.matrix().lead == (5,)
    matrix = PACKED.matrix()
    assert matrix.values.shape == matrix.weights.indices.shape == (5, 3 * 2 * 4)
    assert matrix.ratio == Ratio(2, 4)


def test_what_is_kept_is_where_indices_say():
    assert kept_mask(DENSE).shape == (5, 3, 2, 11) and kept_mask(DENSE).all()
    mask = kept_mask(PACKED)
    assert mask.shape == (5, 3, 2, 8)
    assert (mask == np.array([0, 1, 0, 1, 1, 0, 1, 0], bool)).all()
