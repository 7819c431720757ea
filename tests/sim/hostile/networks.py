"""Networks that mean ill, as tables, ONNX files and Python."""

import os

import numpy as np
import onnx
from onnx import TensorProto, helper
from values import NAMES, WHOLE, mutated, pick, text_of


def topology(rng, folder):
    heading = pick(
        rng, ("Layer, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,", "Layer,M,N,K,")
    )
    count = heading.count(",") - 1
    lines = [heading]
    for number in range(int(rng.integers(0, 4))):
        cells = [text_of(pick(rng, WHOLE) if rng.random() < 0.3 else int(rng.integers(1, 9))) for _ in range(count)]
        lines.append(", ".join([pick(rng, NAMES) if rng.random() < 0.3 else f"l{number}", *cells]) + ",")
    text = "\n".join(lines).encode()
    if rng.random() < 0.05:
        text = heading.encode() + b"\n" + b"l, 8, 8, 8, 8, 8, 8, 8\n" * pick(rng, (200, 100_000))
    path = folder / "net.csv"
    path.write_bytes(mutated(rng, text) if rng.random() < 0.3 else text)
    return _network_command(rng, path, folder)


def _network_command(rng, path, folder):
    batch = pick(rng, ("1", "8", "512", "1048576"))
    return pick(
        rng,
        (
            ["workloads", path],
            ["report", path, "--config", "tiny", "--batch", batch, "--json"],
            ["report", path, "--batch", batch, "--skip-unknown", "--out", folder / "out"],
        ),
    )


OPERATORS = [
    "Conv",
    "ConvTranspose",
    "Gemm",
    "MatMul",
    "Einsum",
    "Relu",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "Add",
    "Mul",
    "Concat",
    "Transpose",
    "Split",
    "Reshape",
    "Flatten",
    "BatchNormalization",
    "LayerNormalization",
    "Softmax",
    "ReduceMean",
    "Resize",
    "Pad",
    "Where",
    "Slice",
    "Gather",
    "Shape",
    "Expand",
    "Tile",
    "ConstantOfShape",
    "Range",
    "Cast",
    "TopK",
    "Sum",
    "Clip",
    "Unknown",
    "Squeeze",
]
ATTRIBUTES = [
    "kernel_shape",
    "strides",
    "pads",
    "dilations",
    "group",
    "auto_pad",
    "axis",
    "perm",
    "output_shape",
    "output_padding",
    "transA",
    "transB",
    "equation",
    "ceil_mode",
    "axes",
    "split",
    "num_outputs",
    "to",
    "value",
    "shape",
    "keepdims",
]


def _attribute(rng):
    number = int(pick(rng, [value for value in WHOLE if abs(value) < 2**63]))
    small = [int(value) for value in rng.integers(-1, 5, int(rng.integers(0, 5)))]
    return pick(
        rng,
        (number, [number] * 2, [1, number, 1, 1], small, small, small, 1.5, b"SAME_UPPER", "ij,jk->ik", "...,->", float("nan")),
    )


def _tensor(rng, name):
    dims = [int(size) for size in rng.integers(1, 5, int(rng.integers(0, 5)))]
    kind = pick(rng, (TensorProto.FLOAT, TensorProto.INT64))
    made = helper.make_tensor(name, kind, dims, [1] * int(np.prod(dims, dtype=int)))
    if rng.random() < 0.3:
        made.dims.append(int(pick(rng, (0, -1, 2, 2**31, 2**40, 2**62))))
    if rng.random() < 0.1:
        made.data_type = int(pick(rng, (0, 8, 16, 23, 99)))
    if rng.random() < 0.1:
        made.data_location = TensorProto.EXTERNAL
        made.external_data.add(key="location", value=pick(rng, ("x.bin", "/dev/zero", "../../etc/passwd", "fifo", "")))
    return made


def model(rng, folder):
    """A random graph of known operators, most of them wrong somewhere."""
    sizes = [
        pick(rng, (1, 3, 8, 8, 8, 0, 2**31, 2**40)) if rng.random() < 0.1 else pick(rng, (2, 4, 8))
        for _ in range(int(rng.integers(1, 5)))
    ]
    values = ["x", *(f"w{number}" for number in range(4))]
    nodes = []
    for number in range(int(rng.integers(1, 7))):
        kind = pick(rng, OPERATORS)
        chosen = [pick(rng, [*values[-3:], "x"])] + [pick(rng, values) for _ in range(int(rng.integers(0, 4)))]
        outputs = [f"t{number}"] + ["extra"] * int(rng.random() < 0.05)
        node = helper.make_node(kind, chosen if rng.random() < 0.95 else [], outputs if rng.random() < 0.95 else [])
        for _ in range(int(rng.integers(0, 3))):
            node.attribute.append(helper.make_attribute(pick(rng, ATTRIBUTES), _attribute(rng) or 1))
        node.name = pick(rng, NAMES).encode(errors="ignore").decode() if rng.random() < 0.1 else ""
        nodes.append(node)
        values.append(f"t{number}")
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *sizes])]
    outputs = [helper.make_tensor_value_info(values[-1], TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [_tensor(rng, f"w{number}") for number in range(4)])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("f", 1)])
    _write_model(rng, made, folder)
    return _network_command(rng, folder / "net.onnx", folder)


