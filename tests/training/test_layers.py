"""Every layer's explicit derivative against central differences in binary64."""

import numpy as np
import pytest
from float64_backend import Float64Backend

from dataflow.axes import Axis, AxisPool
from dataflow.network import INPUT, Add, BatchNorm, Conv, Flatten, GlobalPool, Layer, Linear, MaxPool, Network, Relu
from dataflow.rearrange import Concat, Reshape, Slice, Transpose
from dataflow.tokens import Activation, Embed, LayerNorm, MatMul, Select, Softmax
from hw.errors import InputError
from hw.ratio import DENSE
from training.layers import module_type
from training.layers.dropout import Dropout
from training.layers.module import Pass
from training.layers.weighted import Weighted
from training.methods.dense import Dense
from training.methods.site import Site
from training.model import Model

STEP = 1e-6


def layer(layer_type, name="layer", inputs=(INPUT,), **fields):
    return layer_type(name=name, inputs=inputs, **fields)


CASES = {
    "linear": ((5,), layer(Linear, out_features=3)),
    "linear-tokens": ((4, 5), layer(Linear, out_features=3, bias=False)),
    "conv": ((5, 6, 3), layer(Conv, out_channels=4, kernel=3, padding=1, bias=True)),
    "conv-stride": ((7, 6, 2), layer(Conv, out_channels=3, kernel=3, stride=2, padding=1)),
    "conv-dilation": ((7, 7, 2), layer(Conv, out_channels=3, kernel=3, dilation=2, padding=1)),
    "conv-stride-dilation": ((9, 8, 2), layer(Conv, out_channels=3, kernel=3, stride=3, dilation=2, padding=2)),
    "conv-stride-2-dilation-2": ((9, 8, 2), layer(Conv, out_channels=3, kernel=3, stride=2, dilation=2, padding=1)),
    "conv-groups": ((4, 4, 6), layer(Conv, out_channels=4, kernel=3, padding=1, groups=2, bias=True)),
    "conv-depthwise-stride": ((5, 5, 3), layer(Conv, out_channels=3, kernel=3, stride=2, padding=1, groups=3)),
    "conv-skipped-pixels": ((6, 5, 2), layer(Conv, out_channels=3, kernel=1, stride=2)),
    "batch-norm": ((3, 4, 2), layer(BatchNorm)),
    "batch-norm-vector": ((4,), layer(BatchNorm)),
    "relu": ((4, 3), layer(Relu)),
    "max-pool": ((6, 4, 2), layer(MaxPool, kernel=2, stride=2)),
    "max-pool-overlap": ((7, 6, 2), layer(MaxPool, kernel=3, stride=2, padding=1)),
    "max-pool-remainder": ((7, 5, 2), layer(MaxPool, kernel=2, stride=3)),
    "global-mean": ((3, 4, 2), layer(GlobalPool)),
    "global-max": ((3, 4, 2), layer(GlobalPool, kind="max")),
    "mean-pool": ((6, 7, 2), layer(AxisPool, axes=(Axis(3, 2, 1, 1), Axis(2, 1, 0, 1)), kind="mean")),
    "mean-pool-ceil": ((6, 5, 2), layer(AxisPool, axes=(Axis(3, 2), Axis(2, 2)), kind="mean", ceil=True)),
    "axis-max-pool": ((6, 7, 2), layer(AxisPool, axes=(Axis(3, 2, 1, 0), Axis(2, 1, 0, 1)))),
    "layer-norm": ((3, 5), layer(LayerNorm)),
    "softmax": ((3, 5), layer(Softmax)),
    "gelu": ((3, 5), layer(Activation)),
    "embed": ((2, 3, 4), layer(Embed)),
    "select": ((3, 4), layer(Select, index=1)),
    "slice": ((3, 6), layer(Slice, axis=1, start=2, size=3)),
    "reshape": ((3, 6), layer(Reshape, shape=(2, 9))),
    "transpose": ((3, 4, 2), layer(Transpose, axes=(2, 0, 1))),
    "matmul-itself": ((2, 3, 3), layer(MatMul, inputs=(INPUT, INPUT))),
    "matmul-transposed": ((2, 3, 4), layer(MatMul, inputs=(INPUT, INPUT), transposed=True)),
    "concat": ((2, 3, 4), layer(Concat, inputs=(INPUT, INPUT))),
    "flatten": ((3, 2, 2), layer(Flatten)),
}


def build(shape, tested, rng):
    network = Network(name="one", input_shape=shape, layers=(tested,))
    of = network.weight_shape(tested) if isinstance(tested, (Conv, Linear)) else shape
    return module_type(tested)(tested, Float64Backend(), of, rng)


