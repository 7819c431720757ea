"""Weights to and from others: PyTorch's names and layout, its files without running them, ONNX in and out."""

import io
import json
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import onnx
import pytest
from float64_backend import Float64Backend
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from dataflow import zoo
from dataflow.network import INPUT, Add, BatchNorm, Conv, Flatten, Linear, MaxPool, Network, Relu
from dataflow.tokens import Activation
from hw.errors import InputError
from hw.formats import BINARY32
from hw.ratio import DENSE, Ratio
from sim.cli import main
from training import methods
from training.backend import FastBackend
from training.data import digits
from training.exchange.files import load_into, read_weights, write
from training.exchange.names import tensors, torch_name
from training.exchange.onnx_read import read_trainable
from training.exchange.onnx_write import to_onnx
from training.exchange.torch_file import read_torch
from training.experiment import Experiment, run
from training.fast import fast_error_bound
from training.model import Model
from training.saved import Saved, read_model, write_model

RNG = np.random.default_rng(0)


def model(name, seed=0, ratio=DENSE, method="bdwp", backend=None):
    network = name if isinstance(name, Network) else zoo.load(name)
    built = Model(
        network, backend or FastBackend(BINARY32), np.random.default_rng(seed), method=methods.load(method), ratio=ratio
    )
    state = {}
    for key, array in built.state().items():  # statistics and shifts that are not their first values
        drawn = np.random.default_rng(len(key)).standard_normal(array.shape).astype(array.dtype)
        state[key] = np.abs(drawn) + 0.5 if key.endswith("variance") else array + drawn / 8
    built.restore(state)
    built.prepare()
    return built


def saved(built):
    return Saved(built, {"method": built.method.name, "ratio": str(built.ratio), "storage": "binary32", "metrics": {}})


RESNET18 = {  # of torchvision's resnet18().state_dict()
    ("conv1", "weight"): "conv1.weight",
    ("conv1.norm", "scale"): "bn1.weight",
    ("conv1.norm", "variance"): "bn1.running_var",
    ("layer1.1.conv1", "weight"): "layer1.0.conv1.weight",
    ("layer1.2.conv2.norm", "mean"): "layer1.1.bn2.running_mean",
    ("layer2.1.project", "weight"): "layer2.0.downsample.0.weight",
    ("layer2.1.project.norm", "shift"): "layer2.0.downsample.1.bias",
    ("layer4.2.conv2", "weight"): "layer4.1.conv2.weight",
    ("fc", "bias"): "fc.bias",
}
VIT = {  # of timm's VisionTransformer
    ("patch", "weight"): "patch_embed.proj.weight",
    ("embed", "token"): "cls_token",
    ("embed", "position"): "pos_embed",
    ("block1.attention.norm", "scale"): "blocks.0.norm1.weight",
    ("block6.attention.qkv", "bias"): "blocks.5.attn.qkv.bias",
    ("block2.attention.project", "weight"): "blocks.1.attn.proj.weight",
    ("block3.mlp.norm", "shift"): "blocks.2.norm2.bias",
    ("block3.mlp.fc1", "weight"): "blocks.2.mlp.fc1.weight",
    ("norm", "scale"): "norm.weight",
    ("head", "weight"): "head.weight",
}


@pytest.mark.parametrize("name, names", [("resnet18", RESNET18), ("resnet50", RESNET18), ("vit", VIT)])
def test_tensors_have_the_names_of_torchvision_and_timm(name, names):
    network = zoo.load(name)
    for (layer, kind), expected in names.items():
        assert torch_name(network, layer, kind) == expected


def test_layout_is_pytorchs():
    built = model("cnn")
    weight = built.state()["conv2.weight"]
    np.testing.assert_array_equal(tensors(built)["conv2.weight"], weight.transpose(0, 3, 1, 2))
    shapes = {name: array.shape for name, array in tensors(model("vit")).items()}
    assert shapes["cls_token"] == (1, 1, 512) and shapes["pos_embed"] == (1, 65, 512)
    assert shapes["patch_embed.proj.weight"] == (512, 3, 4, 4) and shapes["head.weight"] == (100, 512)


