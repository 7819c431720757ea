"""S-STE, SLoPe and the 2:4 pre-training schedule against their published definitions, on shared tensors."""

import numpy as np
import pytest

from dataflow import zoo
from hw.errors import InputError
from hw.ratio import Ratio
from training import methods
from training.backend import FastBackend
from training.data import digits
from training.methods.s_ste import soft_threshold
from training.methods.site import Moment, Site
from training.model import Model
from training.nm import Packed, select
from training.optimiser import Sgd
from training.step import training_step
from training.transposable import transposable_mask

RATIO = Ratio(2, 4)


def weights(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float16)


def one_step(method, **moment):
    """A model of the method after a training step of a training of ten."""
    model = Model(zoo.load("mlp"), FastBackend(), np.random.default_rng(1), method=method, ratio=RATIO)
    model.moment = Moment(steps=10, **moment)
    model.prepare()
    data = digits()
    training_step(model, Sgd(), data.train_images[:16], data.train_labels[:16], 0.1)
    return model


def test_a_soft_threshold_at_2_of_4_is_the_published_one():
    """There the threshold is the second smallest of four magnitudes, by minima and maxima of pairs."""
    given = weights(32, 3, 16)
    a, b, c, d = np.moveaxis(np.abs(given.reshape(32, 3, 4, 4)).astype(np.float32), -1, 0)
    low = np.maximum(np.minimum(a, b), np.minimum(c, d))
    high = np.minimum(np.maximum(a, b), np.maximum(c, d))
    threshold = np.repeat(np.minimum(low, high), 4, axis=-1)
    signed = given.astype(np.float32)
    expected = np.where(np.abs(signed) > threshold, signed - np.sign(signed) * threshold, 0)
    np.testing.assert_array_equal(soft_threshold(given, Site(RATIO)), expected)


def test_a_soft_threshold_is_continuous_where_two_weights_change_places():
    """A hard one jumps by a whole weight there."""
    for near in (0.4995, 0.5005):
        pruned = soft_threshold(np.array([[0.5, near, 0.75, 0.0]], np.float32), Site(RATIO))
        np.testing.assert_allclose(pruned, [[0, 0, 0.25, 0]], atol=1e-3)


@pytest.mark.parametrize("ratio", [Ratio(1, 4), Ratio(2, 8), Ratio(3, 5)])
def test_a_soft_threshold_keeps_at_most_n_of_m_of_short_groups_too(ratio):
    given = weights(4, 13)
    pruned = soft_threshold(given, Site(ratio))
    kept = select(given, ratio)
    assert not pruned[~kept].any() and (np.abs(pruned) <= np.abs(given.astype(np.float32))).all()


def test_the_scale_of_s_ste_is_that_of_the_first_weights_and_stays():
    method, site, first, second = methods.load("s-ste"), Site(RATIO), weights(8, 16), weights(8, 16, seed=1)
    pruned, wide = soft_threshold(first, site).astype(np.float64), first.astype(np.float64)
    beta = np.vdot(wide, pruned) / np.vdot(pruned, pruned)
    np.testing.assert_array_equal(method.forward_weights(first, site), (pruned * np.float32(beta)).astype(np.float16))
    errors = [np.square(wide - factor * pruned).sum() for factor in (beta - 1e-3, beta, beta + 1e-3)]
    assert errors[1] == min(errors)
    site.moment = Moment(1)
    later = soft_threshold(second, site).astype(np.float64) * np.float32(beta)
    np.testing.assert_array_equal(method.forward_weights(second, site), later.astype(np.float16))


def test_s_ste_lets_forward_and_input_gradient_read_the_same_and_samples_the_rest():
    model = one_step(methods.load("s-ste"))
    module, rows = model.modules["fc2"], weights(64, 16)
    assert isinstance(module.forward_operand.weights, Packed) and module.backward_operand.ratio.is_dense
    sampled = module.method.weight_gradient_operand(rows, module.site)
    assert ((sampled != 0).reshape(16, 4, 16).sum(1) <= 2).all()
    assert methods.load("s-ste", {"sampled": "false"}).weight_gradient_operand(rows, module.site) is rows


