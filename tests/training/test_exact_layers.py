"""Layers between products: exact mode against binary64, within bounds of what rounds where; and scalar against scalar.

An operation in binary32 is wrong by a relative ``U``, a function by ``F``, what is stored by ``H`` or, if subnormal, ``TINY``.
"""

import numpy as np
import pytest
from float64_backend import Float64Backend
from one_layer import layer

from dataflow import axes, network, tokens
from training.backend import ExactBackend, FastBackend
from training.layers import module_type
from training.layers.module import Pass

U, F, H, TINY = 2.0**-24, 2.0**-20, 2.0**-11, 2.0**-25
SHAPE = (6, 5, 8)
"""Pixels and channels; with four images 120 terms a channel."""

TRAINING = Pass(training=True)


def normal(shape, seed, *, mean=0.5):
    return (np.random.default_rng(seed).normal(size=shape) + mean).astype(np.float16)


def pair(tested, shape, backends=(ExactBackend, Float64Backend)):
    """The layer twice, with the same parameters, which are not those of the start."""
    modules = [module_type(tested)(tested, backend(), shape, np.random.default_rng(0)) for backend in backends]
    for name, parameter in modules[0].parameters.items():
        drawn = np.random.default_rng(len(name)).normal(size=parameter.value.shape).astype(np.float32)
        for module in modules:
            module.parameters[name].value = drawn.astype(module.backend.wide)
    return modules


def run(module, inputs, gradient):
    """Output, input gradient, gradients of parameters, in binary64."""
    output = module.forward(inputs, how=TRAINING)
    (back,) = module.backward(gradient, TRAINING)
    found = {"output": output, "input gradient": back}
    return {name: value.astype(np.float64) for name, value in (found | gradients(module)).items()}


def gradients(module):
    return {name: parameter.gradient for name, parameter in module.parameters.items()}


def within(got, due, bounds):
    for name, bound in bounds.items():
        apart = np.abs(got[name] - due[name])
        assert (apart <= bound).all(), (name, (apart / bound).max())
        assert (bound <= 0.02 * np.abs(due[name]).max() + TINY).all(), name  # a bound that says something


def normalised(x, gradient, mean, deviation, scale, shift, adds, stored):
    """Bounds of a normalisation over n terms, each of which meets so many additions.

    The mean is wrong by (adds + 2) U of the terms' mean magnitude, the variance by as much and three roundings of each square,
    and by the square of the mean's error; its root by half of that and F. A line a x + b with b = shift - mean · a is then
    wrong by the factor's relative error on all of |a| (|x| + |mean|), by three roundings, and by the mean's error.
    """
    lost = (adds + 2) * U * np.abs(x).mean()
    root = (adds + 6) / 2 * U + (lost / deviation) ** 2 + F + 2 * U
    spread = (np.abs(x) + np.abs(mean)) / deviation
    unit = spread * (root + 4 * U) + 2 * lost / deviation + stored * H * np.abs((x - mean) / deviation)
    return unit, root, np.abs(scale) * unit + 3 * U * np.abs(shift)


