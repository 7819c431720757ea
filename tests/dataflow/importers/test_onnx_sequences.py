"""ONNX files of sequences, quantised networks and branches: products, parameters and wiring by hand."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_file import TINY, File, products

from dataflow.importers import load
from dataflow.ir.program import Stage, Update
from dataflow.lowering.lower import lower
from dataflow.network import INPUT, Linear
from hw.errors import InputError
from sim.cli import main


def macs(network, batch=1):
    found = dict.fromkeys(map(str, Stage), 0)
    for product in lower(network, TINY, batch=batch).products:
        found[str(product.stage)] += product.macs
    return found


@pytest.mark.parametrize("sizes", [(16, 16, 16), (16, 16, 32)])
def test_every_part_of_a_split_is_its_own_slice(tmp_path, sizes):
    """q, k, v = x.split(sizes): q reads the first entries, not the last ones."""
    f = File()
    f.constant("sizes", value=list(sizes))
    f.nodes.append(helper.make_node("Split", ["x", "sizes"], ["q", "k", "v"], axis=2))
    for part, size in zip("qkv", sizes, strict=True):
        f.node("MatMul", [part, f.weight(f"w{part}", size, 4)], f"{part}1")
    f.node("Concat", ["q1", "k1", "v1"], "y", axis=2)
    network = load(f.save(tmp_path / "a.onnx", ["N", 5, sum(sizes)], "y")).network
    layers = {layer.name: layer for layer in network.layers}
    starts = [layers[layers[f"MatMul_{part}1"].inputs[0]].start for part in "qkv"]
    assert starts == [0, 16, 32]
    assert [products(network)[f"MatMul_{part}1"][3] for part in "qkv"] == list(sizes)


def embedding(*, tied=False, rows=300):
    """Rows of a table, a mask that is no parameter, two linear layers, or the table itself as the second one."""
    f, rng = File(), np.random.default_rng(0)
    table = f.numbers("table", rng.standard_normal((rows, 64), dtype=np.float32))
    f.numbers("mask", np.triu(np.full((64, 64), -np.inf, np.float32), 1))
    f.node("Gather", [table, "x"], "e")
    f.node("MatMul", ["e", f.numbers("w1", rng.standard_normal((64, 64), dtype=np.float32))], "a")
    f.node("Add", ["a", f.numbers("b1", np.zeros(64, np.float32))], "b")
    f.node("Transpose", ["b"], "t", perm=[0, 2, 1])
    f.node("MatMul", ["b", "t"], "scores")
    f.node("Add", ["scores", "mask"], "masked")
    f.node("MatMul", ["masked", "b"], "mixed")
    if tied:
        f.node("Transpose", [table], "turned", perm=[1, 0])
        f.node("MatMul", ["mixed", "turned"], "y")
    else:
        f.node("MatMul", ["mixed", f.numbers("w2", rng.standard_normal((64, 10), dtype=np.float32))], "y")
    return f


@pytest.mark.parametrize("rows", [300, 3000])  # 3,000 rows of 64 are more than what is folded
def test_tables_are_parameters_and_masks_are_not(tmp_path, rows):
    path = embedding(rows=rows).save(tmp_path / "a.onnx", ["N", 64], "y", kind=TensorProto.INT64)
    assert load(path).network.parameters == rows * 64 + 64 * 64 + 64 + 640
    tied = embedding(tied=True, rows=rows).save(tmp_path / "b.onnx", ["N", 64], "y", kind=TensorProto.INT64)
    assert load(tied).network.parameters == rows * 64 + 64 * 64 + 64


def test_products_on_a_tables_rows_pass_gradients_to_it(tmp_path):
    path = embedding().save(tmp_path / "a.onnx", ["N", 64], "y", kind=TensorProto.INT64)
    network = load(path).network
    forward = 64 * 64 * 64 * 3 + 64 * 64 * 10
    assert macs(network) == dict.fromkeys(map(str, Stage), forward)
    updates = {
        command.layer: command.elements for command in lower(network, TINY, batch=2).commands if isinstance(command, Update)
    }
    assert updates["Gather_e"] == 300 * 64


@pytest.mark.parametrize("kind, gates", [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize("directions", [1, 2])
def test_recurrent_layers_are_products_over_time(tmp_path, kind, gates, directions):
    """PyTorch's count: 20 steps of (in + hidden) x gates x hidden; weights, and two biases a gate."""
    f, hidden = File(), 12
    weights = [f.weight("w", directions, gates * hidden, 6), f.weight("r", directions, gates * hidden, hidden)]
    f.weight("b", directions, 2 * gates * hidden)
    f.node("Transpose", ["x"], "steps", perm=[1, 0, 2])
    way = "bidirectional" if directions == 2 else "forward"
    f.nodes.append(
        helper.make_node(kind, ["steps", *weights, "b"], ["out", "last"], name="rnn", hidden_size=hidden, direction=way)
    )
    f.node("Transpose", ["out"], "t", perm=[2, 0, 1, 3])
    f.node("Reshape", ["t", f.constant("s", value=[0, 20, directions * hidden])], "flat")
    f.node("MatMul", ["flat", f.weight("head", directions * hidden, 5)], "y")
    found = load(f.save(tmp_path / "a.onnx", ["N", 20, 6], "y"))
    network = found.network
    recurrent = 20 * directions * gates * hidden * (6 + hidden)
    head = 20 * directions * hidden * 5
    assert network.forward_macs == recurrent + head
    assert network.parameters == directions * gates * hidden * (6 + hidden + 2) + directions * hidden * 5
    assert any("their steps follow each other is not counted" in note for note in found.notes)
    assert macs(network, 3)["weight_gradient"] == 3 * (recurrent + head)