def test_slope_prunes_once_for_all_and_a_second_time_for_the_input_gradient():
    method, site = methods.load("slope"), Site(RATIO)
    first, second = weights(16, 16), weights(16, 16, seed=1)
    forward = method.forward_weights(first, site)
    mask = site.memory["mask"]
    assert (mask.reshape(16, 4, 4).sum(-1) == 2).all()
    np.testing.assert_array_equal(forward, first * mask)
    along = select(first * mask, RATIO, 0)
    np.testing.assert_array_equal(method.backward_weights(first, site), first * mask * along)
    gradient = weights(16, 16, seed=2)
    np.testing.assert_array_equal(method.weight_gradient(gradient, site), gradient * mask)
    site.moment = Moment(99)
    np.testing.assert_array_equal(method.backward_weights(second, site), second * mask * along)
    site.moment = Moment(100)
    np.testing.assert_array_equal(method.backward_weights(second, site), second * mask * select(second * mask, RATIO, 0))
    np.testing.assert_array_equal(method.forward_weights(second, site), second * mask)


def test_what_slope_prunes_has_no_velocity():
    model, data, optimiser = one_step(methods.load("slope")), digits(), Sgd(weight_decay=0)
    before = model.modules["fc2"].weight.value.copy()
    training_step(model, optimiser, data.train_images[:16], data.train_labels[:16], 0.1)
    pruned = ~model.sites["fc2"].memory["mask"]
    np.testing.assert_array_equal(model.modules["fc2"].weight.value[pruned], before[pruned])
    assert not optimiser.velocities["fc2.weight"][pruned].any()


def test_the_pre_training_schedule_is_sparse_then_dense():
    """Of ten steps the last sixth: those from 10 (1 - 1/6) = 8.33 on."""
    method = methods.load("pretrain-2by4")
    for step, sparse in ((8, True), (9, False)):
        module = Model(zoo.load("mlp"), FastBackend(), np.random.default_rng(1), method=method, ratio=RATIO)
        module.moment = Moment(step, 10)
        module.prepare()
        layer = module.modules["fc2"]
        for operand in (layer.forward_operand, layer.backward_operand):
            assert isinstance(operand.weights, Packed) == sparse
        rows = weights(64, 16)
        assert (method.weight_gradient_operand(rows, layer.site) is rows) != sparse
        assert (layer.weight.pruned is None) != sparse


def test_pruned_weights_decay_in_the_gradient_by_the_transposable_mask():
    method = methods.load("pretrain-2by4", {"pruned_decay": "0.5", "sampled": "false"})
    model = Model(zoo.load("mlp"), FastBackend(), np.random.default_rng(1), method=method, ratio=RATIO)
    layer = model.modules["fc2"]
    mask = transposable_mask(layer.weight.value.astype(np.float16), RATIO)
    np.testing.assert_array_equal(layer.weight.pruned, ~mask)
    optimiser = Sgd(weight_decay=0, momentum=0, pruned_decay=method.pruned_decay)
    layer.weight.gradient = np.zeros_like(layer.weight.value)
    before = layer.weight.value.copy()
    optimiser.step([("fc2.weight", layer.weight)], 0.1)
    decayed = before - np.float32(0.1) * np.where(mask, np.float32(0), np.float32(0.5) * before)
    np.testing.assert_array_equal(layer.weight.value, decayed)


@pytest.mark.parametrize(
    "name, settings, message",
    [
        ("pretrain-2by4", {"dense_end": "1"}, "dense_end must be at least 0 and below 1, not 1.0"),
        ("pretrain-2by4", {"refresh_steps": "0"}, "refresh_steps must be at least 1, not 0"),
        ("slope", {"refresh_steps": "0"}, "refresh_steps must be at least 1, not 0"),
        ("bimask", {"candidates": "0"}, "refresh_steps and candidates must be at least 1, not 100 and 0"),
        ("sdgp-maxnorm", {"epsilon": "0"}, "epsilon must be above 0, not 0.0"),
        ("decay-linear", {"rate": "-1"}, "rate must be above 0, not -1.0"),
        ("srste", {"pruned_decay": "-1"}, "pruned_decay must be at least 0, not -1.0"),
    ],
)
def test_a_constant_out_of_range_is_told(name, settings, message):
    with pytest.raises(InputError, match=message):
        methods.load(name, settings)
