"""A saved model is the one that was trained, for every method."""

import json
from pathlib import Path

import numpy as np
import pytest

from hw.errors import InputError
from hw.ratio import Ratio
from sim.cli import main
from training import methods
from training.data import digits
from training.experiment import Experiment, run
from training.layers.weighted import Weighted
from training.loop import evaluate
from training.saved import read_model, write_model


def saved(tmp_path, **fields):
    model, metrics = run(Experiment(epochs=1, batch=128, **fields))
    write_model(tmp_path / "weights.npz", model, metrics)
    return model, metrics, read_model(tmp_path / "weights.npz")


@pytest.mark.parametrize("name", sorted(methods.registry()))
def test_a_file_gives_the_reported_accuracy_and_every_logit(tmp_path, name):
    model, metrics, found = saved(tmp_path, model="mlp", method=name, ratio=Ratio(2, 16), prune_first=True)
    data = digits()
    assert evaluate(found.model, data) == metrics["test_accuracy"]
    assert (found.text["method"], found.text["ratio"]) == (name, metrics["ratio"])
    expected, logits = (one.forward(data.test_images[:64]) for one in (model, found.model))
    assert logits.tobytes() == expected.tobytes()


def test_dense_masters_alone_would_be_another_model(tmp_path):
    """Why masks are in the file: a random mask of 2:16 hides most of the masters."""
    _, metrics, found = saved(tmp_path, model="mlp", method="random", ratio=Ratio(2, 16), learning_rate=0.3)
    found.model.prepare()
    assert evaluate(found.model, digits()) != metrics["test_accuracy"]


@pytest.mark.parametrize(
    "fields", [{"exact": True}, {"storage": "bfloat16"}, {"wide": True}, {"model": "vit"}, {"dropout": 0.5}]
)
def test_arithmetic_and_network_are_in_the_file(tmp_path, fields):
    if fields.get("model") == "vit":
        fields = {"model": str(write_tokens(tmp_path))}
    model, metrics, found = saved(tmp_path, **fields)
    assert found.model.network == model.network
    assert type(found.model.backend) is type(model.backend) and found.model.backend.storage == model.backend.storage
    assert evaluate(found.model, digits()) == metrics["test_accuracy"]


def write_tokens(folder: Path) -> Path:
    """A network with layers whose fields are tuples and dataclasses."""
    (folder / "tokens.py").write_text(
        "from dataflow.axes import Axis, AxisPool\n"
        "from dataflow.network import INPUT, Linear, Network, Relu\n"
        "from dataflow.rearrange import Reshape, Transpose\n"
        "network = Network(name='tokens', input_shape=(8, 8, 1), layers=(\n"
        "    AxisPool(name='p', inputs=(INPUT,), axes=(Axis(2, 2, 0, 0), Axis(2, 2, 0, 0)), kind='max', ceil=False),\n"
        "    Reshape(name='r', inputs=('p',), shape=(4, 4)),\n"
        "    Transpose(name='t', inputs=('r',), axes=(1, 0)),\n"
        "    Reshape(name='f', inputs=('t',), shape=(16,)),\n"
        "    Linear(name='a', inputs=('f',), out_features=32), Relu(name='b', inputs=('a',)),\n"
        "    Linear(name='c', inputs=('b',), out_features=10)))\n"
    )
    return folder / "tokens.py"


def test_the_packed_copies_are_those_that_the_accelerator_reads(tmp_path):
    model, _, found = saved(tmp_path, model="cnn", method="bimask", ratio=Ratio(2, 8))
    for name, module in found.model.modules.items():
        if isinstance(module, Weighted):
            expected = model.modules[name].stored()
            for key, part in module.stored().items():
                if key.endswith(("_forward", "_backward")):
                    assert part.values.tobytes() == expected[key].values.tobytes()
                    assert part.indices.tobytes() == expected[key].indices.tobytes()
    arrays = np.load(tmp_path / "weights.npz")
    mask, weight = arrays["conv3.mask"], arrays["conv3.weight"].astype(np.float16)
    assert (mask.reshape(32, 3, 3, 4, 8).sum(-1) <= 2).all() and mask.sum() > 0.9 * mask.size / 4
    np.testing.assert_array_equal(np.where(mask, weight, 0)[mask], weight[mask])
    assert arrays["conv3.forward.values"].shape == (32, 3, 3, 4, 2)


def call(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return ended.value.code


def test_the_command_needs_neither_the_python_file_nor_the_method(tmp_path, capsys):
    network = write_tokens(tmp_path)
    options = ["--model", str(network), "--method", "random", "--ratio", "2:16", "--epochs", "2", "--prune-first"]
    assert call("train", *options, "--out", str(tmp_path / "train")) == 0
    network.unlink()
    reported = json.loads((tmp_path / "train" / "metrics.json").read_text())
    file = str(tmp_path / "train" / "weights.npz")
    capsys.readouterr()
    assert call("eval", file, "--data", "digits", "--out", str(tmp_path / "eval"), "--json") == 0
    result = json.loads((tmp_path / "eval" / "eval.json").read_text())
    assert json.loads(capsys.readouterr().out) == result
    assert {name: result[name] for name in ("method", "ratio", "data", "test_accuracy", "test_images")} == {
        name: reported[name] for name in ("method", "ratio", "data", "test_accuracy", "test_images")
    }


def damaged(arrays, text):
    yield "one array missing", {name: array for name, array in arrays.items() if name != "fc2.forward.values"}, text
    yield "an index too large", arrays | {"fc2.forward.indices": np.full_like(arrays["fc2.forward.indices"], 8)}, text
    yield "another shape", arrays | {"fc2.forward.values": arrays["fc2.forward.values"][:3]}, text
    yield "no layers", arrays, text | {"network": {}}
    yield "unknown layer", arrays, text | {"network": text["network"] | {"layers": [{"layer": "Odd", "name": "x"}]}}
    yield "wrong field", arrays, text | {"network": text["network"] | {"layers": [{"layer": "Linear", "name": "x"}]}}
    yield "no text", arrays, {}


def test_a_damaged_file_is_one_line(tmp_path):
    from training.archive import read_archive, write_archive

    saved(tmp_path)
    arrays, text = read_archive(tmp_path / "weights.npz", "a trained model")
    path = tmp_path / "odd.npz"
    for what, some, said in damaged(arrays, text):
        write_archive(path, some, said)
        with pytest.raises(InputError, match=r"odd\.npz: ") as error:
            read_model(path)
        assert "\n" not in str(error.value), what
    (tmp_path / "masters.npz").write_bytes(b"x")
    with pytest.raises(InputError, match="not a trained model, or a damaged one"):
        read_model(tmp_path / "masters.npz")
    with pytest.raises(InputError, match="no such file"):
        read_model(tmp_path / "none.npz")