def differences(function, array):
    """Central differences of a scalar function with respect to every element of `array`, changed in place."""
    slopes = np.zeros_like(array)
    for where in np.ndindex(array.shape):
        kept = array[where]
        array[where] = kept + STEP
        above = function()
        array[where] = kept - STEP
        slopes[where] = (above - function()) / (2 * STEP)
        array[where] = kept
    return slopes


@pytest.mark.parametrize("case", CASES)
def test_gradients_equal_central_differences(case):
    shape, tested = CASES[case]
    rng = np.random.default_rng(0)
    module = build(shape, tested, rng)
    for parameter in module.parameters.values():
        parameter.value = rng.standard_normal(parameter.value.shape)
    images = rng.standard_normal((3, *shape))
    how = Pass(training=True)

    def run():
        if isinstance(module, Weighted):
            module.prepare(Dense(), Site(DENSE))
        return module.forward(*[images] * len(tested.inputs), how=how)

    seed = rng.standard_normal(run().shape)
    gradient = sum(module.backward(seed, how))
    analytic = {"input": gradient} | {name: parameter.gradient for name, parameter in module.parameters.items()}
    arrays = {"input": images} | {name: parameter.value for name, parameter in module.parameters.items()}
    for name, array in arrays.items():
        assert analytic[name].shape == array.shape
        np.testing.assert_allclose(analytic[name], differences(lambda: (run() * seed).sum(), array), rtol=1e-6, atol=1e-7)


def test_a_residual_network_end_to_end():
    """Two readers of one tensor: their gradients add."""
    layers = (
        layer(Conv, "first", out_channels=2, kernel=3, padding=1),
        layer(BatchNorm, "norm", ("first",)),
        layer(Relu, "relu", ("norm",)),
        layer(Conv, "second", ("relu",), out_channels=2, kernel=3, padding=1),
        layer(Add, "sum", ("second", "relu")),
        layer(GlobalPool, "pool", ("sum",)),
        layer(Linear, "fc", ("pool",), out_features=3),
    )
    network = Network(name="residual", input_shape=(4, 4, 1), layers=layers)
    rng = np.random.default_rng(1)
    model = Model(network, Float64Backend(), rng)
    images = rng.standard_normal((3, 4, 4, 1))
    how = Pass(training=True)

    def run():
        model.prepare()
        return model.forward(images, how)

    seed = rng.standard_normal(run().shape)
    model.backward(seed, how)
    for _, parameter in model.parameters():
        slopes = differences(lambda: (run() * seed).sum(), parameter.value)
        np.testing.assert_allclose(parameter.gradient, slopes, rtol=1e-5, atol=1e-7)


def test_batch_norm_statistics_follow_and_serve():
    module = build((4, 4, 2), layer(BatchNorm, momentum=1.0), np.random.default_rng(0))
    images = np.random.default_rng(2).standard_normal((8, 4, 4, 2)) * 3 + 1
    module.forward(images, how=Pass(training=True))
    np.testing.assert_allclose(module.statistics["mean"], images.mean((0, 1, 2)))
    np.testing.assert_allclose(module.statistics["variance"], images.var((0, 1, 2), ddof=1))
    expected = (images - images.mean((0, 1, 2))) / np.sqrt(images.var((0, 1, 2), ddof=1) + 1e-5)
    np.testing.assert_allclose(module.forward(images, how=Pass()), expected)


def test_relu_makes_positive_zeros_and_passes_nan():
    module = build((4,), layer(Relu), np.random.default_rng(0))
    inputs = np.array([[-1, -0.0, np.nan, 2]])
    output = module.forward(inputs, how=Pass())
    assert not np.signbit(output[0, :2]).any() and np.isnan(output[0, 2]) and output[0, 3] == 2
    assert not np.signbit(module.backward(np.full((1, 4), -1.0), Pass())[0][0, :2]).any()


def test_dropout_drops_in_training_alone_and_keeps_the_mean():
    module = build((1000,), layer(Dropout, rate=0.25), np.random.default_rng(0))
    ones = np.ones((10, 1000))
    output = module.forward(ones, how=Pass(training=True))
    assert set(np.unique(output)) == {0, 1 / 0.75}
    assert output.mean() == pytest.approx(1, abs=5 * np.sqrt(0.25 / 0.75 / output.size))
    np.testing.assert_array_equal(module.backward(ones, Pass(training=True))[0], output)
    np.testing.assert_array_equal(module.forward(ones, how=Pass()), ones)


def test_an_unknown_layer_is_refused():
    with pytest.raises(InputError, match=r"layer 'layer': Layer cannot be trained; allowed: Activation, Add, AxisPool"):
        module_type(layer(Layer))
