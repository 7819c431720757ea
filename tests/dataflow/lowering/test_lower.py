"""Products played through their views are the convolution and its gradients, by an oracle that knows nothing of views."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow import zoo
from dataflow.ir.program import Product, Stage, Update, Vector
from dataflow.ir.views import gather, scatter
from dataflow.lowering.lower import lower
from dataflow.network import INPUT, Conv, Linear, MaxPool, Network, Relu
from dataflow.scheduling.timing import tile
from hw.config import PRESETS
from hw.errors import InputError
from hw.ratio import DENSE, Ratio

TINY = PRESETS["tiny"]
BOTH = frozenset({Stage.FORWARD, Stage.INPUT_GRADIENT})


def convolution(x, w, layer):
    """Forward, tap by tap: (output, taps as (output pixels slice, input pixel coordinates))."""
    batch, height, width, _ = x.shape
    span = layer.dilation * (layer.kernel - 1)
    rows = (height + 2 * layer.padding - span - 1) // layer.stride + 1
    columns = (width + 2 * layer.padding - span - 1) // layer.stride + 1
    y = np.zeros((batch, rows, columns, w.shape[0]))
    hits = []
    for row, column, down, right in np.ndindex(rows, columns, layer.kernel, layer.kernel):
        i = row * layer.stride + down * layer.dilation - layer.padding
        j = column * layer.stride + right * layer.dilation - layer.padding
        if 0 <= i < height and 0 <= j < width:
            y[:, row, column] += x[:, i, j] @ w[:, down, right].T
            hits.append((row, column, down, right, i, j))
    return y, hits


def gradients(x, w_backward, dy, hits):
    """Input and weight gradient, each hit's contribution scattered."""
    dx, dw = np.zeros_like(x), np.zeros_like(w_backward)
    for row, column, down, right, i, j in hits:
        dx[:, i, j] += dy[:, row, column] @ w_backward[:, down, right]
        dw[:, down, right] += dy[:, row, column].T @ x[:, i, j]
    return dx, dw


def prune(w, ratio):
    """Keep the N largest of M along the last axis: (masked, values, indices), short last group padded with zeros."""
    short = -w.shape[-1] % ratio.m
    groups = np.pad(w, [(0, 0)] * (w.ndim - 1) + [(0, short)]).reshape(*w.shape[:-1], -1, ratio.m)
    indices = np.sort(np.argsort(-np.abs(groups), axis=-1, kind="stable")[..., : ratio.n], axis=-1)
    values = np.take_along_axis(groups, indices, axis=-1)
    masked = np.zeros_like(groups)
    np.put_along_axis(masked, indices, values, axis=-1)
    return masked.reshape(*w.shape[:-1], -1)[..., : w.shape[-1]], values, indices


