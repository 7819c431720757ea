"""The weight update operation by operation, and the loss scale."""

import numpy as np
import pytest

from hw.errors import InputError
from hw.isa.functions import Function
from training.adamw import AdamW
from training.functions import apply
from training.layers.module import Parameter
from training.loss import cross_entropy, targets
from training.loss_scale import LossScale
from training.optimiser import Sgd


def scalar_update(weight, gradient, velocity, pruned, scale):
    """The contract's order, one NumPy scalar operation at a time; μ = 0.9, λ = 0.01, λ_w = 0.02, η = 0.1."""
    mu, decay, pruned_decay, rate = (np.float32(constant) for constant in (0.9, 0.01, 0.02, 0.1))
    gradient = gradient * np.float32(1 / scale)
    if pruned:
        term = pruned_decay * weight
        gradient = gradient + term
    term = decay * weight
    gradient = gradient + term
    velocity = mu * velocity
    velocity = velocity + gradient
    step = rate * velocity
    return weight - step, velocity


@pytest.mark.parametrize("with_mask", [False, True])
def test_three_updates_by_bits(with_mask):
    rng = np.random.default_rng(0)
    parameter = Parameter(rng.standard_normal(50).astype(np.float32))
    optimiser = Sgd(momentum=0.9, weight_decay=0.01, pruned_decay=0.02, loss_scale=LossScale(256.0))
    weights, velocities = list(parameter.value), [np.float32(0)] * 50
    for _ in range(3):
        parameter.gradient = (rng.standard_normal(50) * 256).astype(np.float32)
        mask = rng.random(50) < 0.5
        parameter.pruned = mask if with_mask else None
        for i in range(50):
            args = weights[i], parameter.gradient[i], velocities[i], with_mask and mask[i], 256.0
            weights[i], velocities[i] = scalar_update(*args)
        assert optimiser.step([("w", parameter)], 0.1)
        assert parameter.value.dtype == np.float32
        assert parameter.value.tobytes() == np.array(weights).tobytes()
        assert optimiser.velocities["w"].tobytes() == np.array(velocities).tobytes()


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_a_bad_gradient_skips_every_parameter_and_halves_the_scale(bad):
    good, poor = Parameter(np.ones(2, np.float32)), Parameter(np.ones(2, np.float32))
    poor.gradient[1] = bad
    optimiser = Sgd()
    assert not optimiser.step([("good", good), ("poor", poor)], 0.1)
    assert (good.value == 1).all() and (poor.value == 1).all()
    assert optimiser.velocities == {} and optimiser.loss_scale.scale == 512


def test_adamw_by_its_formula():
    parameter, rng = Parameter(np.ones(3)), np.random.default_rng(0)
    optimiser = AdamW(weight_decay=0.5, epsilon=1e-3, loss_scale=LossScale(1.0))
    (beta, gamma), weight, first, second = optimiser.betas, np.ones(3), 0.0, 0.0
    for step in range(1, 4):
        parameter.gradient = gradient = rng.standard_normal(3)
        optimiser.step([("w", parameter)], 0.25)
        first, second = beta * first + (1 - beta) * gradient, gamma * second + (1 - gamma) * gradient**2
        weight = weight * (1 - 0.25 * 0.5)
        weight = weight - 0.25 * (first / (1 - beta**step)) / np.sqrt(second / (1 - gamma**step) + 1e-6)
        np.testing.assert_allclose(parameter.value, weight, rtol=1e-12)


