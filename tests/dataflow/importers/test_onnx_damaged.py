"""ONNX files that are not as the standard has them: one line that says what is wrong, of both readers, in bounded memory."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_file import File

from dataflow import importers
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
