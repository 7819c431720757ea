"""What metrics say of gradients and masks, against definitions."""

import numpy as np
import pytest

from hw.ratio import Ratio
from training.layers.module import Parameter
from training.nm import pack, select
from training.operand import Operand
from training.watching import gradient_norm, mask_change


def weights(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float16)


def parameter(gradient):
    one = Parameter(np.zeros_like(gradient))
    one.gradient = gradient
    return one


def test_the_norm_is_that_of_all_gradients_in_a_row_without_the_scale():
    parts = [weights(4, 5).astype(np.float32), weights(7, seed=1).astype(np.float32)]
    named = [(str(place), parameter(part)) for place, part in enumerate(parts)]
    whole = np.concatenate([part.ravel() for part in parts]).astype(np.float64)
    assert gradient_norm(named, 8.0) == pytest.approx(np.linalg.norm(whole) / 8, rel=1e-12)
    parts[0][0, 0] = np.inf
    assert gradient_norm(named, 8.0) == np.inf


@pytest.mark.parametrize(
    "first, second", [("2:4", "2:4"), ("2:8", "2:8"), ("7:8", "2:8"), ("8:32", "4:16"), ("16:64", "16:64")]
)
def test_a_flip_is_a_weight_that_one_mask_keeps_and_the_other_prunes(first, second):
    before, after = weights(6, 64), weights(6, 64, seed=1)
    ratios = [Ratio(*map(int, text.split(":"))) for text in (first, second)]
    operands = [{"fc": Operand(pack(part, ratio), ratio)} for part, ratio in zip((before, after), ratios, strict=True)]
    flips = (select(before, ratios[0]) != select(after, ratios[1])).sum()
    assert mask_change(*operands) == flips / before.size
    assert mask_change(operands[0], operands[0]) == 0


def test_weights_that_begin_or_cease_to_be_packed_are_no_flips():
    part, ratio = weights(6, 64), Ratio(2, 8)
    dense, packed = {"fc": Operand(part)}, {"fc": Operand(pack(part, ratio), ratio)}
    assert [mask_change(*both) for both in ((dense, packed), (packed, dense), (dense, dense))] == [0, 0, 0]


def test_without_packed_weights_there_is_no_rate():
    assert mask_change({}, {}) is None
