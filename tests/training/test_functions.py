"""The scalar functions against the true ones, over all binary16 numbers, as passes use them: an operation in binary32 each."""

import numpy as np
import pytest
from scipy.special import erfc, expit

from hw.isa.functions import CURVES, Function, table
from training.functions import apply

HALVES = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
X, EXACT = HALVES.astype(np.float32), HALVES.astype(np.float64)
LOG2_E, LN_2 = np.float32(np.log2(np.e)), np.float32(np.log(2))
TANH = np.sqrt(8 / np.pi)


def normal(x):
    return 0.5 * erfc(-x / np.sqrt(2))


def density(x):
    return np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


def normal_tanh(x):
    return expit(TANH * (x + 0.044715 * x**3))


def tanh_slope(x):
    below = normal_tanh(x)
    return below + x * below * (1 - below) * TANH * (1 + 3 * 0.044715 * x * x)


CASES = {
    "reciprocal": (lambda x: apply(Function.RECIPROCAL, x), lambda x: 1 / x, "falls"),
    "reciprocal root": (lambda x: apply(Function.RECIPROCAL_ROOT, x), lambda x: 1 / np.sqrt(x), "falls"),
    "exp2": (lambda x: apply(Function.EXP2, x), np.exp2, "rises"),
    "exp": (lambda x: apply(Function.EXP2, x * LOG2_E), np.exp, "rises"),
    "log2": (lambda x: apply(Function.LOG2, x), np.log2, "rises"),
    "log": (lambda x: apply(Function.LOG2, x) * LN_2, np.log, "rises"),
    "normal": (lambda x: apply(Function.NORMAL, x), normal, "rises"),
    "gelu": (lambda x: apply(Function.NORMAL, x) * x, lambda x: x * normal(x), ""),
    "gelu slope": (lambda x: apply(Function.GELU_SLOPE, x), lambda x: normal(x) + x * density(x), ""),
    "normal, tanh": (lambda x: apply(Function.NORMAL_TANH, x), normal_tanh, "rises"),
    "gelu, tanh": (lambda x: apply(Function.NORMAL_TANH, x) * x, lambda x: x * normal_tanh(x), ""),
    "gelu slope, tanh": (lambda x: apply(Function.GELU_TANH_SLOPE, x), tanh_slope, ""),
    "sigmoid": (lambda x: apply(Function.SIGMOID, x), expit, "rises"),
    "silu": (lambda x: apply(Function.SIGMOID, x) * x, lambda x: x * expit(x), ""),
    "silu slope": (lambda x: apply(Function.SILU_SLOPE, x), lambda x: expit(x) * (1 + x * (1 - expit(x))), ""),
}
"""What passes do, the true function, and how it goes where it is monotone everywhere."""

ULPS = {
    "reciprocal": 0.501,
    "reciprocal root": 0.501,
    "exp2": 0.501,
    "exp": 0.501,
    "log2": 0.60,
    "log": 0.501,
    "normal": 0.62,
    "gelu": 0.66,
    "gelu slope": 0.65,
    "normal, tanh": 0.76,
    "gelu, tanh": 0.76,
    "gelu slope, tanh": 0.80,
    "sigmoid": 0.53,
    "silu": 0.53,
    "silu slope": 0.79,
}
"""The largest error in units in the last place of binary16, as `docs/blocks/functions.md` says; half of one is the rounding."""


def in_halves(function):
    with np.errstate(all="ignore"):
        return function(X).astype(np.float16).astype(np.float64)


def true_values(function):
    with np.errstate(all="ignore"):
        return function(EXACT)


@pytest.mark.parametrize("name", CASES)
def test_error_over_all_binary16(name):
    ours, true, _ = CASES[name]
    got, due = in_halves(ours), true_values(true)
    finite = np.isfinite(due) & (np.abs(due) < 65504)
    last_place = 2.0 ** (np.floor(np.log2(np.maximum(np.abs(due[finite]), 2.0**-14))) - 10)
    worst = (np.abs(got[finite] - due[finite]) / last_place).max()
    assert worst <= ULPS[name] < 1
    assert worst > 0.49  # the measure itself: roundings are half a unit


@pytest.mark.parametrize("name", [name for name, (_, _, way) in CASES.items() if way])
def test_monotone_over_all_binary16(name):
    ours, true, way = CASES[name]
    got, due = in_halves(ours), true_values(true)
    for side in (EXACT > 0, EXACT < 0) if "reciprocal" in name else (np.ones(EXACT.shape, bool),):
        kept = side & ~np.isnan(due) & np.isfinite(EXACT)
        ordered = got[kept][np.argsort(EXACT[kept], kind="stable")]
        assert (ordered[1:] >= ordered[:-1]).all() if way == "rises" else (ordered[1:] <= ordered[:-1]).all()


