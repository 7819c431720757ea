"""``nmtrain train`` as a user runs it."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import fields

import numpy as np
import pytest

from sim.cli import main
from sim.cli.train import command
from training.experiment import Experiment


def call(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(["train", *arguments])
    return ended.value.code


def test_writes_metrics_and_weights_and_prints_the_same_object(tmp_path, capsys):
    assert call("--epochs", "2", "--seed", "4", "--ratio", "1:4", "--out", str(tmp_path), "--json") == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert json.loads(capsys.readouterr().out) == metrics
    assert metrics["method"] == "bdwp" and metrics["ratio"] == "1:4" and metrics["seed"] == 4
    assert len(metrics["train_loss"]) == 2 and 0 < metrics["test_accuracy"] <= 1
    weights = np.load(tmp_path / "weights.npz")
    assert weights["fc2.weight"].shape == (64, 64) and weights["fc3.bias"].dtype == np.float32
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.json", "weights.npz"]


def test_equal_seeds_write_equal_bytes(tmp_path):
    for name in ("a", "b"):
        assert call("--epochs", "1", "--exact", "--batch", "128", "--out", str(tmp_path / name)) == 0
    for file in ("metrics.json", "weights.npz"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_the_dense_method_has_no_ratio(tmp_path):
    assert call("--epochs", "1", "--method", "dense", "--out", str(tmp_path)) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["ratio"] == "dense" and metrics["pruned_layers"] == []


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--ratio", "5:4"], "ratio '5:4': n must be in 1..m, not 5 (m = 4)"),
        (["--ratio", "2:300"], "ratio 2:300: packed indices hold groups of at most 256"),
        (["--method", "x"], "unknown method 'x'; allowed: bdwp, bdwp-mvue, bdwp-srste, bimask"),
        (["--model", "x"], "unknown workload 'x'; allowed: mlp, cnn"),
        (["--model", "resnet9"], "network 'resnet9' takes (32, 32, 3)"),
        (["--epochs", "0"], "Invalid value for '--epochs'"),
        (["--seed", "-1"], "Invalid value for '--seed'"),
        (["--learning-rate", "nan"], "learning_rate must be above 0, not nan"),
        (["--momentum", "1"], "momentum must be in 0..1"),
        (["--out", "/dev/null/x"], "/dev/null/x: cannot be written"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments, message, tmp_path, capsys):
    assert call("--out", str(tmp_path), *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"nmtrain: {message}") and error.count("\n") == 1


def test_command_line_defaults_are_the_experiment_s():
    given = command.make_context("train", []).params
    assert {field.name: given[field.name] for field in fields(Experiment)} == vars(Experiment())


def test_help_has_an_example(capsys):
    assert call("--help") == 0
    assert "nmtrain train --data digits --model cnn" in capsys.readouterr().out


def test_interruption_leaves_no_partial_result(tmp_path):
    program = "from sim.cli import main; main(['train', '--model', 'cnn', '--epochs', '1000', '--out', 'out'])"
    process = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while not (tmp_path / "out").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 130
    assert error.decode().splitlines()[-1] == "nmtrain: interrupted"
    assert list((tmp_path / "out").iterdir()) == []
