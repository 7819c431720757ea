"""What a layer does besides its derivative."""

import numpy as np
import pytest
from one_layer import build, layer

from dataflow.network import BatchNorm, Layer, Relu
from hw.errors import InputError
from training.layers import module_type
from training.layers.dropout import Dropout
from training.layers.module import Pass


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