def small():
    """Every layer that a residual network has."""
    layers = (
        Conv(name="conv1", inputs=(INPUT,), out_channels=8, kernel=3, padding=1),
        BatchNorm(name="conv1.norm", inputs=("conv1",)),
        Relu(name="r1", inputs=("conv1.norm",)),
        Conv(name="conv2", inputs=("r1",), out_channels=8, kernel=3, padding=1, bias=True),
        Add(name="sum", inputs=("conv2", "r1")),
        MaxPool(name="pool", inputs=("sum",), kernel=2, stride=2),
        Flatten(name="flat", inputs=("pool",)),
        Linear(name="hidden", inputs=("flat",), out_features=16),
        Relu(name="r2", inputs=("hidden",)),
        Linear(name="head", inputs=("r2",), out_features=10),
    )
    return Network(name="small", input_shape=(8, 8, 1), layers=layers)


@pytest.mark.parametrize("network", [small(), "cnn", "mlp"], ids=lambda one: getattr(one, "name", one))
def test_safetensors_go_out_and_in(tmp_path, network):
    built = model(network, seed=1, ratio=Ratio(2, 4))
    write(tmp_path / "w.safetensors", saved(built), dense=True)
    other = model(network, seed=2, ratio=Ratio(2, 4))
    assert load_into(other, tmp_path / "w.safetensors") == []
    assert all(array.tobytes() == built.state()[name].tobytes() for name, array in other.state().items())
    images = RNG.random((4, 8, 8, 1), np.float32)
    assert other.forward(images).tobytes() == built.forward(images).tobytes()


def test_without_dense_the_zeros_of_the_masks_go_out(tmp_path):
    from safetensors import safe_open
    from safetensors.numpy import load

    built = model("cnn", ratio=Ratio(2, 8))
    write(tmp_path / "w.safetensors", saved(built))
    weight = load((tmp_path / "w.safetensors").read_bytes())["conv3.weight"]
    assert (np.count_nonzero(weight.reshape(32, 4, 8, 3, 3), axis=2) == 2).all()
    np.testing.assert_array_equal(weight, read_weights(built)["conv3"].transpose(0, 3, 1, 2))
    with safe_open(tmp_path / "w.safetensors", "numpy") as file:
        assert file.metadata() == {
            "method": "bdwp",
            "ratio": "2:8",
            "storage": "binary32",
            "network": "cnn",
            "weights": "pruned",
        }
    with pytest.raises(InputError, match=r"w\.h5: weights are written as \.safetensors or \.onnx"):
        write(tmp_path / "w.h5", saved(built))


