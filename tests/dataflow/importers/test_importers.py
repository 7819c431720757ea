"""Networks from files: shapes and products by hand, what is wrong said with line or node."""

import json
import re
import subprocess
import sys
from math import prod

import onnx
import pytest
from onnx import helper
from onnx_file import TINY, File, products

from dataflow import zoo
from dataflow.axes import AxisConv
from dataflow.importers import load
from dataflow.lowering.lower import lower
from dataflow.tokens import MatMul
from hw.errors import InputError


def test_a_file_of_another_kind_is_refused_with_the_kinds_that_are_read():
    with pytest.raises(InputError, match=r"^unknown workload 'net.pt'; allowed: mlp, .*, vit, or a .onnx, .csv or .py file$"):
        load("net.pt")
    with pytest.raises(InputError, match=r"^unknown workload 'net'; allowed: mlp, .*, vit$"):
        load("net")


@pytest.mark.parametrize("batch", ["N", 1, 4])
def test_a_residual_network_with_its_batch_symbolic_or_fixed(tmp_path, batch):
    f = File()
    f.node("Conv", ["x", f.constant("w1", 8, 3, 3, 3), f.constant("b1", 8)], "c1", pads=[1, 1, 1, 1], strides=[2, 2])
    f.node("BatchNormalization", ["c1", *(f.constant(name, 8) for name in "abcd")], "n1")
    f.node("Relu", ["n1"], "r1")
    f.node("Conv", ["r1", f.constant("w2", 8, 4, 3, 3)], "c2", pads=[1, 1, 1, 1], group=2)
    f.node("Add", ["c2", "r1"], "s")
    f.node("GlobalAveragePool", ["s"], "p")
    f.node("Flatten", ["p"], "f")
    f.node("Gemm", ["f", f.constant("w3", 10, 8), f.constant("b3", 10)], "y", transB=1)
    network = load(f.save(tmp_path / "res.onnx", [batch, 3, 9, 12], "y")).network
    assert network.input_shape == (9, 12, 3)
    assert network.classes == 10
    assert network.parameters == (216 + 8) + 16 + 8 * 4 * 9 + 90
    assert network.forward_macs == 5 * 6 * 8 * 27 + 5 * 6 * 8 * 36 + 80
    sizes = products(network, 2)
    assert sizes == {"Conv_c1": (1, 8, 60, 27), "Conv_c2": (2, 4, 60, 36), "Gemm_y": (1, 10, 2, 8)}


@pytest.mark.parametrize(
    ("attributes", "shape", "before"),
    [
        ({"auto_pad": "SAME_UPPER", "strides": [2, 2]}, (4, 5), (0, 1)),  # 8: one pad in all, at the end; 9: one a side
        ({"auto_pad": "SAME_LOWER", "strides": [2, 2]}, (4, 5), (1, 1)),
        ({"auto_pad": "VALID"}, (6, 7), (0, 0)),
        ({"pads": [1, 0, 2, 3]}, (9, 10), (1, 0)),
        ({"dilations": [2, 3]}, (4, 3), (0, 0)),
    ],
)
def test_windows(tmp_path, attributes, shape, before):
    f = File()
    f.node("Conv", ["x", f.constant("w", 4, 2, 3, 3)], "y", **attributes)
    network = load(f.save(tmp_path / "a.onnx", ["N", 2, 8, 9], "y")).network
    layer = next(layer for layer in network.layers if isinstance(layer, AxisConv))
    assert network.shapes[layer.name] == (*shape, 4)
    assert tuple(axis.before for axis in layer.axes) == before


def test_pools_by_the_standards_own_shapes(tmp_path):
    for index, attributes in enumerate(({"ceil_mode": 1}, {"pads": [1, 1, 0, 0]}, {"auto_pad": "SAME_UPPER"})):
        f = File()
        f.node("Conv", ["x", f.constant("w", 4, 2, 1, 1)], "c")
        f.node("MaxPool", ["c"], "y", kernel_shape=[3, 2], strides=[2, 2], **attributes)
        path = f.save(tmp_path / f"{index}.onnx", [1, 2, 8, 9], "y")
        inferred = onnx.shape_inference.infer_shapes(onnx.load(path)).graph.output[0].type.tensor_type.shape.dim
        network = load(path).network
        channels, *spatial = (dimension.dim_value for dimension in inferred[1:])
        assert network.shapes[network.layers[-1].name] == (*spatial, channels)


