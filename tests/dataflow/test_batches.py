"""Batches of products: grouped convolution group by group, attention sample by sample and head by head."""

import numpy as np
import pytest

from dataflow import zoo
from dataflow.axes import Axis, AxisConv, AxisPool, Combine
from dataflow.ir.program import Product, Stage, Vector
from dataflow.ir.views import gather, scatter
from dataflow.lowering.lower import lower
from dataflow.network import INPUT, Conv, Linear, Network, Relu
from dataflow.rearrange import Concat
from dataflow.scheduling.timing import tile
from dataflow.tokens import MatMul
from hw.config import PRESETS
from hw.errors import InputError
from hw.ratio import Ratio

TINY, VCU1525 = PRESETS["tiny"], PRESETS["vcu1525"]
BOTH = frozenset({Stage.FORWARD, Stage.INPUT_GRADIENT})


def play(program, seed=0):
    """All products in float64 on random operands; gives the memory."""
    random = np.random.default_rng(seed)
    memory = {name: random.standard_normal(region.shape) for name, region in program.regions.items()}
    for name in program.cleared:
        memory[name][:] = 0
    for product in program.products:
        for single in product.singles():
            operands = (gather(view, memory[view.region]) for view in (single.weights, single.activations))
            weights, activations = operands
            scatter(single.output, memory[single.output.region], weights @ activations.T)
    return memory


def grouped(layer, channels=6):
    layers = (Conv(name="one", inputs=(INPUT,), out_channels=channels, kernel=1), layer)
    return Network(name="net", input_shape=(5, 7, 3), layers=layers)


@pytest.mark.parametrize("groups", [2, 3, 6])
@pytest.mark.parametrize("stride", [1, 2])
def test_each_group_is_the_convolution_of_its_channels(groups, stride):
    def layer(out, count):
        return Conv(name="c", inputs=("one",), out_channels=out, kernel=3, stride=stride, padding=1, groups=count)

    whole = play(lower(grouped(layer(12, groups)), TINY, batch=2))
    inputs, outputs = 6 // groups, 12 // groups
    for group in range(groups):
        program = lower(grouped(layer(outputs, 1), inputs), TINY, batch=2)
        ins, outs = slice(group * inputs, (group + 1) * inputs), slice(group * outputs, (group + 1) * outputs)
        memory = {
            "c.input": whole["c.input"][..., ins],
            "c.output_gradient": whole["c.output_gradient"][..., outs],
            "c.weight": whole["c.weight"][..., outs],
        }
        memory = {name: np.ascontiguousarray(array) for name, array in memory.items()}
        for name in ("output", "input_gradient", "weight_gradient"):
            memory[f"c.{name}"] = np.zeros(program.regions[f"c.{name}"].shape)
        for p in (p for p in program.products if p.layer == "c"):
            operands = [gather(view, memory[view.region]) for view in (p.weights, p.activations)]
            scatter(p.output, memory[p.output.region], operands[0] @ operands[1].T)
        np.testing.assert_allclose(whole["c.output"][..., outs], memory["c.output"], atol=1e-9)
        np.testing.assert_allclose(whole["c.input_gradient"][..., ins], memory["c.input_gradient"], atol=1e-9)
        np.testing.assert_allclose(whole["c.weight_gradient"][..., outs], memory["c.weight_gradient"], atol=1e-9)


def test_depthwise_uses_one_row_of_the_array():
    layer = Conv(name="c", inputs=("one",), out_channels=64, kernel=3, padding=1, groups=64)
    program = lower(grouped(layer, 64), VCU1525, batch=512, ratio=Ratio(2, 8), sparse_stages=BOTH, prune_last=True)
    forward = next(p for p in program.products if p.layer == "c" and p.stage is Stage.FORWARD)
    assert (forward.count, forward.m, forward.n, forward.k) == (64, 1, 512 * 35, 9)
    assert forward.ratio.is_dense  # one channel is no group of eight
    steps = forward.count * tile(VCU1525, forward.m, forward.n, forward.kept, forward.interleave, forward.dataflow).steps
    # 1 of 32 rows, and 9 terms in the 32 rounds that a tile takes at least
    assert forward.macs / steps / 1024 == pytest.approx(1 / 32 * 9 / 32, rel=0.01)


def test_grouped_channels_that_fill_groups_are_pruned():
    layer = Conv(name="c", inputs=("one",), out_channels=32, kernel=3, padding=1, groups=2)
    program = lower(grouped(layer, 16), TINY, batch=1, ratio=Ratio(2, 8), sparse_stages=BOTH, prune_last=True)
    forward = next(p for p in program.products if p.layer == "c" and p.stage is Stage.FORWARD)
    assert (forward.count, forward.kept, forward.ratio) == (2, 9 * 2, Ratio(2, 8))
    assert program.regions["c.weight_forward"].shape == (3, 3, 1, 2, 32)
    assert program.regions["c.weight_backward"].shape == (3, 3, 2, 2, 16)


