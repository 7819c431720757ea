"""Every layer's explicit derivative against central differences in binary64, over random shapes and parameters."""

import numpy as np
import pytest
from float64_backend import Float64Backend
from hypothesis import given, settings
from hypothesis import strategies as st
from one_layer import build, layer

from dataflow import network, rearrange, tokens
from dataflow.axes import Axis, AxisPool
from dataflow.network import INPUT, Network
from hw.ratio import DENSE
from training.layers import MODULES
from training.layers.dropout import Dropout
from training.layers.module import Pass
from training.layers.weighted import Weighted
from training.loss import cross_entropy
from training.methods.dense import Dense
from training.methods.site import Site
from training.model import Model

STEP = 1e-6
TRAINING = Pass(training=True)
checked = settings(max_examples=40, deadline=None, derandomize=True)
small = st.integers(1, 4)
shapes = st.lists(small, min_size=1, max_size=3).map(tuple)
lengths = st.integers(2, 5)
"""Of axes over which a variance is taken: that of one element has no slope to measure."""


def of(layer_type, shape=shapes, **fields):
    """Strategy of an input's shape and a layer of that type."""
    return st.tuples(shape, st.fixed_dictionaries(fields).map(lambda drawn: layer(layer_type, **drawn)))


@st.composite
def convolutions(draw):
    kernel, dilation, groups = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    padding, stride = draw(st.integers(0, 3)), draw(st.integers(1, 3))
    least = max(dilation * (kernel - 1) + 1 - 2 * padding, 1)
    shape = (draw(st.integers(least, least + 3)), draw(st.integers(least, least + 3)), groups * draw(st.integers(1, 2)))
    fields = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return shape, layer(network.Conv, out_channels=groups * draw(st.integers(1, 2)), bias=draw(st.booleans()), **fields)


@st.composite
def max_pools(draw):
    kernel, stride = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    padding = draw(st.integers(0, kernel - 1))
    height, width = (draw(st.integers(max(kernel - 2 * padding, 1), 6)) for _ in "hw")
    return (height, width, draw(small)), layer(network.MaxPool, kernel=kernel, stride=stride, padding=padding)


@st.composite
def axis_pools(draw):
    """No window lies outside the image altogether."""
    axes, sizes = [], []
    for _ in range(2):
        kernel, stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
        reach = dilation * (kernel - 1)
        before, after = draw(st.integers(0, reach)), draw(st.integers(0, reach))
        axes.append(Axis(kernel, stride, before, after, dilation))
        sizes.append(draw(st.integers(max(dilation, reach + 1 - before - after), 6)))
    kind, ceil = draw(st.sampled_from(["max", "mean"])), draw(st.booleans())
    return (*sizes, draw(st.integers(1, 2))), layer(AxisPool, axes=tuple(axes), kind=kind, ceil=ceil)


@st.composite
def parts(draw):
    shape = draw(shapes)
    axis = draw(st.integers(0, len(shape) - 1))
    start = draw(st.integers(0, shape[axis] - 1))
    return shape, layer(rearrange.Slice, axis=axis, start=start, size=draw(st.integers(1, shape[axis] - start)))


@st.composite
def products(draw):
    """Two operands of one shape, so that both sides of one network input serve."""
    lead, rows, columns = draw(st.lists(small, max_size=2)), draw(small), draw(small)
    transposed = draw(st.booleans())
    shape = (*lead, rows, columns if transposed else rows)
    scale = draw(st.sampled_from((1.0, 0.3535533905932738, -2.0)))
    return shape, layer(tokens.MatMul, inputs=(INPUT, INPUT), transposed=transposed, scale=scale)


images = st.tuples(small, small, small)
rows = st.tuples(small, lengths)
PAIR = st.just((INPUT, INPUT))
STRATEGIES = {
    network.Add: of(network.Add, inputs=PAIR),
    network.BatchNorm: of(network.BatchNorm),
    network.Conv: convolutions(),
    network.Flatten: of(network.Flatten),
    network.GlobalPool: of(network.GlobalPool, images, kind=st.sampled_from(["mean", "max"])),
    network.Linear: of(network.Linear, out_features=small, bias=st.booleans()),
    network.MaxPool: max_pools(),
    network.Relu: of(network.Relu),
    AxisPool: axis_pools(),
    rearrange.Concat: of(rearrange.Concat, images, inputs=PAIR, axis=st.integers(-3, 2)),
    rearrange.Reshape: shapes.map(lambda shape: (shape, layer(rearrange.Reshape, shape=(*shape[::-1], 1)))),
    rearrange.Slice: parts(),
    rearrange.Transpose: of(rearrange.Transpose, images, axes=st.permutations(range(3)).map(tuple)),
    tokens.Activation: of(tokens.Activation),
    tokens.Embed: of(tokens.Embed, st.one_of(images, rows)),
    tokens.LayerNorm: of(tokens.LayerNorm, rows),
    tokens.MatMul: products(),
    tokens.Select: shapes.filter(lambda shape: len(shape) > 1).flatmap(
        lambda shape: st.integers(0, shape[0] - 1).map(lambda index: (shape, layer(tokens.Select, index=index)))
    ),
    tokens.Softmax: of(tokens.Softmax),
    Dropout: of(Dropout, rate=st.floats(0, 0.9)),
}


