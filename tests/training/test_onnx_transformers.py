"""ONNX transformers as networks that train: whatever exporters do with axes, the logits are those of ONNX's own reference."""

import json

import numpy as np
import onnx
import pytest
from float64_backend import Float64Backend
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from dataflow import zoo
from dataflow.network import Conv, Linear
from dataflow.rearrange import Reshape, Transpose
from dataflow.tokens import MatMul
from hw.errors import InputError
from sim.cli import main
from training.exchange.onnx_read import read_trainable
from training.exchange.onnx_view import View
from training.exchange.onnx_write import to_onnx
from training.experiment import Experiment, run
from training.model import Model

RNG = np.random.default_rng(0)
TOKENS, WIDTH, HEADS = 5, 8, 2


@st.composite
def chains(draw):
    """A sample's shape, and steps of a tensor of it: orders of axes, and shapes that join or split neighbours."""
    shape = tuple(draw(st.lists(st.sampled_from((1, 2, 3, 4, 6)), min_size=1, max_size=3)))
    steps, tensor = [], (5, *shape)
    for _ in range(draw(st.integers(1, 5))):
        if draw(st.booleans()):
            order = draw(st.permutations(range(len(tensor))))
            steps.append(("order", order))
            tensor = tuple(tensor[axis] for axis in order)
        else:
            left, made = list(tensor), []
            while left:
                size = left.pop(0)
                if left and draw(st.booleans()):
                    left[0] *= size
                elif size % 2 == 0 and draw(st.booleans()):
                    made += [2, size // 2] if draw(st.booleans()) else [size // 2, 2]
                else:
                    made.append(size)
            steps.append(("shape", made))
            tensor = tuple(made)
    return shape, steps


@given(chains())
@settings(max_examples=300, deadline=None)
def test_a_view_is_the_tensor_and_its_steps_make_a_sample_in_order(case):
    """Each element of the file's tensor, of every sample, stands where the view says: NumPy does the same to numbers."""
    shape, steps = case
    count = int(np.prod(shape))
    numbers = np.arange(5 * count).reshape(5, *shape)
    view = View.of("layer", shape, 5)
    for kind, step in steps:
        numbers = numbers.transpose(step) if kind == "order" else numbers.reshape(step)
        view = view.transposed(step) if kind == "order" else view.reshaped(step)
        if view is None:  # a chain may tear samples apart: then some axis holds a part of them
            return
        assert view.shape == numbers.shape
    layer = np.arange(count).reshape(shape)
    for step in view.steps(shape):
        layer = layer.transpose(step[1]) if step[0] == "order" else layer.reshape(step)
    sample = np.stack([layer + count * number for number in range(5)])
    batch = [[key for key, _ in axis] for axis in view.axes]
    place = next(axis for axis, keys in enumerate(batch) if (-1,) in keys)
    if batch[place] == [(-1,)]:
        due = np.moveaxis(numbers, place, 0)
        np.testing.assert_array_equal(sample.reshape(due.shape), due)
        assert due.ndim in (1, sample.ndim)


class File:
    """A graph under construction; weights are drawn."""

    def __init__(self, *shape):
        self.shape, self.nodes, self.weights = shape, [], []

    def node(self, kind, *inputs, **attributes):
        """Append one; its output."""
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def given(self, values, kind=np.float32):
        """A constant."""
        self.weights.append(numpy_helper.from_array(np.asarray(values, kind), f"c{len(self.weights)}"))
        return self.weights[-1].name

    def drawn(self, *shape):
        return self.given(RNG.standard_normal(shape) / 2)

    def linear(self, source, inputs, outputs):
        return self.node("Add", self.node("MatMul", source, self.drawn(inputs, outputs)), self.drawn(outputs))

    def norm(self, source):
        return self.node("LayerNormalization", source, self.drawn(WIDTH), self.drawn(WIDTH), axis=-1, epsilon=1e-6)

    def reshape(self, source, *shape):
        return self.node("Reshape", source, self.given(shape, np.int64))

    def save(self, path, last, outputs=10):
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])
            for name, shape in (("x", self.shape), (last, (outputs,)))
        ]
        graph = helper.make_graph(self.nodes, "g", ends[:1], ends[1:], self.weights)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)
        return path


