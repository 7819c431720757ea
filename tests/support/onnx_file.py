"""ONNX graphs that tests put together, and what a network comes down to."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from dataflow.lowering.lower import lower
from hw.config import PRESETS

TINY = PRESETS["tiny"]


class File:
    """An ONNX graph that is being put together."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, name, *shape, value=None):
        array = np.ones(shape, np.float32) if value is None else np.array(value, np.int64)
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def weight(self, name, *shape):
        """A constant whose numbers are in a file that is not there."""
        tensor = onnx.TensorProto(name=name, dims=shape, data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="nowhere.bin")
        self.constants.append(tensor)
        return name

    def node(self, kind, inputs, output, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"{kind}_{output}", **attributes))
        return output

    def numbers(self, name, array):
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def save(self, path, shape, output, *, domain="", inputs=(), opset=17, kind=TensorProto.FLOAT):
        tensor = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "g",
            [tensor("x", kind, shape), *inputs],
            [tensor(output, TensorProto.FLOAT, None)],
            self.constants,
        )
        opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
        return str(path)


def products(network, batch=1):
    return {p.layer: (p.count, p.m, p.n, p.k) for p in reversed(lower(network, TINY, batch=batch).products)}