@pytest.mark.parametrize("transposed", [False, True])
def test_attention_products_and_their_gradients(transposed):
    width = 6 if transposed else 5  # (5, 6) times (5, 6) transposed, or (5, 5) times (5, 4)
    layers = (
        Linear(name="a", inputs=(INPUT,), out_features=width),
        Linear(name="b", inputs=(INPUT,), out_features=6 if transposed else 4),
        MatMul(name="p", inputs=("a", "b"), transposed=transposed),
    )
    program = lower(Network(name="net", input_shape=(5, 4), layers=layers), TINY, batch=3)
    memory = play(program)
    left, right, dy = memory["p.left"], memory["p.right"], memory["p.output_gradient"]
    flip = np.swapaxes(right, 1, 2) if transposed else right
    np.testing.assert_allclose(memory["p.output"], left @ flip, atol=1e-9)
    np.testing.assert_allclose(memory["p.left_gradient"], dy @ np.swapaxes(flip, 1, 2), atol=1e-9)
    d_right = np.swapaxes(left, 1, 2) @ dy
    np.testing.assert_allclose(memory["p.right_gradient"], np.swapaxes(d_right, 1, 2) if transposed else d_right, atol=1e-9)
    assert all(p.ratio.is_dense and p.count == 3 for p in program.products if p.layer == "p")


def test_shapes_that_do_not_multiply_are_named():
    layers = (Linear(name="a", inputs=(INPUT,), out_features=6), MatMul(name="p", inputs=("a", INPUT)))
    message = r"^layer 'p': MatMul needs \(\*lead, m, k\) and \(\*lead, k, n\), not \(5, 6\) and \(5, 4\)$"
    with pytest.raises(InputError, match=message):
        Network(name="net", input_shape=(5, 4), layers=layers)


def test_softmax_rides_on_the_drain_where_a_tile_holds_whole_rows():
    program = lower(zoo.load("vit"), VCU1525, batch=2)
    passes = [c for c in program.commands if isinstance(c, Vector) and "softmax" in c.what]
    assert len(passes) == 12  # forward and backward of six blocks
    assert all(c.fused for c in passes)
    narrow = lower(zoo.load("vit"), TINY, batch=2)  # 4 columns with 4 slots hold no 65 scores
    assert not [c for c in narrow.commands if isinstance(c, Vector) and "softmax" in c.what]


def test_vit_knows_what_it_waits_for():
    program = lower(zoo.load("vit"), VCU1525, batch=1, ratio=Ratio(2, 8), sparse_stages=BOTH)
    written = {"input", "head.output_gradient"}
    for command in program.commands:
        if isinstance(command, Product):
            own = {f"{command.layer}.{name}" for name in ("weight", "weight_forward", "weight_backward")}
            names = {command.weights.region, command.activations.region} - own
            assert {program.aliases.get(name, name) for name in names} <= written
        elif isinstance(command, Vector):
            assert set(command.reads) <= written | set(command.writes), command
            written |= set(command.writes)


def test_networks_of_odd_layers_run():
    layers = (
        AxisConv(name="a", inputs=(INPUT,), out_channels=8, axes=(Axis(3, 2, 0, 1), Axis(1)), groups=1),
        AxisPool(name="mean", inputs=("a",), axes=(Axis(2, 2), Axis(1)), kind="mean"),
        AxisConv(name="b", inputs=("mean",), out_channels=8, axes=(Axis(1), Axis(3, 1, 1, 1))),
        Relu(name="r", inputs=("b",)),
        Combine(name="gate", inputs=("r", "mean"), kind="multiply"),
        Concat(name="both", inputs=("gate", "r")),
        AxisConv(name="c", inputs=("both",), out_channels=4, axes=(Axis(1), Axis(1))),
    )
    network = Network(name="net", input_shape=(9, 4, 3), layers=layers)
    assert network.shapes["a"] == (4, 4, 8)
    assert network.shapes["both"] == (2, 4, 16)
    program = lower(network, TINY, batch=2, ratio=Ratio(2, 8), sparse_stages=BOTH)
    assert {product.layer for product in program.products} == {"a", "b", "c"}


def test_a_pool_whose_last_window_hangs_over():
    axes = (Axis(3, 2), Axis(3, 2))
    for ceil, size in ((False, 3), (True, 4)):
        layers = (
            Conv(name="a", inputs=(INPUT,), out_channels=2, kernel=1),
            AxisPool(name="p", inputs=("a",), axes=axes, ceil=ceil),
        )
        assert Network(name="net", input_shape=(8, 8, 1), layers=layers).shapes["p"] == (size, size, 2)