def test_attention_as_exported_with_shapes_computed_in_the_graph(tmp_path):
    f = File()
    for part in "qkv":
        f.node("MatMul", ["x", f.constant(f"w{part}", 16, 16)], f"{part}0")
        f.node("Add", [f"{part}0", f.constant(f"b{part}", 16)], f"{part}1")
        f.node("Shape", [f"{part}1"], f"{part}s")
        f.node("Gather", [f"{part}s", f.constant(f"{part}i", value=0)], f"{part}g", axis=0)
        f.node("Unsqueeze", [f"{part}g", f.constant(f"{part}u", value=[0])], f"{part}b")
        f.node("Concat", [f"{part}b", f.constant(f"{part}r", value=[-1, 4, 4])], f"{part}t", axis=0)
        f.node("Reshape", [f"{part}1", f"{part}t"], f"{part}2")
        f.node("Transpose", [f"{part}2"], part, perm=[0, 2, 3, 1] if part == "k" else [0, 2, 1, 3])
    f.node("MatMul", ["q", "k"], "scores")
    f.node("Div", ["scores", f.constant("two", 1)], "scaled")
    f.node("Softmax", ["scaled"], "p", axis=-1)
    f.node("MatMul", ["p", "v"], "mix")
    f.node("Transpose", ["mix"], "back", perm=[0, 2, 1, 3])
    f.node("Reshape", ["back", f.constant("last", value=[0, 0, 16])], "joined")
    f.node("MatMul", ["joined", f.constant("wo", 16, 16)], "y")
    network = load(f.save(tmp_path / "attention.onnx", ["batch", 6, 16], "y")).network
    assert sum(isinstance(layer, MatMul) for layer in network.layers) == 2
    sizes = products(network, 3)
    assert sizes["MatMul_scores"] == (12, 6, 6, 4)  # 3 samples of 4 heads
    assert sizes["MatMul_mix"] == (12, 6, 4, 6)
    assert sizes["MatMul_q0"] == (1, 16, 18, 16)
    assert network.parameters == 4 * 256 + 3 * 16
    assert network.forward_macs == 4 * 6 * 256 + 2 * 4 * 6 * 6 * 4


def test_a_constant_on_the_left_and_split_and_concat(tmp_path):
    f = File()
    f.nodes.append(helper.make_node("Split", ["x"], ["a", "b"], name="split", axis=1))
    f.node("MatMul", [f.constant("w", 7, 3), "a"], "l")
    f.node("MatMul", [f.constant("w2", 7, 3), "b"], "m")
    f.node("Concat", ["l", "m"], "y", axis=2)
    network = load(f.save(tmp_path / "a.onnx", [2, 6, 5], "y")).network
    assert network.shapes[network.layers[-1].name] == (7, 10)
    assert products(network, 2)["MatMul_l"] == (1, 7, 10, 3)


def test_squeeze_and_excite(tmp_path):
    f = File()
    f.node("Conv", ["x", f.constant("w", 8, 2, 1, 1)], "c")
    f.node("GlobalAveragePool", ["c"], "p")
    f.node("Conv", ["p", f.constant("v", 8, 8, 1, 1)], "e")
    f.node("Sigmoid", ["e"], "g")
    f.node("Mul", ["c", "g"], "m")
    f.node("Conv", ["m", f.constant("u", 4, 8, 1, 1)], "y")
    network = load(f.save(tmp_path / "a.onnx", ["N", 2, 5, 6], "y")).network
    assert network.shapes["Mul_m"] == (5, 6, 8)
    lower(network, TINY, batch=2)


def unknown(tmp_path):
    f = File()
    f.node("Conv", ["x", f.constant("w", 8, 2, 1, 1)], "c")
    f.node("Swirl", ["c"], "s", domain="mine")
    f.node("Conv", ["s", f.constant("v", 4, 8, 1, 1)], "y")
    return f.save(tmp_path / "odd.onnx", ["N", 2, 5, 6], "y", domain="mine")