def convolution(rng, folder):
    """A small convolution network, right but for one number or one byte."""
    weights = np.ones((4, 3, 3, 3), np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("GlobalAveragePool", ["b"], ["c"]),
        helper.make_node("Flatten", ["c"], ["d"]),
        helper.make_node("Gemm", ["d", "v"], ["e"], transB=1),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 8, 8])]
    constants = [onnx.numpy_helper.from_array(weights, "w"), onnx.numpy_helper.from_array(np.ones((10, 4), np.float32), "v")]
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_tensor_value_info("e", TensorProto.FLOAT, None)], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    node = pick(rng, made.graph.node)
    kind = rng.integers(0, 5)
    if kind == 0:
        for attribute in node.attribute:
            if attribute.ints:
                attribute.ints[0] = int(pick(rng, [value for value in WHOLE if abs(value) < 2**63]))
    elif kind == 1:
        pick(rng, made.graph.initializer).dims[0] = int(pick(rng, (0, -1, 5, 2**31, 2**62)))
    elif kind == 2:
        made.graph.input[0].type.tensor_type.shape.dim[int(rng.integers(0, 4))].dim_value = int(
            pick(rng, (0, -1, 2**24, 2**31, 2**62))
        )
    elif kind == 3:
        node.op_type = pick(rng, OPERATORS)
    else:
        node.name = pick(rng, NAMES).encode(errors="ignore").decode()
    _write_model(rng, made, folder)
    return _network_command(rng, folder / "net.onnx", folder)


def functions(rng, folder):
    """Functions that double at each level, or call themselves."""
    levels, recursive = int(pick(rng, (1, 3, 12, 24, 200))), bool(rng.random() < 0.3)
    made = []
    for level in range(levels):
        inner = f"f{level - 1}" if level else "Relu"
        inner = f"f{levels - 1}" if recursive and not level else inner
        nodes = [helper.make_node(inner, ["x"], ["y"], domain="f" if inner != "Relu" else "")]
        nodes.append(helper.make_node(inner, ["y"], ["z"], domain="f" if inner != "Relu" else ""))
        made.append(
            helper.make_function(
                "f", f"f{level}", ["x"], ["z"], nodes, [helper.make_opsetid("", 20), helper.make_opsetid("f", 1)]
            )
        )
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8])]
    nodes = [helper.make_node(f"f{levels - 1}", ["x"], ["y"], domain="f"), helper.make_node("MatMul", ["y", "w"], ["z"])]
    constant = onnx.numpy_helper.from_array(np.ones((8, 8), np.float32), "w")
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)], [constant])
    whole = helper.make_model(graph, functions=made, opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("f", 1)])
    _write_model(rng, whole, folder)
    return _network_command(rng, folder / "net.onnx", folder)


def _write_model(rng, made, folder):
    content = made.SerializeToString()
    (folder / "net.onnx").write_bytes(mutated(rng, content) if rng.random() < 0.2 else content)
    (folder / "x.bin").write_bytes(b"\0" * 100)
    os.mkfifo(folder / "fifo")


def python(rng, folder):
    last = "Linear(name='g', inputs=('f',), out_features=4)"
    number = (
        text_of(pick(rng, WHOLE[:14]))
        if rng.random() < 0.7
        else pick(rng, ("None", "1.5", "'x'", "[]", "float('inf')", "True"))
    )
    name = ascii(pick(rng, NAMES)) if rng.random() < 0.2 else "'c'"
    lines = [
        "from dataflow.network import *",
        "from dataflow.axes import *",
        "from dataflow.rearrange import *",
        "from dataflow.tokens import *",
        pick(
            rng,
            (
                f"layers = (Conv(name={name}, inputs=(INPUT,), out_channels={number}, kernel=3, padding=1),)",
                f"layers = (Conv(name={name}, inputs=(INPUT,), out_channels=4, kernel={number}, padding=1),)",
                f"layers = (Conv(name={name}, inputs=(INPUT,), out_channels=4, kernel=1, stride={number}),)",
                f"layers = (Conv(name={name}, inputs=(INPUT,), out_channels=4, kernel=3, padding={number}, dilation=2),)",
                f"layers = (Conv(name={name}, inputs=(INPUT,), out_channels=4, kernel=1, groups={number}),)",
                f"layers = (Flatten(name='f', inputs=(INPUT,)), Linear(name={name}, inputs=('f',), out_features={number}))",
                f"layers = (MaxPool(name='f', inputs=(INPUT,), kernel={number}, stride=1), {last})",
                f"layers = (Reshape(name='f', inputs=(INPUT,), shape=({number}, 4)), {last})",
                f"layers = (Gap(name='f', inputs=(INPUT,), shape=({number},)), {last})",
                f"layers = (Select(name='f', inputs=(INPUT,), index={number}), {last})",
                f"layers = (Dropout(name='f', inputs=(INPUT,), share={number}),)",
                f"layers = (Layer(name={name}, inputs=(INPUT,)), Linear(name='g', inputs=({name},), out_features=4))",
                f"layers = (AxisConv(name='f', inputs=(INPUT,), out_channels=2, axes=(Axis({number}, 1, {number}), Axis(1))),)",
                f"import sys; sys.exit({number})",
                "raise BaseException",
                "layers = layers",
                "layers = (Add(name='a', inputs=(INPUT, INPUT)),) * 50000",
            ),
        ),
        f"network = Network(name={name}, input_shape=({pick(rng, ('8', '8', '8', number))}, 8, 3), layers=layers)",
    ]
    text = "\n".join(lines).encode()
    path = folder / "net.py"
    path.write_bytes(mutated(rng, text, 3) if rng.random() < 0.1 else text)
    if rng.random() < 0.3:
        return ["train", "--model", path, "--epochs", "1", "--batch", "512", "--out", folder / "out"]
    return _network_command(rng, path, folder)
