"""ONNX files that are not as the standard has them: one line that says what is wrong, of both readers, in bounded memory."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_file import File

from dataflow import importers
from dataflow.importers.onnx_branches import expand
from dataflow.importers.onnx_limits import MOST_NODES, check_limits
from hw.errors import InputError
from sim.cli.common import network_of
from training.exchange.onnx_read import read_trainable


def a_node_without_outputs(path):
    file = File()
    file.node("MatMul", ["x", file.constant("w", 8, 4)], "y")
    file.nodes.insert(0, helper.make_node("Softmax", ["x"], [], name="nothing"))
    return file.save(path, ("batch", 8), "y")


@pytest.mark.parametrize("read", [importers.load, read_trainable, network_of])
def test_a_node_that_makes_nothing_is_named(tmp_path, read):
    path = tmp_path / "net.onnx"
    a_node_without_outputs(path)
    with pytest.raises(InputError, match=r"^net.onnx: node 'nothing' of operator 'Softmax' makes no output$"):
        read(path if read is read_trainable else str(path))


def test_what_nobody_foresaw_of_a_file_is_the_files_fault_in_both_readers(tmp_path, monkeypatch):
    """Whatever is raised while a file is read; what is wrong by name stays as it is said."""
    path = tmp_path / "net.onnx"
    file = File()
    file.node("MatMul", ["x", file.constant("w", 8, 4)], "y")
    file.save(path, ("batch", 8), "y")
    for place in ("dataflow.importers.onnx_layers.read_graph", "training.exchange.onnx_read.read_graph"):
        monkeypatch.setattr(place, lambda *_, **__: [][0])
    for read, given in ((importers.load, str(path)), (read_trainable, path)):
        with pytest.raises(InputError, match=r"^net.onnx: is not as the standard has it: IndexError: list index out of range$"):
            read(given)


def test_shapes_that_take_too_much_memory_are_refused(tmp_path):
    """A vector of 2^40 numbers as indices: inference makes an axis for each of the numbers that it does not know."""
    file = File()
    huge = onnx.TensorProto(name="huge", data_type=TensorProto.INT64, dims=[1 << 40])
    file.constants += [huge]
    file.node("Identity", ["huge"], "copy")
    file.node("Gather", ["copy", file.numbers("places", np.arange(3))], "few")
    file.node("MatMul", ["x", file.constant("w", 8, 4)], "y")
    path = file.save(tmp_path / "net.onnx", ("batch", 8), "y")
    with pytest.raises(InputError, match=r"^net.onnx: shapes cannot be inferred in 2,147,483,648 bytes of memory$"):
        importers.load(path)


def model_of(*nodes, constants=()):
    return helper.make_model(helper.make_graph(nodes, "g", [], [], constants))


def test_nodes_are_counted_to_the_limit():
    """The last one that is allowed, and the one behind it; within a graph of a node, too."""
    nodes = [helper.make_node("Relu", ["x"], ["x"])] * MOST_NODES
    check_limits("net.onnx", model_of(*nodes))
    with pytest.raises(InputError, match=r"^net.onnx: 20,001 nodes are too many: at most 20,000$"):
        check_limits("net.onnx", model_of(*nodes, nodes[0]))
    branch = helper.make_graph(nodes[1:], "inner", [], [])
    check_limits("net.onnx", model_of(helper.make_node("If", ["x"], ["y"], then_branch=branch)))
    with pytest.raises(InputError, match=r"^net.onnx: 20,001 nodes are too many"):
        check_limits("net.onnx", model_of(nodes[0], helper.make_node("If", ["x"], ["y"], then_branch=branch)))


@pytest.mark.parametrize(
    ("dims", "is_shape"), [((), True), ((0, 5), True), ((-1,), False), ((2**62,), True), ((2**62, 2), False)]
)
def test_what_is_no_shape_is_refused(dims, is_shape):
    """Sizes are not negative, and their product is one that 64 bits with a sign can count."""
    tensor = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims)
    if is_shape:
        check_limits("net.onnx", model_of(constants=[tensor]))
        return
    with pytest.raises(InputError, match=r"^net.onnx: constant 'w': .* is no shape$"):
        check_limits("net.onnx", model_of(constants=[tensor]))


@pytest.mark.parametrize(("rounds", "is_expanded"), [(0, False), (1, True), (512, True), (513, False)])
def test_loops_of_so_many_rounds_are_followed(rounds, is_expanded):
    """Each round is a copy of the body; a longer loop stays one."""
    boolean = helper.make_tensor_value_info("go", TensorProto.BOOL, [])
    number, value, result = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("i", "v", "r"))
    body = helper.make_graph([helper.make_node("Relu", ["v"], ["r"])], "body", [number, boolean, value], [boolean, result])
    graph = model_of(helper.make_node("Loop", ["count", "", "x"], ["y"], body=body)).graph
    assert expand(graph, {"count": np.array(rounds)}) == is_expanded
    assert sum(node.op_type == "Relu" for node in graph.node) == (rounds if is_expanded else 0)
