"""What exporters write, in small: products by hand, and the zoo's own networks as files."""

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_file import TINY, File, products

from dataflow import zoo
from dataflow.axes import AxisConv
from dataflow.importers import load
from dataflow.ir.sliding import Window
from dataflow.lowering.lower import lower
from dataflow.network import INPUT, Add, BatchNorm, Conv, GlobalPool, Linear, MaxPool, Network, Relu
from dataflow.tokens import MatMul
from hw.errors import InputError


def export(network: Network, path):
    """A network of the zoo as an exporter writes it: channels first, a symbolic batch."""
    f, held = File(), {INPUT: "x"}
    for layer in network.layers:
        sources = [held[name] for name in layer.inputs]
        held[layer.name] = layer.name
        if isinstance(layer, Conv):
            out, kernel, _, channels = network.weight_shape(layer)
            pads = [layer.padding] * 4
            weight = f.weight(f"{layer.name}.w", out, channels, kernel, kernel)
            f.node("Conv", [*sources, weight], layer.name, pads=pads, strides=[layer.stride] * 2)
        elif isinstance(layer, Linear):
            f.node("Flatten", sources, f"{layer.name}.flat")
            weights = [
                f.weight(f"{layer.name}.w", *network.weight_shape(layer)),
                f.weight(f"{layer.name}.b", layer.out_features),
            ]
            f.node("Gemm", [f"{layer.name}.flat", *weights], layer.name, transB=1)
        elif isinstance(layer, BatchNorm):
            channels = network.shapes[layer.name][-1]
            f.node("BatchNormalization", [*sources, *(f.weight(f"{layer.name}.{i}", channels) for i in range(4))], layer.name)
        elif isinstance(layer, MaxPool):
            window = {"kernel_shape": [layer.kernel] * 2, "strides": [layer.stride] * 2, "pads": [layer.padding] * 4}
            f.node("MaxPool", sources, layer.name, **window)
        else:
            kind = {Relu: "Relu", Add: "Add", GlobalPool: "GlobalAveragePool"}[type(layer)]
            f.node(kind, sources, layer.name)
    *spatial, channels = network.input_shape
    return f.save(path, ["N", channels, *spatial], network.layers[-1].name)


def work(network, batch):
    """Shapes and numbers of all products of a step."""
    return Counter((p.stage, p.count, p.m, p.n, p.k, p.macs) for p in lower(network, TINY, batch=batch).products)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_network_of_the_zoo_read_from_its_file_is_the_same_work(tmp_path, name):
    ours = zoo.load(name)
    read = load(export(ours, tmp_path / "net.onnx")).network
    assert work(read, 3) == work(ours, 3)
    assert (read.parameters, read.forward_macs) == (ours.parameters, ours.forward_macs)


def test_weights_as_constants_and_nodes_that_do_nothing(tmp_path):
    f = File()
    f.nodes.append(
        helper.make_node("Constant", [], ["w0"], value=helper.make_tensor("t", TensorProto.FLOAT, (8, 2, 1, 1), [1] * 16))
    )
    f.node("Identity", ["w0"], "w")
    f.node("Conv", ["x", "w"], "c")
    f.node("Identity", ["c"], "i")
    f.node("Clip", ["i", f.constant("low", value=0), f.constant("high", value=6)], "r")
    f.node("Dropout", ["r"], "d")
    f.node("Flatten", ["d"], "f")
    f.node("MatMul", ["f", f.constant("v", 8 * 30, 5)], "m")
    f.node("Add", ["m", f.constant("b", 5)], "y")
    network = load(f.save(tmp_path / "a.onnx", ["N", 2, 5, 6], "y")).network
    assert products(network, 4) == {"Conv_c": (1, 8, 120, 2), "MatMul_m": (1, 5, 4, 240)}
    assert network.parameters == 16 + 1200 + 5


def test_shapes_in_a_file_beside_the_model(tmp_path):
    f = File()
    f.node("Reshape", ["x", f.constant("s", value=[-1, 6, 4])], "r")
    f.node("MatMul", ["r", f.constant("w", 4, 5)], "y")
    path = f.save(tmp_path / "a.onnx", ["N", 24], "y")
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="a.data", size_threshold=0)
    assert products(load(path).network, 2) == {"MatMul_y": (1, 5, 12, 4)}