def test_an_unknown_operator_is_named_or_skipped(tmp_path):
    path = unknown(tmp_path)
    with pytest.raises(
        InputError, match=r"^odd\.onnx: node 'Swirl_s': operator Swirl is not known; known are .*--skip-unknown"
    ):
        load(path)
    found = load(path, skip_unknown=True)
    assert found.notes == ("odd.onnx: 1 node of unknown operator Swirl counted as no work",)
    assert products(found.network)["Conv_y"] == (1, 4, 30, 8)


def graph(kind, weights, shape=("N", 2, 5, 6), **attributes):
    def build(path):
        f = File()
        f.node(kind, ["x", *(f.constant(f"w{i}", *w) for i, w in enumerate(weights))], "y", **attributes)
        return f.save(path, list(shape), "y")

    return build


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            graph("Conv", [(4, 2, 1, 1)], ("N", 2, "H", 6)),
            r"axis 2 of input 'x' is 'H'; give its size by --input-shape x=1,2,H,6$",
        ),
        (graph("Relu", []), "no node is a matrix product; allowed: Conv, ConvTranspose, Gemm, MatMul, Einsum"),
        (graph("Conv", [(4, 2, 9, 9)]), "node 'Conv_y'|cannot be inferred|window of 9"),
        (graph("Conv", [(4, 3, 1, 1)]), "1 groups of 3 input channels are not the input's 2|cannot be inferred"),
        (graph("MatMul", [(4, 3, 2)], (1, 4, 5, 3)), "a constant operand must have 2 axes, not shape"),
    ],
)
def test_wrong_files_say_where(tmp_path, build, message):
    with pytest.raises(InputError, match=message):
        load(build(tmp_path / "a.onnx"))


def test_what_is_no_onnx_file_is_said(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"not a model")
    with pytest.raises(InputError, match=r"is not an ONNX model|has no nodes"):
        load(str(tmp_path / "a.onnx"))
    with pytest.raises(InputError, match="no such file"):
        load(str(tmp_path / "b.onnx"))


def nmtrain(*arguments, cwd):
    command = [sys.executable, "-c", "from sim.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_report_reads_files_and_says_what_it_skipped(tmp_path):
    path = unknown(tmp_path)
    refused = nmtrain("report", path, "--json", cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    done = nmtrain("report", path, "--json", "--skip-unknown", "--batch", "4", "--ratio", "2:4", cwd=tmp_path)
    result = json.loads(done.stdout)
    assert any("unknown operator Swirl" in text for text in result["assumptions"])
    assert "unknown operator Swirl" in re.sub(r"\s+", " ", done.stderr)
    assert {row["name"] for row in result["layers"]} == {"Conv_c", "Conv_y"}


def test_workloads_lists_the_zoo_and_a_file(tmp_path):
    listed = json.loads(nmtrain("workloads", "--json", cwd=tmp_path).stdout)["workloads"]
    by_name = {row["name"]: row for row in listed}
    assert {"resnet9", "vit", "vgg19", "resnet18", "resnet50", "mlp", "cnn"} == set(by_name)
    assert by_name["resnet50"]["macs"]["forward"] == 4_089_184_256
    assert by_name["mlp"]["parameters"] == 8_970
    table = tmp_path / "net.csv"
    table.write_text("Layer, M, N, K,\nc, 36, 6, 36,\n")
    one = json.loads(nmtrain("workloads", str(table), "--json", cwd=tmp_path).stdout)
    assert one["rows"][0]["macs"]["forward"] == prod((6, 6, 6, 36))
    table = nmtrain("workloads", cwd=tmp_path)
    assert "4.09 G" in table.stderr
    assert max(len(line) for line in table.stderr.splitlines()) <= 80


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("network = 3", "must set network to a dataflow.network.Network, not to int"),
        ("", "must set network to a dataflow.network.Network, not to NoneType"),
        ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
    ],
)
def test_a_python_file_must_make_a_network(tmp_path, text, told):
    path = tmp_path / "own.py"
    path.write_text(text)
    with pytest.raises(InputError, match=f"^{re.escape(f'{path}: {told}')}$"):
        load(str(path))


def test_a_python_files_network_is_taken(tmp_path):
    path = tmp_path / "own.py"
    path.write_text("from dataflow.zoo import load\nnetwork = load('cnn')\n")
    assert load(str(path)).network == zoo.load("cnn")