def play(program, memory, indices):
    """Run every product in float64 through its views."""
    for product in program.products:
        weights = gather(product.weights, memory[product.weights.region])
        activations = gather(product.activations, memory[product.activations.region])
        if not product.ratio.is_dense:
            chosen = gather(product.weights, indices[product.weights.region])
            chosen = chosen + product.ratio.m * (np.arange(product.kept) // product.ratio.n)
            dense = np.zeros((product.m, product.k))
            np.put_along_axis(dense, chosen, weights, axis=1)
            weights = dense
        scatter(product.output, memory[product.output.region], weights @ activations.T)


def check(network, layer, batch, ratio, stages, seed):
    """The last layer of `network`, all of whose layers are pruned, against the oracle."""
    program = lower(network, TINY, batch=batch, ratio=ratio, sparse_stages=stages, prune_first=True, prune_last=True)
    random = np.random.default_rng(seed)
    memory = {name: random.standard_normal(region.shape) for name, region in program.regions.items()}
    indices = {}
    w = random.standard_normal(network.weight_shape(layer))
    if isinstance(layer, Linear):
        w = w[:, None, None]
    w_forward, w_backward = w, w
    if Stage.FORWARD in stages:
        w_forward, values, chosen = prune(w, ratio)
        name = f"{layer.name}.weight_forward"
        memory[name], indices[name] = (np.moveaxis(a, 0, -1).reshape(program.regions[name].shape) for a in (values, chosen))
    if Stage.INPUT_GRADIENT in stages:
        turned, values, chosen = prune(np.moveaxis(w, 0, -1), ratio)
        w_backward = np.moveaxis(turned, -1, 0)
        # (kernel, kernel, in, groups, N) to (kernel, kernel, groups, N, in)
        name = f"{layer.name}.weight_backward"
        memory[name], indices[name] = (np.moveaxis(a, 2, -1).reshape(program.regions[name].shape) for a in (values, chosen))
    if f"{layer.name}.weight" in memory:
        memory[f"{layer.name}.weight"] = np.moveaxis(w, 0, -1).reshape(program.regions[f"{layer.name}.weight"].shape)
    for name in program.cleared:
        memory[name][:] = 0
    alone = f"{layer.name}."
    only = [p for p in program.products if p.layer == layer.name]
    play(type("P", (), {"products": only}), memory, indices)

    def tensor(name):
        array = memory[alone + name]
        return array[:, None, None] if isinstance(layer, Linear) and array.ndim == 2 else array

    geometry = layer if isinstance(layer, Conv) else Conv(name="as", inputs=(INPUT,), out_channels=layer.out_features, kernel=1)
    y, hits = convolution(tensor("input"), w_forward, geometry)
    dx, dw = gradients(tensor("input"), w_backward, tensor("output_gradient"), hits)
    np.testing.assert_allclose(tensor("output"), y, atol=1e-9)
    np.testing.assert_allclose(tensor("input_gradient"), dx, atol=1e-9)
    np.testing.assert_allclose(memory[alone + "weight_gradient"].reshape(*dw.shape[1:], -1), np.moveaxis(dw, 0, -1), atol=1e-9)
    return program


@st.composite
def convolutions(draw):
    kernel, stride, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    padding = draw(st.integers(0, 3))
    least = max(1, dilation * (kernel - 1) + 1 - 2 * padding)
    height, width = draw(st.integers(least, least + 6)), draw(st.integers(least, least + 6))
    inputs, outputs = draw(st.integers(1, 10)), draw(st.integers(1, 10))
    layer = Conv(
        name="c", inputs=("one",), out_channels=outputs, kernel=kernel, stride=stride, padding=padding, dilation=dilation
    )
    before = Conv(name="one", inputs=(INPUT,), out_channels=inputs, kernel=1)
    return Network(name="net", input_shape=(height, width, 3), layers=(before, layer)), layer


@settings(max_examples=80, deadline=None)
@given(
    case=convolutions(),
    batch=st.integers(1, 3),
    ratio=st.sampled_from([DENSE, Ratio(2, 4), Ratio(2, 8), Ratio(1, 4)]),
    stages=st.sampled_from([BOTH, frozenset({Stage.FORWARD}), frozenset({Stage.INPUT_GRADIENT}), frozenset()]),
    seed=st.integers(0, 1000),
)
def test_convolution_and_gradients(case, batch, ratio, stages, seed):
    network, layer = case
    check(network, layer, batch, ratio, frozenset() if ratio.is_dense else stages, seed)


@pytest.mark.parametrize(("inputs", "outputs"), [(16, 8), (5, 3), (1, 1), (9, 17)])
@pytest.mark.parametrize("ratio", [DENSE, Ratio(2, 8)])
def test_linear_and_gradients(inputs, outputs, ratio):
    layer = Linear(name="l", inputs=("one",), out_features=outputs)
    before = Linear(name="one", inputs=(INPUT,), out_features=inputs)
    network = Network(name="net", input_shape=(4,), layers=(before, layer))
    check(network, layer, 3, ratio, frozenset() if ratio.is_dense else BOTH, 1)


def test_linear_over_tokens_keeps_its_leading_axes():
    layers = (Linear(name="a", inputs=(INPUT,), out_features=6), Linear(name="b", inputs=("a",), out_features=3))
    program = lower(Network(name="net", input_shape=(5, 4), layers=layers), TINY, batch=2)
    assert program.regions["b.input"].shape == (2, 5, 6)
    assert [(p.m, p.n, p.k) for p in program.products if p.layer == "b"] == [(3, 10, 6), (6, 10, 3), (3, 6, 10)]


def _strided(kernel, size=8):
    layers = (
        Conv(name="a", inputs=(INPUT,), out_channels=8, kernel=1),
        Conv(name="b", inputs=("a",), out_channels=8, kernel=kernel, stride=2, padding=kernel // 2),
    )
    return Network(name="net", input_shape=(size, size, 8), layers=layers)


def test_strided_input_gradient_walks_the_forward_macs_only():
    program = lower(_strided(3), TINY, batch=2)
    macs = {stage: sum(p.macs for p in program.products if p.layer == "b" and p.stage == stage) for stage in Stage}
    assert len(set(macs.values())) == 1
    taps = [p.k // 8 for p in program.products if p.layer == "b" and p.stage is Stage.INPUT_GRADIENT]
    assert taps == [1, 2, 2, 4]  # pixels with (even, even), (even, odd), (odd, even), (odd, odd) coordinates
    assert not program.cleared


def _unpadded(kernel, size, inputs=8, outputs=8):
    layers = (
        Conv(name="a", inputs=(INPUT,), out_channels=inputs, kernel=1),
        Conv(name="b", inputs=("a",), out_channels=outputs, kernel=kernel),
    )
    return Network(name="net", input_shape=(size, size, 8), layers=layers)


def _gradients(program):
    return [p for p in program.products if p.layer == "b" and p.stage is Stage.INPUT_GRADIENT]


@pytest.mark.parametrize(
    ("kernel", "size", "useful", "walked"),
    [
        (5, 5, 25, 25),  # one output: each input pixel has one tap, not the 25 of the border of zeros
        (7, 7, 49, 49),
        (3, 4, 2 * 2 * 9, 2 * 2 * 9),  # two outputs an axis: one tap, two, two, one
        (3, 8, 6 * 6 * 9, 8 * 8 * 9),  # cut into runs only where at least half of the products are with zeros
        (3, 12, 10 * 10 * 9, 12 * 12 * 9),
    ],
)
def test_an_unpadded_input_gradient_does_the_forward_work(kernel, size, useful, walked):
    """`useful` and `walked` are taps of all pixels, by 8 x 8 channels; MACs are those of the forward pass."""
    program = lower(_unpadded(kernel, size), TINY, batch=3)
    products = _gradients(program)
    assert sum(p.macs for p in products) == 3 * useful * 64
    assert sum(p.m * p.n * p.k for p in products) == 3 * walked * 64
    assert sum(p.macs for p in program.products if p.layer == "b" and p.stage is Stage.FORWARD) == 3 * useful * 64


def test_a_classifier_written_as_a_convolution_has_a_classifiers_gradients():
    """VGG's first fully connected layer: 7 x 7 x 512 x 4,096 = 102,760,448 in each of the three products."""
    program = lower(_unpadded(7, 7, 512, 4096), PRESETS["vcu1525"], batch=1)
    for stage in Stage:
        assert sum(p.macs for p in program.products if p.layer == "b" and p.stage is stage) == 102_760_448
    assert sum(p.m * p.n * p.k for p in _gradients(program)) == 102_760_448


def test_work_of_padded_gradients_counts_as_the_forward_pass_counts_it():
    """Taps in the padding count in both: ResNet-18's stages have equal MACs, but for the first layer, which has no gradient."""
    program = lower(zoo.load("resnet18"), PRESETS["vcu1525"], batch=1)
    macs = {stage: {p.layer: 0 for p in program.products} for stage in Stage}
    for product in program.products:
        macs[product.stage][product.layer] += product.macs
    assert {layer for layer, count in macs[Stage.FORWARD].items() if macs[Stage.INPUT_GRADIENT][layer] != count} == {"conv1"}


def test_phases_that_no_tap_reaches_are_left_zero():
    program = lower(_strided(1), TINY, batch=2)
    assert sum(p.stage is Stage.INPUT_GRADIENT for p in program.products if p.layer == "b") == 1
    assert program.cleared == {"b.input_gradient"}


def test_taps_accumulate_in_ascending_order():
    odd = lower(_strided(5, 9), TINY, batch=1).products
    for product in (p for p in odd if p.layer == "b" and p.stage is Stage.INPUT_GRADIENT):
        assert [loop.step > 0 for loop in product.weights.columns] == [True] * 3
        assert [loop.axis for loop in product.weights.columns] == [0, 1, 3]  # kernel row, kernel column, out channel


@pytest.mark.parametrize("name", zoo.NAMES)
@pytest.mark.parametrize("ratio", [DENSE, Ratio(2, 8), Ratio(4, 16)])
def test_networks_lower(name, ratio):
    config = PRESETS["vcu1525"]
    network = zoo.load(name)
    program = lower(network, config, batch=4, ratio=ratio, sparse_stages=BOTH)
    layers = [layer.name for layer in network.weighted()]
    weighted = set(layers)
    stages = [(p.layer, p.stage) for p in program.products if p.layer in weighted]
    assert list(dict.fromkeys(stages[: len(layers)])) == [(name, Stage.FORWARD) for name in layers]
    backward = [
        (name, stage)
        for name in reversed(layers)
        for stage in (Stage.INPUT_GRADIENT, Stage.WEIGHT_GRADIENT)
        if name != layers[0] or stage is Stage.WEIGHT_GRADIENT
    ]
    if name.startswith(("mlp", "cnn", "vgg")):  # without branches, the backward order is the layers' reverse
        assert list(dict.fromkeys(stages[len(layers) :])) == backward
    assert set(stages[len(layers) :]) == set(backward)
    weight_gradients = [p for p in program.products if p.stage is Stage.WEIGHT_GRADIENT]
    assert sum(p.macs for p in weight_gradients) == 4 * network.forward_macs
    for product in program.products:
        sparse = product.stage is not Stage.WEIGHT_GRADIENT and product.layer in layers[1:-1]
        assert product.ratio == (ratio if sparse else DENSE)
        for view in (product.weights, product.activations, product.output):
            region = program.regions[view.region]
            assert len(view.origin) == len(region.shape)


def test_every_operand_is_written_before_it_is_read():
    program = lower(zoo.load("resnet50"), PRESETS["vcu1525"], batch=1, ratio=Ratio(2, 8), sparse_stages=BOTH)
    written = {"input", "fc.output_gradient"}  # the host's images, and its gradient of the loss
    for command in program.commands:
        if isinstance(command, Product):
            names = {command.weights.region, command.activations.region} - {f"{command.layer}.weight"}
            names -= {f"{command.layer}.weight_forward", f"{command.layer}.weight_backward"}
            assert {program.aliases.get(name, name) for name in names} <= written
        elif isinstance(command, Vector):
            assert set(command.reads) <= written | set(command.writes), command
            written |= set(command.writes)


def test_update_of_a_layer_follows_its_weight_gradient():
    program = lower(zoo.load("cnn"), TINY, batch=2, ratio=Ratio(2, 8), sparse_stages=frozenset({Stage.FORWARD}))
    for index, command in enumerate(program.commands):
        if isinstance(command, Update):
            before = program.commands[index - 1]
            assert isinstance(before, Product)
            assert (before.layer, before.stage) == (command.layer, Stage.WEIGHT_GRADIENT)
    update = next(c for c in program.commands if isinstance(c, Update) and c.layer == "conv2")
    assert update.elements == 32 * 9 * 16 + 32
    assert update.packed == (32 * 9 * 2 * 2,)
    assert update.dense_copy  # the input gradient still reads dense weights


def test_layers_that_are_not_to_be_pruned_stay_dense():
    layers = tuple(
        Linear(name=name, inputs=(source,), out_features=8, prune=name != "b")
        for name, source in [("a", INPUT), ("b", "a"), ("c", "b"), ("d", "c")]
    )
    network = Network(name="net", input_shape=(8,), layers=layers)
    sparse = {
        p.layer for p in lower(network, TINY, batch=1, ratio=Ratio(2, 8), sparse_stages=BOTH).products if not p.ratio.is_dense
    }
    assert sparse == {"c"}


@pytest.mark.parametrize("slots", [1, 3, 4, 6])
@pytest.mark.parametrize(("m", "n", "kept"), [(1, 1, 1), (10, 64, 512), (64, 512, 16), (16, 9, 1000), (33, 31, 7)])
def test_interleave_has_the_fewest_steps(slots, m, n, kept):
    from dataclasses import replace

    from dataflow.scheduling.interleave import choose_interleave

    config = replace(TINY, add_latency_cycles=slots)
    chosen = choose_interleave(config, m, n, kept)
    assert chosen[0] * chosen[1] <= slots
    splits = [(a, b) for a in range(1, slots + 1) for b in range(1, slots + 1) if a * b <= slots]
    assert tile(config, m, n, kept, chosen).steps == min(tile(config, m, n, kept, split).steps for split in splits)


def _lone(layer):
    return Network(name="net", input_shape=(4, 4, 4), layers=(layer,))


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (zoo.load("mlp"), {"batch": 0}, "^batch must be at least 1, not 0$"),
        (zoo.load("mlp"), {"batch": 1, "ratio": Ratio(2, 32)}, "groups of 32, but tiny is elaborated for max_group = 16$"),
        (
            zoo.load("mlp"),
            {"batch": 1, "ratio": Ratio(2, 8), "sparse_stages": frozenset(Stage)},
            "^the weight gradient cannot be sparse; allowed sparse stages: forward, input_gradient$",
        ),
        (_lone(Relu(name="r", inputs=(INPUT,))), {"batch": 1}, "^network 'net' has no layer with weights$"),
    ],
)
def test_what_cannot_be_scheduled_is_said(network, options, message):
    with pytest.raises(InputError, match=message):
        lower(network, TINY, **options)


def test_overlapping_pool_lowers():
    layers = (
        Conv(name="a", inputs=(INPUT,), out_channels=4, kernel=1),
        MaxPool(name="p", inputs=("a",), kernel=3, stride=2, padding=1),
        Linear(name="l", inputs=("p",), out_features=4),
    )
    assert lower(Network(name="net", input_shape=(8, 8, 3), layers=layers), TINY, batch=1).products
