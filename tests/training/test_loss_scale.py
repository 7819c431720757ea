"""The loss scale, step by step."""

import pytest

from hw.errors import DivergedError
from training.loss_scale import LossScale


def test_it_is_1024_and_doubles_after_five_hundred_good_steps_in_a_row():
    scale = LossScale()
    for good in (499, 1):
        assert scale.scale == 1024
        for _ in range(good):
            scale.record(finite=True)
    assert scale.scale == 2048
    for _ in range(499):
        scale.record(finite=True)
    scale.record(finite=False)
    assert scale.scale == 1024
    for _ in range(499):
        scale.record(finite=True)
    assert scale.scale == 1024


def test_it_stays_between_a_power_of_24_and_its_reciprocal():
    scale = LossScale(2.0**23, growth_steps=1)
    for _ in range(3):
        scale.record(finite=True)
    assert scale.scale == 2.0**24
    for _ in range(48):
        scale.record(finite=False)
    assert scale.scale == 2.0**-24
    with pytest.raises(DivergedError, match=r"^training diverged: gradients are not finite at any loss scale"):
        scale.record(finite=False)