def spread(shape, rng):
    """Numbers within ±2 in random order, so far from each other and from zero that no step passes a kink."""
    size = int(np.prod(shape))
    return ((rng.permutation(size) + 0.25) * 4 / size - 2).reshape(shape)


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


def check(gradient, function, array):
    assert gradient.shape == array.shape
    np.testing.assert_allclose(gradient, differences(function, array), rtol=1e-6, atol=1e-7)


def test_every_layer_has_a_strategy():
    assert set(STRATEGIES) == set(MODULES)


@pytest.mark.parametrize("layer_type", STRATEGIES, ids=lambda layer_type: layer_type.__name__)
@checked
@given(data=st.data(), batch=st.integers(2, 3), seed=st.integers(0, 2**32 - 1))
def test_gradients_equal_central_differences(layer_type, data, batch, seed):
    shape, tested = data.draw(STRATEGIES[layer_type])
    rng = np.random.default_rng(seed)
    module = build(shape, tested, rng)
    for parameter in module.parameters.values():
        parameter.value = rng.standard_normal(parameter.value.shape)
    inputs = [spread((batch, *shape), rng) for _ in tested.inputs]

    def run():
        if isinstance(module, Weighted):
            module.prepare(Dense(), Site(DENSE))
        if module.rng is not None:
            module.rng = np.random.default_rng(seed)
        return module.forward(*inputs, how=TRAINING)

    towards = rng.standard_normal(run().shape)
    gradients = module.backward(towards, TRAINING)
    learned = [(parameter.gradient, parameter.value) for parameter in module.parameters.values()]
    for gradient, array in [*zip(gradients, inputs, strict=True), *learned]:
        check(gradient, lambda: (run() * towards).sum(), array)


@checked
@given(batch=small, classes=lengths, smoothing=st.floats(0, 0.9), seed=st.integers(0, 2**32 - 1))
def test_the_loss_s_gradient(batch, classes, smoothing, seed):
    rng = np.random.default_rng(seed)
    logits, labels = rng.standard_normal((batch, classes)), rng.integers(classes, size=batch)
    check(cross_entropy(logits, labels, smoothing)[1], lambda: cross_entropy(logits, labels, smoothing)[0], logits)


def residual():
    """Two readers of one tensor: their gradients add."""
    return (
        layer(network.Conv, "first", out_channels=2, kernel=3, padding=1),
        layer(network.BatchNorm, "norm", ("first",)),
        layer(tokens.Activation, "gelu", ("norm",)),
        layer(network.Conv, "second", ("gelu",), out_channels=2, kernel=3, padding=1),
        layer(network.Add, "sum", ("second", "gelu")),
        layer(network.GlobalPool, "pool", ("sum",)),
        layer(network.Linear, "fc", ("pool",), out_features=3),
    )


def attention(count, heads, width):
    """Softmax(Q K^T) V of every head, from one linear layer, around it a residual sum."""
    layers = [layer(network.Linear, "qkv", out_features=3 * heads * width)]
    for number, name in enumerate("qkv"):
        size = heads * width
        layers += [
            layer(rearrange.Slice, f"{name}.part", ("qkv",), axis=1, start=number * size, size=size),
            layer(rearrange.Reshape, f"{name}.heads", (f"{name}.part",), shape=(count, heads, width)),
            layer(rearrange.Transpose, name, (f"{name}.heads",), axes=(1, 0, 2)),
        ]
    return (
        *layers,
        layer(tokens.MatMul, "scores", ("q", "k"), transposed=True, scale=width**-0.5),
        layer(tokens.Softmax, "weights", ("scores",)),
        layer(tokens.MatMul, "mixed", ("weights", "v")),
        layer(rearrange.Transpose, "tokens", ("mixed",), axes=(1, 0, 2)),
        layer(rearrange.Reshape, "joined", ("tokens",), shape=(count, heads * width)),
        layer(network.Linear, "out", ("joined",), out_features=heads * width),
        layer(network.Add, "sum", ("out", "q.part")),
    )


def check_network(shape, layers, seed):
    rng = np.random.default_rng(seed)
    model = Model(Network(name="several", input_shape=shape, layers=layers), Float64Backend(), rng)
    samples = rng.standard_normal((2, *shape))

    def run():
        model.prepare()
        return model.forward(samples, TRAINING)

    towards = rng.standard_normal(run().shape)
    model.backward(towards, TRAINING)
    for _, parameter in model.parameters():
        check(parameter.gradient, lambda: (run() * towards).sum(), parameter.value)


@settings(checked, max_examples=5)
@given(shape=st.tuples(lengths, lengths, st.integers(1, 2)), seed=st.integers(0, 2**32 - 1))
def test_a_residual_network_end_to_end(shape, seed):
    check_network(shape, residual(), seed)


@settings(checked, max_examples=10)
@given(count=small, heads=st.integers(1, 3), width=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
def test_attention_of_any_heads_and_tokens(count, heads, width, seed):
    check_network((count, 3), attention(count, heads, width), seed)