@pytest.mark.parametrize("name", ["gelu", "gelu, tanh", "silu"])
def test_activations_fall_to_their_minimum_and_rise_from_it(name):
    got, order = in_halves(CASES[name][0]), np.argsort(EXACT, kind="stable")
    got, finite = got[order], np.isfinite(EXACT[order])
    got = got[finite]
    lowest = got.argmin()
    assert (np.diff(got[:lowest]) <= 0).all() and (np.diff(got[lowest:]) >= 0).all()


INFINITY, NAN = np.inf, np.nan


@pytest.mark.parametrize(
    "function, argument, due",
    [
        (Function.RECIPROCAL, [0.0, -0.0, INFINITY, -INFINITY, NAN, 2.0**-149, -(2.0**127)], None),
        (Function.RECIPROCAL_ROOT, [0.0, -0.0, INFINITY, -INFINITY, NAN, -1.0, 2.0**-148], None),
        (Function.EXP2, [0.0, -INFINITY, INFINITY, NAN, 128, -149.0, -151.0, 1e30, -1e30], None),
        (Function.LOG2, [0.0, -0.0, INFINITY, -INFINITY, NAN, -1.0, 1.0, 2.0**-149], None),
        (Function.NORMAL, [-INFINITY, INFINITY, NAN, 0.0, 1e30, -1e30], [0, 1, NAN, 0.5, 1, 0]),
        (Function.SILU_SLOPE, [-INFINITY, INFINITY, NAN, 0.0], [0, 1, NAN, 0.5]),
        (Function.NONE, [-0.0, NAN, 1.5], [-0.0, NAN, 1.5]),
    ],
)
def test_special_values(function, argument, due):
    """As IEEE 754 has them, signs of zeros included; 1 / sqrt(-0) is -∞ (IEEE 754, 9.2.1)."""
    ieee = {
        Function.RECIPROCAL: lambda x: 1 / x,
        Function.RECIPROCAL_ROOT: lambda x: 1 / np.sqrt(x),
        Function.EXP2: np.exp2,
        Function.LOG2: np.log2,
    }
    with np.errstate(all="ignore"):
        wanted = ieee[function](np.array(argument)) if due is None else np.array(due)
        wanted = wanted.astype(np.float32)
    got = apply(function, np.array(argument, np.float32))
    np.testing.assert_array_equal(got, wanted)
    numbers = ~np.isnan(wanted)
    assert (np.signbit(got) == np.signbit(wanted))[numbers].all()


def test_powers_of_two_are_exact():
    exponents = np.arange(-126, 128, dtype=np.float32)
    powers = np.exp2(exponents.astype(np.float64)).astype(np.float32)
    assert np.array_equal(apply(Function.EXP2, exponents), powers)
    assert np.array_equal(apply(Function.LOG2, powers), exponents)
    assert np.array_equal(apply(Function.RECIPROCAL, powers), (1 / powers.astype(np.float64)).astype(np.float32))
    assert np.array_equal(apply(Function.RECIPROCAL_ROOT, powers[::2]) ** 2 * powers[::2], np.ones(127, np.float32))


def test_relative_error_of_binary32_arguments():
    """2**-20 and better: a parabola's 2**-22, three cut-offs, and of exp2 the argument's of 2**-22."""
    rng = np.random.default_rng(0)
    x = (np.exp2(rng.uniform(-100, 100, 20000))).astype(np.float32)
    small = rng.uniform(-100, 100, 20000).astype(np.float32)
    for function, arguments, true in (
        (Function.RECIPROCAL, x, lambda x: 1 / x),
        (Function.RECIPROCAL_ROOT, x, lambda x: 1 / np.sqrt(x)),
        (Function.EXP2, small, np.exp2),
    ):
        due = true(arguments.astype(np.float64))
        assert (np.abs(apply(function, arguments) / due - 1)).max() < 2.0**-20


def test_segments_meet():
    """Where one ends the next begins, to three units of the last place of the one that is told larger."""
    segments = table()
    for function, curve in CURVES.items():
        ends = [(one.c0 + one.c1 + (one.c2 << 4)) / 2**one.s for one in segments[curve.base : curve.base + 255]]
        starts = [one.c0 / 2**one.s for one in segments[curve.base + 1 : curve.base + 256]]
        apart = np.abs(np.subtract(ends, starts)) / 2**23
        limit = 2.0**-15 if "SLOPE" in function.name else 2.0**-23  # slopes have a segment with their zero
        assert apart.max() <= limit, function