class FakeTorch:
    """Writes a file as torch.save does: a pickle of references to storages beside it."""

    def __init__(self, monkeypatch):
        self.torch, self.utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
        self.storages = {}
        for name in ("FloatStorage", "HalfStorage", "BFloat16Storage", "LongStorage"):
            setattr(self.torch, name, type(name, (), {"__module__": "torch"}))

        def rebuild(*rest):
            raise AssertionError("is only named")

        rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
        self.rebuild = self.utils._rebuild_tensor_v2 = rebuild
        monkeypatch.setitem(sys.modules, "torch", self.torch)
        monkeypatch.setitem(sys.modules, "torch._utils", self.utils)

    def tensor(self, array, kind="FloatStorage", count=None, offset=0):
        key = str(len(self.storages))
        self.storages[key] = array
        strides = tuple(step // array.itemsize for step in array.strides)
        storage = ("storage", getattr(self.torch, kind), key, "cpu", array.size if count is None else count)
        rebuild = self.rebuild

        class Tensor:
            def __reduce__(self):
                return rebuild, (Reference(storage), offset, array.shape, strides, False, OrderedDict())

        return Tensor()

    def save(self, path, what):
        body = io.BytesIO()
        pickler = pickle.Pickler(body, 2)
        pickler.persistent_id = lambda one: one.storage if isinstance(one, Reference) else None
        pickler.dump(what)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("model/data.pkl", body.getvalue())
            for key, array in self.storages.items():
                archive.writestr(f"model/data/{key}", array.tobytes(order="A"))
        return path


class Reference:
    """To a storage."""

    def __init__(self, storage):
        self.storage = storage


def test_a_state_dict_of_pytorch_is_read_without_it(tmp_path, monkeypatch):
    fake, built = FakeTorch(monkeypatch), model(small(), seed=1)
    state = OrderedDict((name, fake.tensor(np.ascontiguousarray(array))) for name, array in tensors(built).items())
    state["conv1.norm.num_batches_tracked"] = fake.tensor(np.array([3]), "LongStorage")
    path = fake.save(tmp_path / "w.pt", {"epoch": 3, "state_dict": state})
    other = model(small(), seed=2)
    load_into(other, path)
    assert all(array.tobytes() == built.state()[name].tobytes() for name, array in other.state().items())


def test_formats_and_strides_of_tensors(tmp_path, monkeypatch):
    fake = FakeTorch(monkeypatch)
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    brain = (np.array([1.5, -2], np.float32).view(np.uint32) >> 16).astype(np.uint16)
    state = {
        "alone": fake.tensor(np.array(7.0, np.float32)),
        "turned": fake.tensor(matrix.T),
        "half": fake.tensor(np.array([0.5, 2], np.float16), "HalfStorage"),
        "brain": fake.tensor(brain, "BFloat16Storage"),
    }
    found = read_torch(fake.save(tmp_path / "w.pt", state))
    np.testing.assert_array_equal(found["turned"], matrix.T)
    assert found["alone"].shape == () and found["alone"] == 7
    assert found["half"].tolist() == [0.5, 2] and found["brain"].tolist() == [1.5, -2]


class Evil:
    """Would run a command if it were unpickled."""

    def __reduce__(self):
        import os

        return os.system, ("touch /tmp/it_was_run",)


def test_a_file_that_would_run_something_is_refused(tmp_path, monkeypatch):
    fake = FakeTorch(monkeypatch)
    with pytest.raises(InputError, match=r"not a state dict: it names '(posix|nt)\.system', which no tensor needs"):
        read_torch(fake.save(tmp_path / "w.pt", {"a": Evil()}))
    four = np.zeros(4, np.float32)
    for tensor, told in (
        (fake.tensor(four, offset=1), "outside its storage"),
        (fake.tensor(four, count=9), "shorter than it says"),
    ):
        with pytest.raises(InputError, match=told):
            read_torch(fake.save(tmp_path / "w.pt", {"a": tensor}))
    for content, told in ((b"x", "not a file of torch.save"), (None, "no such file")):
        path = tmp_path / "odd.pt"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(InputError, match=told):
            read_torch(path)
    with pytest.raises(InputError, match="it holds no named tensors"):
        read_torch(fake.save(tmp_path / "w.pt", {"epoch": 3}))


def test_another_networks_weights_are_told_and_another_classifier_stays_fresh(tmp_path):
    write(tmp_path / "w.safetensors", saved(model("cnn", seed=1)), dense=True)
    layers = list(zoo.load("cnn").layers)
    more = Network(name="cnn", input_shape=(8, 8, 1), layers=(*layers[:-1], replace(layers[-1], out_features=12)))
    other = model(more, seed=2)
    before = other.state()["fc.weight"].copy()
    assert load_into(other, tmp_path / "w.safetensors") == ["fc.weight", "fc.bias"]
    np.testing.assert_array_equal(other.state()["fc.weight"], before)
    with pytest.raises(InputError, match=r"tensor 'fc1\.weight' is missing; it has conv1\.bias, conv1\.weight"):
        load_into(model("mlp"), tmp_path / "w.safetensors")
    wide = Network(name="cnn", input_shape=(8, 8, 1), layers=(replace(layers[0], out_channels=24), *layers[1:]))
    with pytest.raises(
        InputError, match=r"tensor 'conv1.weight' gives conv1.weight shape \(16, 3, 3, 1\), not \(24, 3, 3, 1\)"
    ):
        load_into(model(wide), tmp_path / "w.safetensors")
    (tmp_path / "w.safetensors").write_bytes(b"x")
    with pytest.raises(InputError, match="not a safetensors file"):
        load_into(model("cnn"), tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"weights are read from \.npz, \.safetensors, \.pt"):
        load_into(model("cnn"), tmp_path / "w.h5")


def test_layers_that_torchvision_numbers_are_taken_in_order(tmp_path):
    from safetensors.numpy import save

    built = model(small(), seed=1)
    own = list(dict.fromkeys(name.rpartition(".")[0] for name in tensors(built)))
    theirs = {}
    for name, array in tensors(built).items():  # features.0, features.3, ... features.12, which names would put before 3
        module, _, kind = name.rpartition(".")
        theirs[f"features.{3 * own.index(module)}.{kind}"] = array
    (tmp_path / "w.safetensors").write_bytes(save(theirs))
    other = model(small(), seed=2)
    load_into(other, tmp_path / "w.safetensors")
    assert all(array.tobytes() == built.state()[name].tobytes() for name, array in other.state().items())


def onnx_logits(made, images):
    """By ONNX's own reference, which knows nothing of ours."""
    shown = images.transpose(0, 3, 1, 2) if images.ndim == 4 else images
    return ReferenceEvaluator(made).run(None, {INPUT: shown.astype(np.float32)})[0]


@pytest.mark.parametrize("name", ["mlp", "cnn", small(), "resnet9"], ids=lambda one: getattr(one, "name", one))
def test_onnx_out_and_in_again_is_the_same_network(tmp_path, name):
    """The forward of what is read back has the bits of what was written, in the same order of layers."""
    built = model(name, seed=1)
    made = to_onnx(built)
    onnx.save(made, tmp_path / "m.onnx")
    network, weights = read_trainable(tmp_path / "m.onnx")
    assert network.input_shape == built.network.input_shape and network.parameters == built.network.parameters
    again = Model(network, FastBackend(BINARY32), np.random.default_rng(5))
    again.restore(again.state() | weights)
    again.prepare()
    images = RNG.random((2, *built.network.input_shape), np.float32)
    assert again.forward(images).tobytes() == built.forward(images).tobytes()


def test_onnx_of_a_transformer_has_the_logits(tmp_path):
    layers = [
        layer
        for layer in zoo.load("vit").layers
        if not layer.name.startswith(("block2", "block3", "block4", "block5", "block6"))
    ]
    layers[-3] = replace(layers[-3], inputs=("block1.mlp.add",))
    built = model(Network(name="vit", input_shape=(32, 32, 3), layers=tuple(layers)), backend=Float64Backend())
    images = RNG.random((2, 32, 32, 3))
    np.testing.assert_allclose(onnx_logits(to_onnx(built), images), built.forward(images), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["gelu", "gelu_tanh", "silu"])
def test_activations_are_written_as_what_they_are(kind):
    layers = (
        Linear(name="a", inputs=(INPUT,), out_features=16),
        Activation(name="b", inputs=("a",), kind=kind),
        Linear(name="c", inputs=("b",), out_features=4),
    )
    built = model(Network(name="n", input_shape=(8,), layers=layers), backend=Float64Backend())
    images = RNG.standard_normal((5, 8))
    np.testing.assert_allclose(onnx_logits(to_onnx(built), images), built.forward(images), rtol=1e-4, atol=1e-5)


def test_the_forward_of_an_onnx_file_is_within_a_derived_bound(tmp_path):
    """Convolution, ReLU, linear: each product adds its own error bound to the one before times the weights' magnitudes.

    ``|y - y'| <= |W| e + bound(k, |W| |x|)`` where e bounds the input's error and `fast_error_bound` that of two sums of k
    terms; the bias's addition rounds once in each; ReLU spreads no error. Magnitudes are those of binary64, with a hundredth on
    top for the errors within them.
    """
    layers = (
        Conv(name="c", inputs=(INPUT,), out_channels=8, kernel=3, bias=True),
        Relu(name="r", inputs=("c",)),
        Flatten(name="f", inputs=("r",)),
        Linear(name="l", inputs=("f",), out_features=5),
    )
    built = model(Network(name="bound", input_shape=(6, 6, 4), layers=layers), seed=3)
    onnx.save(to_onnx(built), tmp_path / "m.onnx")
    network, weights = read_trainable(tmp_path / "m.onnx")
    ours = Model(network, FastBackend(BINARY32), np.random.default_rng(0))
    ours.restore(ours.state() | weights)
    ours.prepare()
    images = RNG.standard_normal((3, 6, 6, 4)).astype(np.float32)
    state = {name: np.abs(array.astype(np.float64)) for name, array in built.state().items()}
    windows = np.lib.stride_tricks.sliding_window_view(np.abs(images.astype(np.float64)), (3, 3), axis=(1, 2))
    first = np.einsum("bhwcij,oijc->bhwo", windows, state["c.weight"])
    error = fast_error_bound(36, first) + 2.0**-23 * (first + state["c.bias"])
    hidden, error = (part.reshape(3, -1) for part in (first + state["c.bias"], error))
    second = hidden @ state["l.weight"].T
    bound = 1.01 * (error @ state["l.weight"].T + fast_error_bound(128, second) + 2.0**-23 * (second + state["l.bias"]))
    difference = np.abs(onnx_logits(to_onnx(built), images).astype(np.float64) - ours.forward(images))
    assert (difference <= bound).all() and bound.max() < 0.01


def torch_like(path, *, axis=1, kind="Gemm"):
    """As torch.onnx.export writes a small convolutional network: channels first throughout, a flatten in between."""
    arrays = {
        "c.w": RNG.standard_normal((4, 1, 3, 3)), "c.b": RNG.standard_normal(4), "n.s": RNG.random(4), "n.b": RNG.random(4),
        "n.m": RNG.random(4), "n.v": RNG.random(4) + 0.5,
        "l.w": RNG.standard_normal((10, 4 * 9)), "l.b": RNG.standard_normal(10),
    }  # fmt: skip
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "c.w", "c.b"], ["/c/Conv_output_0"], pads=[0] * 4, kernel_shape=[3, 3]),
        node("BatchNormalization", ["/c/Conv_output_0", "n.s", "n.b", "n.m", "n.v"], ["n"], name="norm"),
        node("Relu", ["n"], ["r"]),
        node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["p"], ["f"], axis=axis),
        node(kind, ["f", "l.w", "l.b"], ["y"], name="last", **({"transB": 1} if kind == "Gemm" else {})),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])
        for name, shape in (("x", (1, 8, 8)), ("y", (10,)))
    ]
    constants = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, path)
    return made