@pytest.mark.parametrize("heads", [(4, 4), (4, 2)], ids=str)
def test_attention_is_two_products_a_head(tmp_path, heads):
    """ONNX 23, heads side by side in the last axis; grouped queries read keys and values again."""
    f, (queries, keys) = File(), heads
    for part, count in zip("qkv", (queries, keys, keys), strict=True):
        f.node("MatMul", ["x", f.weight(f"w{part}", 32, count * 8)], part)
    f.node("Attention", ["q", "k", "v"], "mixed", q_num_heads=queries, kv_num_heads=keys)
    f.node("MatMul", ["mixed", f.weight("wo", 32, 32)], "y")
    network = load(f.save(tmp_path / "a.onnx", ["N", 10, 32], "y", opset=23)).network
    found = products(network, 2)
    assert found["Attention_mixed.scores"] == (8, 10, 10, 8) and found["Attention_mixed.mixed"] == (8, 10, 8, 10)
    linear = 10 * 32 * (queries + 2 * keys) * 8 + 10 * 32 * 32
    assert network.forward_macs == linear + 2 * queries * 10 * 10 * 8


def test_quantised_networks_have_the_plain_ones_products(tmp_path):
    f = File()
    scale, zero = f.numbers("s", np.float32(0.1)), f.numbers("z", np.int8(0))
    f.node("QuantizeLinear", ["x", scale, zero], "xq")
    f.node("QLinearConv", ["xq", scale, zero, f.numbers("w", np.ones((8, 2, 3, 3), np.int8)), scale, zero, scale, zero], "c")
    f.node("DequantizeLinear", ["c", scale, zero], "d")
    f.node("DequantizeLinear", [f.numbers("v", np.ones((4, 8, 1, 1), np.int8)), scale, zero], "vd")
    f.node("Conv", ["d", "vd"], "y")
    found = load(f.save(tmp_path / "a.onnx", ["N", 2, 6, 6], "y"))
    sizes = products(found.network, 2)
    assert sizes == {"QLinearConv_c": (1, 8, 32, 18), "Conv_y": (1, 4, 32, 8)}
    assert found.network.parameters == 8 * 18 + 32
    assert any("QLinearConv nodes have the accelerator's formats" in note for note in found.notes)


