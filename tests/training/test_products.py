"""The three products of a layer in the order and with the padding that the hardware program has, scalar by scalar."""

import numpy as np
import pytest

from dataflow.network import INPUT, Conv, Linear, Network
from hw.formats import BINARY16
from hw.ratio import DENSE, Ratio
from training.backend import ExactBackend, FastBackend
from training.layers import module_type
from training.layers.module import Pass
from training.methods.bdwp import Bdwp
from training.methods.site import Site
from training.nm import select
from training.numbers import to_storage

RATIO = Ratio(2, 4)


def accumulate(pairs):
    """One binary32 accumulator from +0 over (weight, activation) pairs in order."""
    total = np.float32(0)
    for weight, activation in pairs:
        total = total + np.float32(weight) * np.float32(activation)
    return total


def build(tested, shape, ratio, seed=0):
    rng = np.random.default_rng(seed)
    network = Network(name="one", input_shape=shape, layers=(tested,))
    module = module_type(tested)(tested, ExactBackend(), network.weight_shape(tested), rng)
    module.prepare(Bdwp(), Site(ratio))
    images = to_storage(rng.standard_normal((2, *shape)), BINARY16)
    capture = {}
    module.forward(images, how=Pass(training=True, capture=capture))
    gradient = to_storage(rng.standard_normal(capture[f"{tested.name}.output"].shape), BINARY16)
    module.backward(gradient, Pass(training=True, capture=capture))
    return capture


