"""Nodes that look at tensors otherwise, or at parts of them: layers that train, and what is refused."""

import numpy as np
import onnx
import pytest
from float64_backend import Float64Backend
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from dataflow.rearrange import Concat, Slice
from dataflow.tokens import Select
from hw.errors import InputError
from training.exchange.onnx_read import read_trainable
from training.model import Model

RNG = np.random.default_rng(0)
TOKENS, WIDTH = 6, 8


class File:
    """A graph on tokens (N, 6, 8); weights are drawn."""

    def __init__(self):
        self.nodes, self.weights = [], []

    def node(self, kind, *inputs, outputs=1, **attributes):
        names = [f"{kind.lower()}{len(self.nodes)}.{place}" for place in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=names[0], **attributes))
        return names[0] if outputs == 1 else names

    def given(self, values, kind=np.int64):
        self.weights.append(numpy_helper.from_array(np.asarray(values, kind), f"c{len(self.weights)}"))
        return self.weights[-1].name

    def linear(self, source, inputs=WIDTH, outputs=WIDTH):
        return self.node("MatMul", source, self.given(RNG.standard_normal((inputs, outputs)), np.float32))

    def reshape(self, source, *shape):
        return self.node("Reshape", source, self.given(shape))

    def save(self, path, last, *shape):
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *sizes])
            for name, sizes in (("x", (TOKENS, WIDTH)), (last, shape))
        ]
        graph = helper.make_graph(self.nodes, "g", ends[:1], ends[1:], self.weights)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)
        return path


def layers_of(path):
    """The layers of a file's network, which makes what ONNX's own reference does."""
    network, weights = read_trainable(path)
    ours = Model(network, Float64Backend(), np.random.default_rng(0))
    ours.restore({name: array.astype(np.float64) for name, array in (ours.state() | weights).items()})
    ours.prepare()
    tokens = RNG.standard_normal((3, TOKENS, WIDTH)).astype(np.float32)
    (due,) = ReferenceEvaluator(onnx.load(path)).run(None, {"x": tokens})
    np.testing.assert_allclose(ours.forward(tokens.astype(np.float64)), due, rtol=1e-4, atol=1e-5)
    return network.layers


def heads(file, source, order):
    """(N, 6, 8) as two heads of four, samples before heads or behind."""
    turned = file.node("Transpose", file.reshape(source, -1, TOKENS, 2, 4), perm=order)
    return file.reshape(turned, -1, TOKENS, 4)


@pytest.mark.parametrize("axis, place", [(1, 0), (2, 1), (-1, 1)])
def test_tensors_are_joined_along_an_axis_of_a_sample(tmp_path, axis, place):
    file = File()
    joined = file.node("Concat", file.linear("x"), file.linear("x"), axis=axis)
    last = file.linear(joined, 2 * WIDTH if place else WIDTH, 5)
    found = layers_of(file.save(tmp_path / "a.onnx", last, TOKENS if place else 2 * TOKENS, 5))
    assert [layer.axis for layer in found if isinstance(layer, Concat)] == [place]


def test_tensors_whose_samples_and_heads_are_in_another_order_are_not_joined(tmp_path):
    """Two times N and N times two are as many."""

    def joined(*orders):
        file = File()
        parts = [heads(file, file.linear("x"), order) for order in orders]
        whole = file.node("Concat", *parts, axis=2)
        back = file.node("Transpose", file.reshape(whole, -1, 2, TOKENS, 8), perm=[0, 2, 1, 3])
        return file.save(tmp_path / "a.onnx", file.linear(file.reshape(back, -1, TOKENS, 16), 16, 5), TOKENS, 5)

    assert [layer.axis for layer in layers_of(joined((0, 2, 1, 3), (0, 2, 1, 3))) if isinstance(layer, Concat)] == [2]
    with pytest.raises(InputError, match=r"a\.onnx: node 'concat\d+\.0': Concat needs tensors whose axes are in one order$"):
        read_trainable(joined((0, 2, 1, 3), (2, 0, 1, 3)))


@pytest.mark.parametrize("kind", ["Concat", "Slice", "Gather"])
def test_nothing_is_joined_or_cut_along_the_batch(tmp_path, kind):
    file = File()
    cut = ("x", file.given([0]), file.given([1]), file.given([0]))
    inputs = {"Concat": ("x", "x"), "Slice": cut, "Gather": ("x", file.given(0))}[kind]
    last = file.node(kind, *inputs, **({} if kind == "Slice" else {"axis": 0}))
    with pytest.raises(InputError, match=rf"a\.onnx: node '.*': {kind} must not be along the batch$"):
        read_trainable(file.save(tmp_path / "a.onnx", file.linear(last, WIDTH, 5)))


def test_parts_of_an_axis_are_slices(tmp_path):
    """The first two and the last two tokens; of numbers those from the fourth to the last but one."""
    file = File()
    hidden = file.linear("x")
    first, _, last = file.node("Split", hidden, file.given([2, 2, 2]), outputs=3, axis=1)
    cut = file.node("Slice", file.node("Add", first, last), file.given([3]), file.given([-1]), file.given([2]))
    found = layers_of(file.save(tmp_path / "a.onnx", file.linear(cut, 4, 5), 2, 5))
    slices = [(layer.axis, layer.start, layer.size) for layer in found if isinstance(layer, Slice)]
    assert slices == [(0, 0, 2), (0, 2, 2), (0, 4, 2), (1, 3, 4)]


@pytest.mark.parametrize("axis, index", [(1, 2), (1, -1), (2, 3), (-1, -2)])
@pytest.mark.parametrize("keeps", [False, True])
def test_one_entry_is_chosen_and_its_axis_goes_unless_the_index_has_one(tmp_path, axis, index, keeps):
    file = File()
    chosen = file.node("Gather", file.linear("x"), file.given([index] if keeps else index), axis=axis)
    of_token = axis == 1
    left = file.reshape(chosen, -1, WIDTH if of_token else TOKENS)
    found = layers_of(file.save(tmp_path / "a.onnx", file.linear(left, WIDTH if of_token else TOKENS, 5), 5))
    size = TOKENS if of_token else WIDTH
    if of_token:
        assert [layer.index for layer in found if isinstance(layer, Select)] == [index % size]
    else:
        assert [(layer.axis, layer.start, layer.size) for layer in found if isinstance(layer, Slice)] == [(1, index % size, 1)]


def test_slices_that_jump_or_are_of_several_axes_are_refused(tmp_path):
    for starts, ends, axes, steps in (([0], [6], [1], [2]), ([0, 0], [2, 2], [1, 2], [1, 1])):
        file = File()
        cut = file.node("Slice", file.linear("x"), *map(file.given, (starts, ends, axes, steps)))
        with pytest.raises(InputError, match=r"Slice must be along one axis, by steps of 1$"):
            read_trainable(file.save(tmp_path / "a.onnx", cut))