def tensor(name, kind=TensorProto.FLOAT, shape=None):
    return helper.make_tensor_value_info(name, kind, shape)


@pytest.mark.parametrize("taken, features", [(True, 16), (False, 24)])
def test_a_branch_that_is_known_is_taken(tmp_path, taken, features):
    def branch(name, width):
        weight = numpy_helper.from_array(np.ones((8, width), np.float32), f"{name}.w")
        return helper.make_graph([helper.make_node("MatMul", ["x", f"{name}.w"], [name])], name, [], [tensor(name)], [weight])

    f = File()
    f.numbers("condition", np.array(taken))
    f.node("If", ["condition"], "y", then_branch=branch("t", 16), else_branch=branch("e", 24))
    network = load(f.save(tmp_path / "a.onnx", ["N", 8], "y")).network
    assert [layer.out_features for layer in network.layers if isinstance(layer, Linear)] == [features]


def test_a_loop_of_known_length_is_its_rounds(tmp_path):
    """Three times a product with the same weights, and what each round leaves, stacked."""
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["h", "w"], ["n"]),
            helper.make_node("Relu", ["n"], ["next"]),
            helper.make_node("Identity", ["go"], ["still"]),
            helper.make_node("Identity", ["next"], ["kept"]),
        ],
        "body",
        [tensor("i", TensorProto.INT64, []), tensor("go", TensorProto.BOOL, []), tensor("h")],
        [tensor("still", TensorProto.BOOL, []), tensor("next"), tensor("kept")],
    )
    f = File()
    f.weight("w", 8, 8)
    f.numbers("count", np.array(3, np.int64))
    f.numbers("yes", np.array(True))
    f.nodes.append(helper.make_node("Loop", ["count", "yes", "x"], ["last", "all"], name="loop", body=body))
    f.node("MatMul", ["last", f.weight("v", 8, 4)], "y")
    network = load(f.save(tmp_path / "a.onnx", ["N", 8], "y")).network
    assert network.forward_macs == 3 * 64 + 32
    first, *_ = (layer for layer in network.layers if isinstance(layer, Linear))
    assert first.inputs == (INPUT,)


def symbolic(tmp_path):
    f = File()
    f.node("Conv", ["x", f.weight("w", 8, 3, 3, 3)], "c", pads=[1, 1, 1, 1])
    f.node("Add", ["c", "z"], "y")
    more = helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 8, "H", "W"])
    return f.save(tmp_path / "a.onnx", ["N", 3, "H", "W"], "y", inputs=[more])


def test_symbolic_axes_are_given_by_input_and_by_name(tmp_path):
    network = load(symbolic(tmp_path), shapes={"x": (1, 3, 20, 30)}).network
    assert network.input_shape == (20, 30, 3) and network.shapes["z"] == (8, 20, 30)
    assert network.forward_macs == 20 * 30 * 27 * 8


@pytest.mark.parametrize(
    "shapes, told",
    [
        ({}, r"axis 2 of input 'x' is 'H'; give its size by --input-shape x=1,3,H,W$"),
        ({"x": (1, 3, 20)}, "input 'x' has 4 axes, not 3"),
        ({"x": (1, 4, 20, 30)}, "axis 1 of input 'x' is 3, not 4"),
        ({"q": (1, 3, 20, 30)}, "has no input 'q'; its inputs are 'x', 'z'"),
    ],
)
def test_a_wrong_input_shape_is_told(tmp_path, shapes, told):
    with pytest.raises(InputError, match=told):
        load(symbolic(tmp_path), shapes=shapes)


def test_the_commands_take_input_shapes(tmp_path, capsys):
    path = symbolic(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["workloads", path, "--json", "--input-shape", "x=1,3,20,30"])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["macs"]["forward"] == 20 * 30 * 27 * 8
    for wrong in ("x", "x=1,a", "x=1,0", "=1", f"x={'9' * 5000}"):
        with pytest.raises(SystemExit) as ended:
            main(["workloads", path, "--input-shape", wrong])
        assert ended.value.code == 2 and "--input-shape" in capsys.readouterr().err