def naive_conv(layer, images, weights, gradient):
    """The products of a convolution by loops over single elements; `weights` are masked (forward, backward)."""
    pairs_out = {where: [] for where in np.ndindex(gradient.shape)}
    pairs_in = {where: [] for where in np.ndindex(images.shape)}
    pairs_weight = {where: [] for where in np.ndindex(weights[0].shape)}
    height, width = images.shape[1:3]
    share_in, share_out = images.shape[-1] // layer.groups, gradient.shape[-1] // layer.groups
    taps = list(np.ndindex(layer.kernel, layer.kernel))
    for sample, row, column in np.ndindex(*gradient.shape[:3]):
        for tap_row, tap_column in taps:
            y = row * layer.stride + tap_row * layer.dilation - layer.padding
            x = column * layer.stride + tap_column * layer.dilation - layer.padding
            if not (0 <= y < height and 0 <= x < width):
                continue
            for output in range(gradient.shape[-1]):
                for channel in range(share_in):
                    source = (sample, y, x, output // share_out * share_in + channel)
                    weight = (output, tap_row, tap_column, channel)
                    here = (sample, row, column, output)
                    pairs_out[here].append((weights[0][weight], images[source]))
                    pairs_weight[weight].append((gradient[here], images[source]))
                    pairs_in[source].append(((tap_row, tap_column, output), weights[1][weight], gradient[here]))
    out = {where: accumulate(pairs) for where, pairs in pairs_out.items()}
    weight = {where: accumulate(pairs) for where, pairs in pairs_weight.items()}
    into = {where: accumulate(pair[1:] for pair in sorted(pairs, key=lambda p: p[0])) for where, pairs in pairs_in.items()}
    return out, into, weight


def equal_bits(array, expected):
    for where, value in expected.items():
        assert array[where].tobytes() == np.float32(value).tobytes(), (where, array[where], value)


@pytest.mark.parametrize("ratio", [DENSE, RATIO], ids=str)
@pytest.mark.parametrize(
    "shape, fields",
    [
        ((4, 5, 6), {"out_channels": 5, "kernel": 3, "padding": 1}),
        ((6, 5, 3), {"out_channels": 6, "kernel": 3, "padding": 1, "stride": 2}),
        ((6, 5, 3), {"out_channels": 6, "kernel": 1, "stride": 2}),
        ((7, 6, 4), {"out_channels": 4, "kernel": 3, "dilation": 2, "padding": 2, "stride": 3}),
        ((3, 4, 12), {"out_channels": 10, "kernel": 3, "padding": 1, "groups": 2}),
    ],
)
def test_convolution(shape, fields, ratio):
    layer = Conv(name="L", inputs=(INPUT,), **fields)
    capture = build(layer, shape, ratio)
    weight = rows_first(capture["L.weight"])
    capture["L.weight_gradient"] = rows_first(capture["L.weight_gradient"])
    grouped = weight.reshape(layer.groups, -1, *weight.shape[1:])
    forward = np.where(select(weight, ratio), weight, 0)
    backward = np.where(select(grouped, ratio, axis=1), grouped, 0).reshape(weight.shape)
    expected = naive_conv(layer, capture["L.input"], (forward, backward), capture["L.output_gradient"])
    for name, values in zip(("output", "input_gradient", "weight_gradient"), expected, strict=True):
        assert capture[f"L.{name}"].dtype == np.float32
        assert capture[f"L.{name}"].size == len(values)
        equal_bits(capture[f"L.{name}"], values)


@pytest.mark.parametrize("ratio", [DENSE, RATIO], ids=str)
def test_linear(ratio):
    layer = Linear(name="L", inputs=(INPUT,), out_features=6)
    capture = build(layer, (3, 10), ratio)
    stored = rows_first(capture["L.weight"])
    weight = stored.astype(np.float32)
    masked = [np.where(select(stored, ratio, axis), weight, 0) for axis in (1, 0)]
    inputs, gradient = capture["L.input"].reshape(6, 10), capture["L.output_gradient"].reshape(6, 6)

    def matrix(name):
        array = capture[f"L.{name}"]
        return array.reshape(-1, array.shape[-1])

    for row, column in np.ndindex(6, 6):
        assert matrix("output")[row, column] == accumulate(zip(masked[0][column], inputs[row], strict=True))
    for row, column in np.ndindex(6, 10):
        assert matrix("input_gradient")[row, column] == accumulate(zip(masked[1][:, column], gradient[row], strict=True))
        assert matrix("weight_gradient")[column, row] == accumulate(zip(gradient[:, row], inputs[:, column], strict=True))


def rows_first(array):
    """As the layer itself has it, of what is stored with rows last."""
    return np.moveaxis(array, -1, 0)


def test_packed_shapes_of_the_contract():
    conv = build(Conv(name="L", inputs=(INPUT,), out_channels=5, kernel=3), (5, 5, 9), RATIO)
    assert conv["L.weight"].shape == (3, 3, 9, 5)
    assert conv["L.weight_forward"].values.shape == conv["L.weight_forward"].indices.shape == (3, 3, 3, 2, 5)
    assert conv["L.weight_backward"].values.shape == (3, 3, 2, 2, 9)
    linear = build(Linear(name="L", inputs=(INPUT,), out_features=6), (10,), RATIO)
    assert linear["L.weight"].shape == (10, 6)
    assert linear["L.weight_forward"].values.shape == (3, 2, 6)
    assert linear["L.weight_backward"].values.shape == (2, 2, 10)


def test_threads_change_no_bits():
    """A batch whose windows need several parts, in one thread and in three."""
    layer = Conv(name="c", inputs=(INPUT,), out_channels=32, kernel=3, padding=1)
    rng = np.random.default_rng(0)
    images, gradient = (rng.standard_normal((24, 16, 16, 64 if first else 32)).astype(np.float16) for first in (True, False))
    results = []
    for threads in (1, 3):
        module = module_type(layer)(layer, FastBackend(threads=threads), (32, 3, 3, 64), np.random.default_rng(1))
        module.backend.window_bytes = 1 << 20
        module.prepare(Bdwp(), Site(RATIO))
        output = module.forward(images, how=Pass(training=True))
        results.append((output, *module.backward(gradient, Pass(training=True)), module.weight.gradient))
    assert all(one.tobytes() == other.tobytes() for one, other in zip(*results, strict=True))
