"""Derived figures by arithmetic of their own: energy, bounds, studies, throughput, sizes, updates."""

from math import ceil

import pytest
from onnx_file import File

from dataflow import importers, zoo
from dataflow.analysis import work
from dataflow.analysis.bounds import port_cycles
from dataflow.analysis.report import GEMM, report
from dataflow.analysis.studies import METHODS, memory_bound_below
from dataflow.analysis.workloads import describe
from dataflow.axes import AxisConv, Combine
from dataflow.ir.operations import CombineGradient
from dataflow.ir.program import Dataflow, Product, Stage, Update, Vector
from dataflow.lowering.lower import lower
from dataflow.network import INPUT, Linear, Network
from hw.config import PRESETS
from hw.isa.bits import PassOption, PassStep
from hw.isa.commands import Pass
from hw.isa.commands import Product as Command
from hw.isa.commands import Update as UpdateCommand
from hw.ratio import DENSE, Ratio
from training import methods

TINY, BOTH = PRESETS["tiny"], frozenset({Stage.FORWARD, Stage.INPUT_GRADIENT})
EIGHTH = Ratio(2, 8)


def linear(ratio, batch=8):
    """The forward product of 64 to 64 features: m = 64 rows, n = `batch` columns, k = 64."""
    chain = [("first", INPUT), ("l", "first"), ("last", "l")]  # neither end is pruned
    layers = tuple(Linear(name=name, inputs=(source,), out_features=64, bias=False) for name, source in chain)
    network = Network(name="n", input_shape=(64,), layers=layers)
    products = lower(network, TINY, batch=batch, ratio=ratio, sparse_stages=BOTH).products
    return next(product for product in products if (product.layer, product.stage) == ("l", Stage.FORWARD))


@pytest.fixture(scope="module")
def result():
    return report(zoo.load("cnn"), TINY, method="bdwp", sparse_stages=BOTH, ratio=EIGHTH, batch=4)