def test_a_file_of_pytorchs_exporter_trains_on_from_its_weights(tmp_path):
    made = torch_like(tmp_path / "theirs.onnx")
    network, weights = read_trainable(tmp_path / "theirs.onnx")
    ours = Model(network, Float64Backend(), np.random.default_rng(0))
    ours.restore({name: array.astype(np.float64) for name, array in (ours.state() | weights).items()})
    ours.prepare()
    images = RNG.random((3, 8, 8, 1))
    expected = ReferenceEvaluator(made).run(None, {"x": images.transpose(0, 3, 1, 2).astype(np.float32)})[0]
    np.testing.assert_allclose(ours.forward(images), expected, rtol=1e-4, atol=1e-5)
    _, first = run(
        Experiment(model=str(tmp_path / "theirs.onnx"), epochs=1, learning_rate=1e-9, method="dense", storage="binary32")
    )
    built, _ = run(Experiment(model=str(tmp_path / "theirs.onnx"), epochs=1, batch=256, method="bdwp"))
    assert first["model"].endswith("theirs.onnx") and built.network.name == "theirs"


@pytest.mark.parametrize(
    "fields, told",
    [
        ({"axis": 2}, r"theirs\.onnx: Flatten that makes 'f': axis must be 1, not 2"),
        ({"kind": "Swirl"}, r"theirs\.onnx: node 'last': operator Swirl cannot be trained; allowed: Add, AveragePool"),
    ],
)
def test_what_cannot_be_trained_is_named(tmp_path, fields, told):
    torch_like(tmp_path / "theirs.onnx", **fields)
    with pytest.raises(InputError, match=told):
        read_trainable(tmp_path / "theirs.onnx")