TRANSPOSED = [
    {"strides": [2, 2], "kernel": 2},
    {"strides": [2, 2], "kernel": 4, "pads": [1, 1, 1, 1]},
    {"strides": [2, 3], "kernel": 3, "pads": [1, 0, 1, 0], "output_padding": [1, 1]},
    {"strides": [3, 1], "kernel": 2, "dilations": [2, 3]},
    {"strides": [2, 2], "kernel": 3, "group": 2},
    {"strides": [2, 2], "kernel": 1},
]


@pytest.mark.parametrize("attributes", TRANSPOSED)
def test_a_transposed_convolution_multiplies_no_inserted_zero(tmp_path, attributes):
    """Of each output position, the taps that land on an input position are counted, padding included."""
    kernel, groups = attributes["kernel"], attributes.get("group", 1)
    f = File()
    given = {name: value for name, value in attributes.items() if name != "kernel"}
    f.node("ConvTranspose", ["x", f.weight("w", 4, 6 // groups, kernel, kernel), f.weight("b", 6)], "y", **given)
    network = load(f.save(tmp_path / "a.onnx", ["N", 4, 5, 7], "y")).network
    outputs = network.shapes[network.layers[-1].name]
    strides, pads = attributes["strides"], attributes.get("pads", [0] * 4)
    dilations, extra = attributes.get("dilations", [1, 1]), attributes.get("output_padding", [0, 0])
    taps = 1
    for axis, size in enumerate((5, 7)):
        s, p, d = strides[axis], pads[axis], dilations[axis]
        assert outputs[axis] == s * (size - 1) + extra[axis] + d * (kernel - 1) + 1 - p - pads[axis + 2]
        taps *= sum((o + p - u * d) % s == 0 for o in range(outputs[axis]) for u in range(kernel))
    assert outputs[2] == 6
    assert network.forward_macs == taps * 4 * 6 // groups
    assert network.parameters == 4 * 6 // groups * kernel**2 + 6
    assert (
        sum(p.macs for p in lower(network, TINY, batch=2).products if p.stage == "weight_gradient") == 2 * network.forward_macs
    )


@pytest.mark.parametrize(("stride", "kernel", "padding", "dilation"), [(2, 4, 1, 1), (3, 5, 2, 1), (3, 3, 1, 2), (2, 3, 0, 3)])
def test_the_parts_of_a_transposed_convolution_make_its_numbers(tmp_path, stride, kernel, padding, dilation):
    rng, size = np.random.default_rng(0), 6
    x, w = rng.integers(-9, 9, size), rng.integers(-9, 9, kernel)
    f = File()
    attributes = {"strides": [stride], "pads": [padding] * 2, "dilations": [dilation]}
    f.node("ConvTranspose", ["x", f.weight("w", 1, 1, kernel)], "y", **attributes)
    f.node("Unsqueeze", ["y", f.constant("u", value=[1])], "z")
    network = load(f.save(tmp_path / "a.onnx", ["N", 1, size], "z")).network
    full = np.zeros(stride * (size - 1) + dilation * (kernel - 1) + 1, int)
    for i, value in enumerate(x):
        full[i * stride : i * stride + dilation * (kernel - 1) + 1 : dilation] += value * w
    wanted = full[padding : full.size - padding]
    made = np.zeros_like(wanted)
    convolutions = [layer for layer in network.layers if isinstance(layer, AxisConv)]
    phases = Window(wanted.size, size, kernel, stride, padding, dilation).phases
    for layer, phase in zip(convolutions, phases, strict=True):
        (axis,) = layer.axes
        padded = {i: value for i, value in enumerate(x)}
        taps = w[phase.tap :: phase.tap_step][::-1]
        starts = range(-axis.before, size + axis.after - axis.dilation * (axis.kernel - 1))
        made[phase.start :: stride] = [
            sum(tap * padded.get(start + u * axis.dilation, 0) for u, tap in enumerate(taps)) for start in starts
        ]
    assert made.tolist() == wanted.tolist()


def einsum(tmp_path, equation, *constants, shape=("N", 6, 4, 8)):
    f = File()
    second = f.constant("w", *constants) if constants else "x"
    f.node("Einsum", ["x", second], "y", equation=equation)
    return load(f.save(tmp_path / "a.onnx", list(shape), "y")).network


def test_einsum_is_the_product_that_it_says(tmp_path):
    scores = einsum(tmp_path, "bihd,bjhd->bhij")
    product = next(layer for layer in scores.layers if isinstance(layer, MatMul))
    assert scores.input_shapes(product) == ((1, 4, 6, 8), (1, 4, 8, 6))  # sample and heads, then the two matrices
    assert scores.shapes[scores.layers[-1].name] == (4, 6, 6)
    assert products(einsum(tmp_path, "...d, de -> ...e", 8, 5), 3) == {"Einsum_y": (1, 5, 72, 8)}
    assert products(einsum(tmp_path, "bthd,hde->bte", 4, 8, 5), 3) == {"Einsum_y": (1, 5, 18, 32)}
    assert einsum(tmp_path, "bthd,hde->bte", 4, 8, 5).parameters == 160


@pytest.mark.parametrize(
    ("equation", "constants", "message"),
    [
        ("bthd,hde->bthe", (4, 8, 5), "keeps axis 'h' of both its operands, one a constant"),
        ("bthd,de->bte", (8, 5), "sums or repeats an axis of one operand alone"),
        ("bthd,dd->bthd", (8, 8), "sums or repeats"),
    ],
)
def test_einsum_that_is_no_product_is_told(tmp_path, equation, constants, message):
    with pytest.raises(InputError, match=rf"a\.onnx: node 'Einsum_y': .*{message}"):
        einsum(tmp_path, equation, *constants)


def causal_attention(f):
    """Softmax of masked scores, the mask made from the sequence's length as exporters do."""
    f.node("Shape", ["x"], "batch", start=0, end=1)
    f.node("Shape", ["x"], "length", start=1, end=2)
    f.node("Squeeze", ["length"], "t")
    f.node("Range", [f.constant("zero", value=0), "t", f.constant("one", value=1)], "places")
    f.node("Unsqueeze", ["places", f.constant("last", value=[1])], "rows")
    f.node("LessOrEqual", ["places", "rows"], "lower")
    f.node("Concat", ["batch", "length", "length"], "whole", axis=0)
    f.node("Expand", ["lower", "whole"], "mask")
    f.node("Transpose", ["x"], "xt", perm=[0, 2, 1])
    f.node("MatMul", ["x", "xt"], "scores")
    f.node("Where", ["mask", "scores", f.constant("never", 1)], "masked")
    f.node("Softmax", ["masked"], "p", axis=-1)
    return f.node("MatMul", ["p", "x"], "mixed")


@pytest.mark.parametrize("batch", ["N", 1, 5])
def test_shapes_and_masks_computed_in_the_graph(tmp_path, batch):
    f = File()
    f.node("MatMul", [causal_attention(f), f.weight("w", 8, 7)], "y")
    network = load(f.save(tmp_path / "a.onnx", [batch, 6, 8], "y")).network
    assert network.forward_macs == 2 * 6 * 6 * 8 + 6 * 8 * 7
    assert network.parameters == 56
    assert products(network, 3)["MatMul_scores"] == (3, 6, 6, 8)


@pytest.mark.parametrize("batch", ["N", 1, 2])
def test_a_batch_that_is_not_the_first_axis(tmp_path, batch):
    """As sequence-first attention has it; tokens of one sample stay together."""
    f = File()
    f.node("Transpose", ["x"], "t", perm=[1, 0, 2])
    f.node("MatMul", ["t", f.weight("w", 8, 16)], "q")
    f.node("Reshape", ["q", f.constant("s", value=[5, -1, 4])], "h")
    f.node("Transpose", ["h"], "l", perm=[1, 0, 2])
    f.node("Transpose", ["h"], "r", perm=[1, 2, 0])
    f.node("MatMul", ["l", "r"], "y")
    network = load(f.save(tmp_path / "a.onnx", [batch, 5, 8], "y")).network
    assert products(network, 3) == {"MatMul_q": (1, 16, 15, 8), "MatMul_y": (12, 5, 5, 4)}


def test_parts_cut_and_joined_before_the_batch(tmp_path):
    """As packed query, key and value: every weight has all three of its products."""
    f = File()
    f.node("MatMul", ["x", f.weight("w", 8, 24)], "a")
    f.node("Reshape", ["a", f.constant("s", value=[-1, 5, 3, 8])], "b")
    f.node("Transpose", ["b"], "c", perm=[2, 0, 1, 3])
    f.nodes.append(helper.make_node("Split", ["c"], ["q", "k", "v"], axis=0))
    for part in "qkv":
        f.node("MatMul", [part, f.weight(f"w{part}", 8, 4)], f"{part}1")
    f.node("Concat", ["q1", "k1", "v1"], "d", axis=0)
    f.node("MatMul", ["d", f.weight("last", 4, 2)], "y")
    network = load(f.save(tmp_path / "a.onnx", ["N", 5, 8], "y")).network
    stages = Counter()
    for product in lower(network, TINY, batch=2).products:
        stages[product.stage] += product.macs
    first, parts, last = 2 * 5 * 8 * 24, 3 * 2 * 5 * 8 * 4, 2 * 15 * 4 * 2
    assert stages == {
        "forward": first + parts + last, "input_gradient": parts + last, "weight_gradient": first + parts + last
    }  # fmt: skip


def test_further_inputs_are_read_and_their_own_batch_is_fixed(tmp_path):
    f = File()
    f.node("MatMul", ["x", f.weight("w", 8, 4)], "a")
    f.node("Add", ["a", "z"], "y")
    more = helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 6, 4])
    network = load(f.save(tmp_path / "a.onnx", ["N", 6, 8], "y", inputs=[more])).network
    assert products(network, 2) == {"MatMul_a": (1, 4, 12, 8)}
    assert network.shapes["z"] == (6, 4)


def test_group_normalisation_over_reshaped_groups(tmp_path):
    f = File()
    f.node("Conv", ["x", f.weight("w", 8, 2, 1, 1)], "c")
    f.node("Reshape", ["c", f.constant("s", value=[0, 4, -1])], "g")
    f.node("InstanceNormalization", ["g", f.weight("ones", 4), f.weight("zeros", 4)], "n")
    f.node("Shape", ["c"], "whole")
    f.node("Reshape", ["n", "whole"], "r")
    f.node("Mul", ["r", f.weight("scale", 8, 1, 1)], "m")
    f.node("Conv", ["m", f.weight("v", 3, 8, 1, 1)], "y")
    network = load(f.save(tmp_path / "a.onnx", ["N", 2, 6, 6], "y")).network
    assert network.parameters == 16 + 8 + 8 + 24
    assert products(network, 2)["Conv_y"] == (1, 3, 72, 8)


def test_normalisation_and_gelu_written_out(tmp_path):
    f = File()
    f.node("MatMul", ["x", f.weight("w", 8, 8)], "a")
    f.node("ReduceMean", ["a"], "mean", axes=[-1])
    f.node("Sub", ["a", "mean"], "centred")
    f.node("Pow", ["centred", f.constant("two", 1)], "squared")
    f.node("ReduceMean", ["squared"], "variance", axes=[-1])
    f.node("Sqrt", ["variance"], "deviation")
    f.node("Div", ["centred", "deviation"], "normal")
    f.node("Mul", ["normal", f.weight("scale", 8)], "scaled")
    f.node("Erf", ["scaled"], "erf")
    f.node("Mul", ["scaled", "erf"], "y")
    network = load(f.save(tmp_path / "a.onnx", ["N", 6, 8], "y")).network
    assert network.parameters == 64 + 8
    assert products(network, 2) == {"MatMul_a": (1, 8, 12, 8)}