def test_adamw_by_bits():
    """The order of `docs/arithmetic.md`, one NumPy scalar operation at a time."""
    rng, number = np.random.default_rng(0), np.float32
    parameter = Parameter(rng.standard_normal(20).astype(number))
    optimiser = AdamW(weight_decay=0.01, loss_scale=LossScale(256.0))
    beta, gamma = map(number, optimiser.betas)
    weights, sums, squares = list(parameter.value), [number(0)] * 20, [number(0)] * 20
    for step in range(1, 4):
        parameter.gradient = (rng.standard_normal(20) * 256).astype(number)
        rate, decay, floor = map(number, optimiser.factors(float(number(0.1)), step))
        for i in range(20):
            gradient = parameter.gradient[i] * number(1 / 256)
            term, square = beta * sums[i], gradient * gradient
            sums[i] = gradient + term
            term = gamma * squares[i]
            squares[i] = term + square
            root = apply(Function.RECIPROCAL_ROOT, squares[i] + floor)
            direction, term = sums[i] * root, decay * weights[i]
            moved = rate * (direction + term)
            weights[i] = weights[i] - moved
        assert optimiser.step([("w", parameter)], 0.1)
        assert parameter.value.dtype == number
        assert parameter.value.tobytes() == np.array(weights).tobytes()
        assert [part.tobytes() for part in optimiser.moments["w"]] == [np.array(part).tobytes() for part in (sums, squares)]


def test_adamw_without_any_gradient_decays_alone():
    parameter, optimiser = Parameter(np.ones(2, np.float32)), AdamW(weight_decay=0.5)
    assert optimiser.step([("w", parameter)], 0.25)
    np.testing.assert_array_equal(parameter.value, np.float32(1 - 0.125))


def test_a_bad_gradient_leaves_adamw_as_it_was():
    parameter, optimiser = Parameter(np.ones(2, np.float32)), AdamW()
    parameter.gradient[1] = np.inf
    assert not optimiser.step([("w", parameter)], 0.1)
    assert optimiser.steps == 0 and optimiser.moments == {} and (parameter.value == 1).all()


def test_the_scale_doubles_after_good_steps_in_a_row_up_to_a_limit():
    scale = LossScale(2.0**23, growth_steps=3)
    history = []
    for finite in (True, True, False, True, True, True, True, True, True, True, True, True):
        scale.record(finite=finite)
        history.append(np.log2(scale.scale))
    assert history == [23, 23, 22, 22, 22, 23, 23, 23, 24, 24, 24, 24]


def test_a_scale_that_halves_for_ever_is_an_error():
    scale = LossScale(2.0**-24)
    with pytest.raises(InputError, match="training diverged: gradients are not finite at any loss scale"):
        scale.record(finite=False)


@pytest.mark.parametrize("arguments, message", [({"momentum": 1.0}, "momentum"), ({"weight_decay": -1.0}, "weight_decay")])
def test_constants_out_of_range(arguments, message):
    with pytest.raises(InputError, match=message):
        Sgd(**arguments)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_and_its_gradient(smoothing):
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((4, 5)), np.array([0, 3, 4, 1])
    loss, gradient = cross_entropy(logits, labels, smoothing)
    softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    target = (1 - smoothing) * np.eye(5)[labels] + smoothing / 5
    assert loss == pytest.approx(-(target * np.log(softmax)).sum(1).mean())
    slopes = np.zeros_like(logits)
    for where in np.ndindex(logits.shape):
        step = np.zeros_like(logits)
        step[where] = 1e-6
        above, below = (cross_entropy(logits + change, labels, smoothing)[0] for change in (step, -step))
        slopes[where] = (above - below) / 2e-6
    np.testing.assert_allclose(gradient, slopes, atol=1e-8)


def test_a_smoothed_target_is_less_on_the_right_class_and_some_on_each():
    """A tenth over five classes: 0.02 on each, and 0.9 more on the right one; a row is 1 in all."""
    found = targets(np.array([3, 0]), 5, 0.1)
    np.testing.assert_allclose(found, [[0.02, 0.02, 0.02, 0.92, 0.02], [0.92, 0.02, 0.02, 0.02, 0.02]], rtol=1e-12)
    assert targets(np.array([3, 0]), 5).tolist() == [[0, 0, 0, 1, 0], [1, 0, 0, 0, 0]]


def test_cross_entropy_of_the_largest_binary16_logits_is_finite():
    loss, gradient = cross_entropy(np.array([[65504, -65504]], np.float16), np.array([1]))
    assert loss == 131008 and gradient.tolist() == [[1, -1]]