def call(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return ended.value.code


def test_the_commands_convert_and_start_from_weights(tmp_path, capsys):
    trained, metrics = run(Experiment(model="mlp", epochs=3, batch=64))
    write_model(tmp_path / "weights.npz", trained, metrics)
    for target in ("w.safetensors", "w.onnx"):
        assert call("convert", str(tmp_path / "weights.npz"), str(tmp_path / target), "--dense") == 0
    options = ["--epochs", "1", "--learning-rate", "1e-9", "--weight-decay", "0", "--batch", "512", "--method", "dense"]
    reached = {}
    for start in ("weights.npz", "w.safetensors"):
        assert (
            call("train", "--init", str(tmp_path / start), *options, "--out", str(tmp_path / start / "out")[:-4] + "_out") == 0
        )
        reached[start] = read_model(str(tmp_path / start / "out")[:-4] + "_out/weights.npz").model.state()
    assert call("train", "--model", str(tmp_path / "w.onnx"), *options, "--out", str(tmp_path / "from_onnx")) == 0
    for start, state in reached.items():
        np.testing.assert_allclose(state["fc2.weight"], trained.state()["fc2.weight"], atol=1e-7, err_msg=start)
    accuracy = json.loads((tmp_path / "from_onnx" / "metrics.json").read_text())["test_accuracy"]
    assert accuracy > 0.8 and len(digits().test_labels) == 360