def conditional(tmp_path):
    """A product of twice the work where an input is above 8."""
    f, tensor = File(), helper.make_tensor_value_info
    f.numbers("eight", np.array(8, np.int64))
    f.node("Greater", ["rate", "eight"], "high")
    branches = []
    for name, width in (("then", 10), ("else", 5)):
        weight = numpy_helper.from_array(np.ones((4, width), np.float32), f"{name}_w")
        node = helper.make_node("MatMul", ["x", weight.name], [f"{name}_y"])
        branches.append(helper.make_graph([node], name, [], [tensor(f"{name}_y", TensorProto.FLOAT, None)], [weight]))
    f.node("If", ["high"], "y", then_branch=branches[0], else_branch=branches[1])
    return f.save(tmp_path / "if.onnx", ["N", 4], "y", inputs=[tensor("rate", TensorProto.INT64, [])])


@pytest.mark.parametrize("rate, macs", [(16.0, 40), (8.0, 20)])
def test_an_input_that_is_given_as_a_number_decides_a_condition(tmp_path, rate, macs):
    assert load(conditional(tmp_path), shapes={"rate": rate}).network.forward_macs == macs


def test_a_condition_of_an_input_is_refused_with_the_option_that_decides_it(tmp_path, capsys):
    path = conditional(tmp_path)
    with pytest.raises(InputError, match=r"node 'If_y': If is followed where its condition .* --input-value, such as rate=1$"):
        load(path)
    with pytest.raises(SystemExit) as ended:
        main(["workloads", path, "--json", "--input-value", "rate=16"])
    assert ended.value.code == 0 and json.loads(capsys.readouterr().out)["macs"]["forward"] == 40
    for wrong in ("rate", "rate=fast", "rate=inf", "=1", "other=1"):
        with pytest.raises(SystemExit) as ended:
            main(["workloads", path, "--input-value", wrong])
        assert ended.value.code == 2 and "input" in capsys.readouterr().err
    with pytest.raises(InputError, match="input 'x' cannot be one number: its sizes must be fixed"):
        load(path, shapes={"x": 1.0})


def test_a_batch_of_minus_one_is_symbolic(tmp_path):
    f = File()
    f.node("MatMul", ["x", f.weight("w", 4, 3)], "y")
    path = f.save(tmp_path / "minus.onnx", [-1, 4], "y")
    assert load(path).network.forward_macs == load(path, shapes={"x": (1, 4)}).network.forward_macs == 12


def test_a_name_too_long_for_a_layer_is_cut_and_still_tells_nodes_apart(tmp_path):
    f, path = File(), tmp_path / "long.onnx"
    f.node("MatMul", ["x", f.weight("w", 4, 4)], "a")
    f.node("MatMul", ["a", f.weight("v", 4, 4)], "y")
    model = onnx.load(f.save(path, ["N", 4], "y"), load_external_data=False)
    for node, end in zip(model.graph.node, "ab", strict=True):
        node.name = "joined;" * 60 + end
    onnx.save(model, path)
    names = [layer.name for layer in load(str(path)).network.weighted()]
    assert len(set(names)) == 2 and all(len(name) <= 120 and name.startswith("joined;joined;") for name in names)


def test_a_first_axis_that_is_no_batch_is_told_with_the_way_out(tmp_path):
    """Steps of a sequence stand first, are turned to the last axis, and a convolution runs along them."""
    f = File()
    f.node("Unsqueeze", ["x", f.constant("one", value=[1])], "u")
    f.node("Transpose", ["u"], "t", perm=[1, 2, 0])
    f.node("Conv", ["t", f.weight("w", 5, 8, 1)], "y")
    path = f.save(tmp_path / "steps.onnx", ["steps", 8], "y")
    with pytest.raises(InputError, match=r"first axis of 't' is not the batch, .* make it 1 by --input-shape x=1,"):
        load(path)
    assert load(path, shapes={"x": (1, 8)}).network.forward_macs == 40
