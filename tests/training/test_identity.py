"""What is kept of a training belongs to the content of its network, data and trainer, not to their names."""

import json

import numpy as np
import pytest

from dataflow import zoo
from hw.errors import InputError
from training import identity, sweep
from training.data import Data, load_data
from training.experiment import Experiment, run
from training.identity import contents
from training.journal import Journal
from training.sweep import Sweep

NETWORK = """from dataflow.network import INPUT, Flatten, Linear, Network
layers = (Flatten(name="f", inputs=(INPUT,)), Linear(name="g", inputs=("f",), out_features=16, bias={bias}),
    Linear(name="h", inputs=("g",), out_features=10))
network = Network(name="small", input_shape=(8, 8, 1), layers=layers)
"""


def data(**changes):
    images, labels = np.zeros((4, 8, 8, 1), np.float32), np.arange(4)
    return Data(**{"train_images": images, "train_labels": labels, "test_images": images, "test_labels": labels} | changes)


def test_content_is_equal_where_all_of_it_is_and_differs_where_anything_does():
    mlp, images = zoo.load("mlp"), np.zeros((4, 8, 8, 1), np.float32)
    same = contents(mlp, data())
    assert contents(zoo.load("mlp"), data()) == same
    changed = images.copy()
    changed[3, 7, 7, 0] = 1e-3
    for name in ("train_images", "test_images"):
        assert contents(mlp, data(**{name: changed}))["data_sha256"] != same["data_sha256"]
    for name in ("train_labels", "test_labels"):
        assert contents(mlp, data(**{name: np.array([0, 1, 2, 4])}))["data_sha256"] != same["data_sha256"]
    assert contents(mlp, data(augment=abs))["data_sha256"] != same["data_sha256"]
    assert contents(zoo.load("cnn"), data())["network_sha256"] != same["network_sha256"]


def test_a_changed_method_is_another_trainer(monkeypatch, tmp_path):
    before = identity.trainer_hash()
    identity.trainer_hash.cache_clear()
    assert identity.trainer_hash() == before
    monkeypatch.setattr(identity, "SOURCES", (*identity.SOURCES, "training/../pyproject.toml"))
    identity.trainer_hash.cache_clear()
    try:
        assert identity.trainer_hash() != before
    finally:
        identity.trainer_hash.cache_clear()


def test_an_edited_network_is_trained_again_under_its_old_name(tmp_path, monkeypatch):
    path, trained = tmp_path / "net.py", []
    chosen = Sweep(models=(str(path),), methods=("dense",), seeds=1, epochs=1, batch=512)
    monkeypatch.setattr(sweep, "train_one", lambda case: trained.append(case) or {"test_accuracy": 0.5, "train_loss": 1.0})
    for bias, count in ((True, 1), (True, 1), (False, 2), (True, 2)):  # both stay known
        path.write_text(NETWORK.format(bias=bias))
        sweep.run(chosen, tmp_path / "out")
        assert len(trained) == count
    entries = [json.loads(line)["experiment"] for line in (tmp_path / "out" / "runs.jsonl").read_text().splitlines()]
    assert len({entry["network_sha256"] for entry in entries}) == 2
    assert all(entry["data_sha256"] == contents(zoo.load("mlp"), load_data("digits"))["data_sha256"] for entry in entries)


def test_a_checkpoint_of_an_edited_network_is_refused(tmp_path):
    path = tmp_path / "net.py"
    experiment = Experiment(model=str(path), method="dense", epochs=1, batch=512)
    path.write_text(NETWORK.format(bias=True).replace('"g"', '"a"').replace("('f',)", '("f",)'))
    run(experiment, journal=Journal(tmp_path, experiment.identity))
    path.write_text(NETWORK.format(bias=True).replace('"g"', '"b"'))
    with pytest.raises(InputError, match=r"the checkpoint of another network|its training has network_sha256"):
        run(experiment, journal=Journal(tmp_path, experiment.identity, goes_on=True))
