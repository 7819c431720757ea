"""The scalar functions as mathematics has them, for arithmetic that is not the accelerator's; see `training.functions`."""

from collections.abc import Callable
from math import pi, sqrt

import numpy as np

from hw.isa.functions import Function
from training.numbers import Array


def true_function(function: Function, values: Array) -> Array:
    """Each of `values` through the function, in their own precision but for the last digits."""
    with np.errstate(all="ignore"):
        return _FUNCTIONS[function](values).astype(values.dtype, copy=False)


def _normal(x: Array) -> Array:
    from scipy.special import ndtr

    return ndtr(x)


def _gelu_slope(x: Array) -> Array:
    return _normal(x) + x * np.exp(x * x * x.dtype.type(-0.5)) * x.dtype.type(1 / sqrt(2 * pi))


def _sigmoid(x: Array) -> Array:
    from scipy.special import expit

    return expit(x)


def _silu_slope(x: Array) -> Array:
    below = _sigmoid(x)
    return below * (1 + x * (1 - below))


def _normal_tanh(x: Array) -> Array:
    return _sigmoid(x.dtype.type(sqrt(8 / pi)) * (x + x.dtype.type(0.044715) * x * x * x))


def _gelu_tanh_slope(x: Array) -> Array:
    below, real = _normal_tanh(x), x.dtype.type
    return below + x * below * (1 - below) * real(sqrt(8 / pi)) * (1 + real(3 * 0.044715) * x * x)


_FUNCTIONS: dict[Function, Callable[[Array], Array]] = {
    Function.NONE: lambda x: x,
    Function.RECIPROCAL: lambda x: 1 / x,
    Function.RECIPROCAL_ROOT: lambda x: 1 / np.sqrt(x),
    Function.EXP2: np.exp2,
    Function.LOG2: np.log2,
    Function.NORMAL: _normal,
    Function.GELU_SLOPE: _gelu_slope,
    Function.NORMAL_TANH: _normal_tanh,
    Function.GELU_TANH_SLOPE: _gelu_tanh_slope,
    Function.SIGMOID: _sigmoid,
    Function.SILU_SLOPE: _silu_slope,
}