def test_what_enters_the_array_is_counted_by_its_bits():
    """4 rows of a binary16 weight and its place of 4 bits, 4 columns of activations: one where dense, of 2:8 8 / 2 = 4."""
    fields = {"rounds": 32, "part_rounds": 32, "outer": 3, "middle": 2}
    dense = work.counts(TINY, [Command(dense=1, group_rounds=16, n=16, m=16, **fields)])
    sparse = work.counts(TINY, [Command(dense=0, group_rounds=4, n=2, m=8, **fields)])
    steps = 3 * 2 * 32 * 4  # tiles, rounds, slots
    assert (dense["west_bits"], dense["north_bits"]) == (steps * 4 * 16, steps * 4 * 16)
    assert (sparse["west_bits"], sparse["north_bits"]) == (steps * 4 * 20, steps * 4 * 4 * 16)
    assert sparse["link_bits"] == steps * 16 * (20 + 4 * 16)
    stays = work.counts(TINY, [Command(dense=1, group_rounds=16, n=16, m=16, vectors=50, **fields)])
    period = max(50, TINY.stationary_period_steps)
    assert stays["west_bits"] == 3 * 2 * (32 // 4) * period * 4 * 16
    assert stays["sum_bytes"] == 8 * 4 * 50 * 6 * 7  # partial sums between 8 blocks, there and back


def test_what_a_pass_does_is_counted():
    scaled = Pass(words=10, steps=PassStep.SCALE | PassStep.SHIFT | PassStep.RESIDUAL, function=1)
    assert work.counts(TINY, [scaled]) == {"multiplications": 3 * 40, "additions": 4 * 40}  # a parabola has two of each
    summed = Pass(words=10, options=PassOption.FROM_SUMS, rows=5, columns=2)
    assert work.counts(TINY, [summed])["sum_bytes"] == 5 * 2 * 8
    assert work.counts(TINY, [UpdateCommand(words=7)]) == {"updated": 28}


@pytest.mark.parametrize("ratio, kept", [(DENSE, 64), (EIGHTH, 16)])
def test_ports_carry_a_word_of_the_array_a_cycle(ratio, kept):
    """Tiles of 4 x 4 USPEs with 4 slots: an operand passes once for every 16 columns, or rows, of the result."""
    product = linear(ratio, batch=40)
    assert product.dataflow in Dataflow and (product.m, product.n, product.kept) == (64, 40, kept)
    if product.dataflow is Dataflow.WEIGHT_STATIONARY:  # 4 rows of the result at a time, and all of its columns
        passes_w, passes_a = 1, 64 // 4
    else:
        passes_w, passes_a = ceil(40 / 16), 64 // 16
    assert port_cycles(product, TINY) == {
        "w2e": 64 * kept * passes_w // 4,
        "n2s": 40 * kept * passes_a // 4,
        "output": 64 * 40 // 4,
    }


def test_studies_prune_what_the_methods_prune():
    assert {name: METHODS[name] for name in METHODS} == {name: methods.load(name).sparse_stages for name in METHODS}
    assert METHODS["sdwp"] == METHODS["sdgp"] == {Stage.INPUT_GRADIENT} and METHODS["srste"] == {Stage.FORWARD}


def test_where_memory_is_the_limit_lies_between_the_points_of_a_logarithmic_axis():
    """Memory over array falls from 3 at 10 to 1/2 at 1000: it is 1 after 2 of 2.5, at 10 * 100^0.8."""
    points = [
        {"at": 10, "memory_share": 1.5, "array_share": 0.5, "dense_memory_share": 0.5, "dense_array_share": 1},
        {"at": 1000, "memory_share": 0.4, "array_share": 0.8, "dense_memory_share": 0.4, "dense_array_share": 1},
    ]
    assert memory_bound_below(points, over="at") == pytest.approx(10 * 100**0.8)
    assert memory_bound_below(points, "dense_", over="at") is None


def test_throughput_counts_the_dense_work_as_done(result):
    seconds = result["cycles"]["step"] / 200e6
    dense, done = (sum(row[key] for row in result["layers"]) for key in ("dense_macs", "macs"))
    rate = result["throughput"]
    assert rate["step_seconds"] == pytest.approx(seconds)
    assert rate["effective_gops"] == pytest.approx(2 * dense / seconds / 1e9)
    assert rate["executed_gops"] == pytest.approx(2 * done / seconds / 1e9)
    assert rate["dense_images_per_second"] == pytest.approx(4 * 200e6 / result["dense_cycles"]["step"])
    assert dense > 1.5 * done  # of which the two differ


def test_energy_is_the_table_times_what_was_done(result):
    """Multiplication of 16 bits 1.1 pJ, binary32 addition 0.9 pJ and multiplication 3.7 pJ, 64 bits of DRAM 1.3 nJ."""
    known, layers = result["energy"], result["layers"]
    for joules, prefix, step in ((known["joules"], "", "step"), (known["dense_joules"], "dense_", "dense_step")):
        assert joules["multiply_accumulate"] == pytest.approx(sum(row[f"{prefix}macs"] for row in layers) * 2.0e-12)
        assert joules["memory"] == pytest.approx(result["memory_bytes"][step] * 1.3e-9 / 8)
        assert joules["step"] == pytest.approx(sum(joules[key] for key in joules if key != "step"))
    assert known["joules"]["update"] >= zoo.load("cnn").parameters * 3 * 4.6e-12  # blocks are padded
    seconds = result["cycles"]["step"] / 200e6
    assert known["average_watts"] == pytest.approx(known["joules"]["step"] / seconds)
    assert known["images_per_joule"] == pytest.approx(4 / known["joules"]["step"])
    dense = sum(row["dense_macs"] for row in layers)
    assert known["effective_gops_per_watt"] == pytest.approx(2 * dense / 1e9 / known["joules"]["step"])


def test_bounds_of_the_array_are_its_work_over_its_rate(result):
    assert result["bound_cycles"]["array"] == ceil(sum(row["macs"] for row in result["layers"]) / 16)
    assert result["bound_cycles"]["memory"] <= result["busy_cycles"]["memory"]
    stages = {stage: [row for row in result["layers"] if row["stage"] == stage] for stage in GEMM}
    assert {stage: len(rows) for stage, rows in stages.items()} == {"forward": 4, "input_gradient": 3, "weight_gradient": 4}


def test_sizes_of_a_network_are_those_of_its_layers():
    """mlp: 64 x 64 + 64, 64 x 64 + 64, 64 x 10 + 10. A master and a momentum of binary32 each."""
    found = describe(zoo.load("mlp"), TINY)
    parameters = 2 * (64 * 64 + 64) + 64 * 10 + 10
    assert (found["parameters"], found["parameter_bytes"], found["master_bytes"]) == (
        parameters,
        2 * parameters,
        (4 + 4) * parameters,
    )
    assert found["macs"]["forward"] == 64 * 64 + 64 * 64 + 64 * 10


@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet9", "resnet18", "vgg19", "vit"])
def test_every_learned_number_is_updated_once(name):
    network = zoo.load(name)
    updates = [command for command in lower(network, PRESETS["vcu1525"], batch=4).commands if isinstance(command, Update)]
    assert sum(update.elements for update in updates) == network.parameters
    assert len({update.layer for update in updates}) == len(updates)


def test_the_gradient_of_a_product_of_two_reads_the_other_one():
    """Of a * b the gradient of a needs b, and that of b needs a; a is 8 wide, b is 1 wide and repeated."""
    layers = (
        Linear(name="a", inputs=(INPUT,), out_features=8),
        Linear(name="b", inputs=(INPUT,), out_features=1),
        Combine(name="c", inputs=("a", "b")),
        Linear(name="d", inputs=("c",), out_features=2),
    )
    commands = lower(Network(name="n", input_shape=(4,), layers=layers), TINY, batch=3).commands
    reads = {
        command.target.tensor: operation.other
        for command in commands
        if isinstance(command, Vector)
        for operation in command.operations
        if isinstance(operation, CombineGradient)
    }
    sizes = {target.split(".")[1]: (other.tensor.split(".")[0], other.size_bytes) for target, other in reads.items()}
    assert sizes == {"a": ("b", 3 * 1 * 2), "b": ("a", 3 * 8 * 2)}
    assert all(isinstance(command, Product | Vector | Update) for command in commands)


def reached(layer, size):
    """Of a convolution along one axis, the input positions that each output reads."""
    (axis,) = layer.axes
    count = axis.positions(layer, size)
    taps = [[output * axis.stride - axis.before + tap * axis.dilation for tap in range(axis.kernel)] for output in range(count)]
    return [tuple(position for position in row if 0 <= position < size) for row in taps]


@pytest.mark.parametrize(
    ("size", "kernel", "attributes", "outputs", "cropped"),
    [
        (5, 4, {"strides": [2], "pads": [1, 1]}, 10, 1),  # 2 * 4 + 3 + 1 = 12 before the pads
        (5, 4, {"strides": [2], "pads": [2, 0]}, 10, 2),
        (5, 3, {"strides": [3], "pads": [0, 0], "output_padding": [2]}, 17, 0),  # 3 * 4 + 2 + 1 = 15, and 2 behind
        (4, 4, {"strides": [1], "output_shape": [4]}, 4, 2),  # 7 - 4 = 3 too many: the larger half in front
        (4, 4, {"strides": [1], "output_shape": [4], "auto_pad": "SAME_UPPER"}, 4, 1),  # the smaller half
        (4, 5, {"strides": [2], "auto_pad": "SAME_UPPER"}, 8, 1),  # 11 - 4 * 2 = 3
        (4, 5, {"strides": [2], "auto_pad": "SAME_LOWER"}, 8, 2),
        (4, 2, {"strides": [2], "dilations": [3], "auto_pad": "VALID"}, 10, 0),  # 2 * 3 + 3 + 1
    ],
)
def test_a_transposed_convolution_reads_what_the_standard_says(tmp_path, size, kernel, attributes, outputs, cropped):
    """Output o gets input i by tap k where o = i * stride + k * dilation - what is cropped in front."""
    file = File()
    file.node("ConvTranspose", ["x", file.weight("w", 2, 3, kernel)], "y", kernel_shape=[kernel], **attributes)
    network = importers.load(file.save(tmp_path / "t.onnx", ("batch", 2, size), "y")).network
    stride, dilation = attributes["strides"][0], attributes.get("dilations", [1])[0]
    expected = [
        tuple(i for i in range(size) for k in range(kernel) if i * stride + k * dilation - cropped == output)
        for output in range(outputs)
    ]
    assert network.shapes[network.layers[-1].name] == (outputs, 3)
    found = [taps for layer in network.layers if isinstance(layer, AxisConv) for taps in reached(layer, size)]
    assert sorted(tuple(sorted(taps)) for taps in found if taps) == sorted(taps for taps in expected if taps)