def batch_first(file, source):
    """Heads as Hugging Face has them; the scores are scaled behind the product."""
    heads = [
        file.node("Transpose", file.reshape(file.linear(source, WIDTH, WIDTH), -1, TOKENS, HEADS, WIDTH // HEADS), perm=perm)
        for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
    ]
    scores = file.node("Mul", file.node("MatMul", *heads[:2]), file.given(0.5))
    mixed = file.node("MatMul", file.node("Softmax", scores, axis=-1), heads[2])
    return file.reshape(file.node("Transpose", mixed, perm=[0, 2, 1, 3]), -1, TOKENS, WIDTH)


def stacked(file, source):
    """As timm has it: queries, keys and values in one product, chosen from the first axis, the batch being the second."""
    split = file.reshape(file.linear(source, WIDTH, 3 * WIDTH), -1, TOKENS, 3, HEADS, WIDTH // HEADS)
    turned = file.node("Transpose", split, perm=[2, 0, 3, 1, 4])
    query, key, value = (file.node("Gather", turned, file.given(index, np.int64), axis=0) for index in range(3))
    query = file.node("Mul", query, file.given(0.5))
    mixed = file.node(
        "MatMul", file.node("Softmax", file.node("MatMul", query, file.node("Transpose", key, perm=[0, 1, 3, 2]))), value
    )
    return file.reshape(file.node("Transpose", mixed, perm=[0, 2, 1, 3]), -1, TOKENS, WIDTH)


def tokens_first(file, source):
    """As PyTorch's multi-head attention has it: tokens before samples, which heads join; both operands are scaled."""
    turned = file.node("Transpose", source, perm=[1, 0, 2])
    heads = [
        file.node("Transpose", file.reshape(file.linear(turned, WIDTH, WIDTH), TOKENS, -1, WIDTH // HEADS), perm=perm)
        for perm in ([1, 0, 2], [1, 2, 0], [1, 0, 2])
    ]
    query, key = (file.node("Div", one, file.given(2**0.5)) for one in heads[:2])
    mixed = file.node("MatMul", file.node("Softmax", file.node("MatMul", query, key), axis=2), heads[2])
    joined = file.reshape(file.node("Transpose", mixed, perm=[1, 0, 2]), -1, WIDTH)
    out = file.node("Gemm", joined, file.drawn(WIDTH, WIDTH), file.drawn(WIDTH), transB=1)
    return file.node("Transpose", file.reshape(out, TOKENS, -1, WIDTH), perm=[1, 0, 2])


def gelu_by_erf(file, source):
    """As exporters wrote it before there was an operator."""
    erf = file.node("Erf", file.node("Div", source, file.given(2**0.5)))
    return file.node("Mul", file.node("Mul", source, file.node("Add", erf, file.given(1))), file.given(0.5))


def silu(file, source):
    return file.node("Mul", source, file.node("Sigmoid", source))


def gelu(file, source):
    return file.node("Gelu", source, approximate="tanh")


def of_class(file, source):
    return file.node("Gather", source, file.given(0, np.int64), axis=1)


def of_all(file, source):
    return file.node("ReduceMean", source, file.given([1], np.int64), keepdims=0)


def transformer(path, attention, activation, end):
    """Patches of an image as tokens behind a class token, one block, a classifier."""
    file = File(3, 4, 4)
    patches = file.node("Conv", "x", file.drawn(WIDTH, 3, 2, 2), file.drawn(WIDTH), strides=[2, 2], kernel_shape=[2, 2])
    rows = file.node("Transpose", file.reshape(patches, -1, WIDTH, 4), perm=[0, 2, 1])
    shape = file.node("Concat", file.node("Shape", rows, start=0, end=1), file.given([1, WIDTH], np.int64), axis=0)
    token = file.node("Expand", file.drawn(1, 1, WIDTH), shape)
    tokens = file.node("Add", file.node("Concat", token, rows, axis=1), file.drawn(1, TOKENS, WIDTH))
    tokens = file.node("Add", tokens, attention(file, file.norm(tokens)))
    hidden = activation(file, file.linear(file.norm(tokens), WIDTH, 12))
    tokens = file.node("Add", file.linear(hidden, 12, WIDTH), tokens)
    return file.save(path, file.node("Gemm", end(file, file.norm(tokens)), file.drawn(WIDTH, 10), file.drawn(10)))


@pytest.mark.parametrize(
    "attention, activation, end",
    [(batch_first, gelu_by_erf, of_class), (stacked, silu, of_all), (tokens_first, gelu, of_class)],
)
def test_the_logits_are_the_references_and_training_goes_on(tmp_path, attention, activation, end):
    path = transformer(tmp_path / "theirs.onnx", attention, activation, end)
    network, weights = read_trainable(path)
    assert network.input_shape == (4, 4, 3)
    ours = Model(network, Float64Backend(), np.random.default_rng(0))
    ours.restore({name: array.astype(np.float64) for name, array in (ours.state() | weights).items()})
    ours.prepare()
    images = RNG.random((3, 4, 4, 3))
    (expected,) = ReferenceEvaluator(onnx.load(path)).run(None, {"x": images.transpose(0, 3, 1, 2).astype(np.float32)})
    np.testing.assert_allclose(ours.forward(images), expected, rtol=1e-4, atol=1e-5)
    done, metrics = run(Experiment(model=str(path), data="random", epochs=1, batch=8, method="bdwp"))
    assert done.network == network and np.isfinite(metrics["train_loss"][-1])


def test_our_own_transformer_out_and_in_again(tmp_path):
    """Narrow: products of two activations keep their scale, and no view is left where the file's steps undo each other."""
    built = Model(zoo.load("vit/16"), Float64Backend(), np.random.default_rng(1))
    built.prepare()
    onnx.save(to_onnx(built), tmp_path / "m.onnx")
    network, weights = read_trainable(tmp_path / "m.onnx")
    again = Model(network, Float64Backend(), np.random.default_rng(5))
    again.restore({name: array.astype(np.float64) for name, array in (again.state() | weights).items()})
    again.prepare()
    images = RNG.random((2, *built.network.input_shape))
    np.testing.assert_allclose(again.forward(images), built.forward(images), rtol=1e-4, atol=1e-5)
    scales = [[layer.scale for layer in one.layers if isinstance(layer, MatMul)] for one in (network, built.network)]
    assert scales[0] == pytest.approx(scales[1]) and set(scales[1]) == {4**-0.5, 1.0}
    moved = [layer for layer in network.layers if isinstance(layer, Transpose | Reshape)]
    own = [layer for layer in built.network.layers if isinstance(layer, Transpose | Reshape)]
    assert len(moved) == len(own) + 1  # patches as rows, which the class token stands in front of


def broken(path, kind):
    """A file that cannot be trained."""
    file = File(TOKENS, WIDTH)
    if kind == "number":
        last = file.node("Relu", file.node("Mul", "x", file.given(2)))
    elif kind == "token":
        last = file.node("Relu", file.node("Concat", file.drawn(1, 1, WIDTH), "x", axis=1))
    elif kind == "last number":
        last = file.node("Mul", file.linear("x", WIDTH, WIDTH), file.given(2))
    elif kind == "last token":
        last = file.node("Concat", file.drawn(1, 1, WIDTH), file.linear("x", WIDTH, WIDTH), axis=1)
    elif kind == "part":
        last = file.node("Sigmoid", "x")
    elif kind == "batch":
        last = file.node("Softmax", file.node("Transpose", "x", perm=[1, 2, 0]), axis=-1)
    elif kind == "torn":
        last = file.reshape(file.node("Transpose", "x", perm=[1, 0, 2]), -1, WIDTH * TOKENS)
    else:
        last = file.node("Gather", "x", file.given([0, 1], np.int64), axis=1)
    return file.save(path, last)


@pytest.mark.parametrize(
    "kind, told",
    [
        (
            "number",
            r"node 'relu1': Relu cannot be trained of what is multiplied by a number; allowed: products of two activations",
        ),
        ("token", r"node 'relu1': Relu cannot be trained of rows behind a class token; allowed: Add of positions"),
        ("batch", r"node 'softmax1': Softmax cannot be along the batch"),
        ("torn", r"node 'reshape1': Reshape from \(5, \d+, 8\) to \(\d+, 40\) does not keep samples apart"),
        ("part", r"node 'sigmoid0': Sigmoid can be trained as a part of GELU or SiLU alone"),
        ("several", r"node 'gather0': Gather must choose one entry of an axis, not 2"),
    ],
)
def test_what_cannot_be_trained_is_named(tmp_path, kind, told):
    with pytest.raises(InputError, match=rf"^theirs\.onnx: {told}$"):
        read_trainable(broken(tmp_path / "theirs.onnx", kind))


@pytest.mark.parametrize("kind, what", [("last number", "multiplied by a number"), ("last token", "rows behind a class token")])
def test_nothing_is_left_to_be_done_behind_the_last_layer(tmp_path, kind, what):
    with pytest.raises(InputError, match=rf"theirs\.onnx: the output '\w+' cannot be {what}$"):
        read_trainable(broken(tmp_path / "theirs.onnx", kind))


def test_the_last_layer_has_the_shape_of_the_output(tmp_path):
    """Pixels of a convolution as logits, flattened behind it."""
    file = File(3, 2, 2)
    pixels = file.node("Conv", "x", file.drawn(10, 3, 2, 2), file.drawn(10), kernel_shape=[2, 2])
    network, _ = read_trainable(file.save(tmp_path / "theirs.onnx", file.node("Flatten", pixels, axis=1)))
    assert network.shapes[network.layers[-1].name] == (10,)


def test_a_step_of_it_runs_on_the_machine(tmp_path, capsys):
    """A report is of the network as it trains: with the attention's scale in its product, which the accelerator has."""
    path = transformer(tmp_path / "theirs.onnx", stacked, gelu_by_erf, of_class)
    with pytest.raises(SystemExit) as ended:
        main(["report", str(path), "--config", "tiny", "--batch", "2", "--json", "--out", str(tmp_path / "report")])
    assert ended.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert found["exact"] and found["cycles"]["step"] > 0
    network = read_trainable(path)[0]
    products = {layer.name for layer in network.layers if isinstance(layer, Conv | Linear | MatMul)}
    assert {row["name"] for row in found["layers"]} == products