def test_batch_norm():
    images, gradient = normal((4, *SHAPE), 1), normal((4, *SHAPE), 2, mean=0)
    exact, wide = pair(layer(network.BatchNorm), SHAPE)
    got, due = run(exact, images, gradient), run(wide, images.astype(float), gradient.astype(float))
    x, g = images.astype(float), gradient.astype(float)
    terms, adds = 4 * 30, -(-4 * 30 // 16) + 4
    mean, deviation = x.mean((0, 1, 2)), np.sqrt(x.var((0, 1, 2)) + 1e-5)
    scale, shift = (wide.parameters[name].value for name in ("scale", "shift"))
    unit, root, line = normalised(x, g, mean, deviation, scale, shift, adds, 0)
    sums = {"shift": adds * U * np.abs(g).sum((0, 1, 2))}
    sums["scale"] = (np.abs(g) * unit).sum((0, 1, 2)) + (adds + 1) * U * np.abs(g * (x - mean) / deviation).sum((0, 1, 2))
    within(got, due, sums)
    factor, normal_x = np.abs(scale) / deviation, np.abs(x - mean) / deviation
    parts = np.abs(g) + np.abs(due["shift"]) / terms + (np.abs(x) + np.abs(mean)) / deviation * np.abs(due["scale"]) / terms
    back = factor * (parts * (2 * root + 8 * U) + sums["shift"] / terms + normal_x * sums["scale"] / terms)
    back += factor * unit * np.abs(due["scale"]) / terms
    within(got, due, {"output": line + H * np.abs(due["output"]) + TINY})
    within(got, due, {"input gradient": back + H * (np.abs(due["input gradient"]) + back) + TINY})
    for name, value in exact.statistics.items():
        np.testing.assert_allclose(value, wide.statistics[name], rtol=1e-5)


def test_layer_norm():
    """What is normalised is stored, and so is its gradient: H more of each."""
    length, rows = 37, normal((4, 5, 37), 1)
    gradient = normal(rows.shape, 2, mean=0)
    exact, wide = pair(layer(tokens.LayerNorm), (5, length))
    got, due = run(exact, rows, gradient), run(wide, rows.astype(float), gradient.astype(float))
    x, g, adds = rows.astype(float), gradient.astype(float), 6  # rounds of pairs
    mean, deviation = x.mean(-1, keepdims=True), np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    scale, shift = (wide.parameters[name].value for name in ("scale", "shift"))
    unit, root, line = normalised(x, g, mean, deviation, scale, shift, adds, 1)
    unit, line = unit + TINY, line + TINY * np.abs(scale)
    channel = -(-20 // 16) + 4
    sums = {"shift": channel * U * np.abs(g).sum((0, 1))}
    normal_x = np.abs(x - mean) / deviation
    sums["scale"] = (np.abs(g) * unit).sum((0, 1)) + (channel + 1) * U * (np.abs(g) * normal_x).sum((0, 1))
    within(got, due, sums)
    h = np.abs(g * scale)
    wrong = h * (H + U) + TINY
    product = (normal_x * h).mean(-1, keepdims=True)
    turned = (normal_x * wrong + h * unit).mean(-1, keepdims=True) + (adds + 3) * U * product
    levelled = wrong.mean(-1, keepdims=True) + (adds + 2) * U * h.mean(-1, keepdims=True)
    back = (wrong + levelled + normal_x * turned + unit * product) / deviation
    back += (h + h.mean(-1, keepdims=True) + normal_x * product) / deviation * (root + 6 * U)
    within(got, due, {"output": line + H * np.abs(due["output"]) + TINY})
    within(got, due, {"input gradient": back + H * (np.abs(due["input gradient"]) + back) + TINY})


def test_softmax():
    """exp2 of x log2 e - max log2 e: three roundings of |x| + |max|; then F, the sum's additions, F of its reciprocal."""
    rows, gradient = normal((3, 4, 21), 1) * np.float16(4), normal((3, 4, 21), 2)
    exact, wide = pair(layer(tokens.Softmax), (4, 21))
    got, due = run(exact, rows, gradient), run(wide, rows.astype(float), gradient.astype(float))
    largest = (np.abs(rows) + np.abs(rows).max(-1, keepdims=True)).astype(float)
    power = largest * 4 * U + F
    relative = power + power.max(-1, keepdims=True) + 5 * U + F + 2 * U
    output = due["output"] * (relative + H * (1 + relative)) + TINY
    within(got, due, {"output": output})
    g, y = np.abs(gradient.astype(float)), due["output"]
    mean = (g * output).sum(-1, keepdims=True) + 7 * U * (g * y).sum(-1, keepdims=True)
    centred = np.abs(g) + (g * y).sum(-1, keepdims=True)
    back = y * (mean + 2 * U * centred) + output * centred
    within(got, due, {"input gradient": back * (1 + H) + H * np.abs(due["input gradient"]) + TINY})


@pytest.mark.parametrize("kind", ["gelu", "gelu_tanh", "silu"])
def test_activations(kind):
    """Below an ulp of binary16, see `test_functions`; the slope, as near, times a gradient."""
    values, gradient = normal((4, 500), 1) * np.float16(3), normal((4, 500), 2, mean=0)
    exact, wide = pair(layer(tokens.Activation, kind=kind), (500,))
    got, due = run(exact, values, gradient), run(wide, values.astype(float), gradient.astype(float))
    ulp = 2.0 ** (np.floor(np.log2(np.maximum(np.abs(due["output"]), 2.0**-14))) - 10)
    within(got, due, {"output": ulp, "input gradient": 2 * H * np.abs(due["input gradient"]) + TINY})


@pytest.mark.parametrize(
    "pool",
    [
        layer(network.GlobalPool, kind="mean"),
        layer(axes.AxisPool, kind="mean", axes=(axes.Axis(3, 2, 1, 1), axes.Axis(2, 1, 0, 0))),
    ],
    ids=["global", "windows"],
)
def test_means(pool):
    images = normal((4, *SHAPE), 1)
    exact, wide = pair(pool, SHAPE)
    outputs = [module.forward(images.astype(kind), how=TRAINING) for module, kind in ((exact, np.float16), (wide, float))]
    terms = np.abs(outputs[1]) + 1
    assert (np.abs(outputs[0] - outputs[1]) <= H * np.abs(outputs[1]) + 40 * U * terms * 3).all()


@pytest.mark.parametrize("tested, shape", [(layer(network.BatchNorm), SHAPE), (layer(tokens.LayerNorm), (5, 37))])
def test_fast_mode_is_as_near(tested, shape):
    """Both modes store what is within F and a few roundings of the same number: by an ulp apart, some."""
    images, gradient = normal((4, *shape), 3), normal((4, *shape), 4, mean=0)
    exact, fast = pair(tested, shape, (ExactBackend, FastBackend))
    got, due = run(exact, images, gradient), run(fast, images, gradient)
    for name in got:
        assert np.abs(got[name] - due[name]).max() <= 4 * H * np.abs(due[name]).max()
    assert (got["output"] == due["output"]).mean() > 0.99
