"""``nmtrain train`` as a user runs it."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace

import numpy as np
import pytest

from hw.errors import InputError
from sim.cli import main
from sim.cli.train import command
from training.experiment import Experiment, run
from training.journal import Journal


def call(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(["train", *arguments])
    return ended.value.code


def without_seconds(folder):
    """What metrics.jsonl says, but for how long epochs took."""
    epochs = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert all(epoch.pop("seconds") >= 0 for epoch in epochs)
    return epochs


def test_writes_metrics_and_weights_and_prints_the_same_object(tmp_path, capsys):
    assert call("--epochs", "2", "--seed", "4", "--ratio", "1:4", "--out", str(tmp_path), "--json") == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert json.loads(capsys.readouterr().out) == metrics
    assert metrics["method"] == "bdwp" and metrics["ratio"] == "1:4" and metrics["seed"] == 4
    assert len(metrics["train_loss"]) == 2 and 0 < metrics["test_accuracy"] <= 1
    weights = np.load(tmp_path / "weights.npz")
    assert weights["fc2.weight"].shape == (64, 64) and weights["fc3.bias"].dtype == np.float32
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "metrics.json", "metrics.jsonl", "weights.npz"]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["train_loss"] for line in lines] == metrics["train_loss"]
    assert lines[-1]["test_accuracy"] == metrics["test_accuracy"]
    assert [line["learning_rate"] for line in lines] == sorted((line["learning_rate"] for line in lines), reverse=True)
    assert all(line["gradient_norm"] > 0 and 0 < line["mask_change_rate"] < 0.1 for line in lines)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


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
        (["--epochs", "0"], "--epochs must be a whole number of at least 1, not 0"),
        (["--seed", "-1"], "--seed must be a whole number of at least 0, not '-1'"),
        (["--learning-rate", "nan"], "learning_rate must be above 0, not nan"),
        (["--storage", "x"], "unknown format 'x'; allowed: binary16"),
        (["--optimiser", "x"], "unknown optimiser 'x'; allowed: sgd, adamw"),
        (["--warm-up", "1"], "warm_up must be in 0..1, below 1, not 1.0"),
        (["--label-smoothing", "-1"], "label_smoothing must be in 0..1, below 1, not -1.0"),
        (["--dropout", "1"], "dropout must be in 0..1, below 1, not 1.0"),
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_training_goes_on_to_the_same_bytes(tmp_path, number):
    """Interrupted in the middle of an epoch, with everything that draws: order, dropout, sampled gradients."""
    options = ["--model", "mlp", "--method", "bdwp-mvue", "--epochs", "12", "--dropout", "0.2"]
    options += ["--optimiser", "adamw", "--learning-rate", "0.01"]
    program = f"from sim.cli import main; main(['train', *{options}, '--out', 'part'])"
    process = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, stderr=subprocess.PIPE)
    metrics = tmp_path / "part" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not metrics.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.decode().splitlines()[-1] == "nmtrain: interrupted"
    assert sorted(path.name for path in (tmp_path / "part").iterdir()) == ["checkpoint.npz", "metrics.jsonl"]
    assert 0 < len(metrics.read_text().splitlines()) < 12
    assert call(*options, "--out", str(tmp_path / "part"), "--resume") == 0
    assert call(*options, "--out", str(tmp_path / "whole")) == 0
    assert without_seconds(tmp_path / "part") == without_seconds(tmp_path / "whole")
    for file in ("metrics.json", "weights.npz", "curves.png"):
        assert (tmp_path / "part" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file


def test_a_training_that_dies_in_an_epoch_goes_on_from_there(tmp_path):
    """Killed without a signal that could be caught, the last checkpoint in the middle of the second epoch."""

    class Killed(Exception):
        pass

    def die(where):
        if where.images == 1437 + 5 * 128:  # in the fifth step of the second epoch
            raise Killed

    experiment = Experiment(epochs=3, batch=128, method="bdwp-mvue", dropout=0.2)
    with pytest.raises(Killed):
        run(experiment, die, Journal(tmp_path, experiment.identity, minutes=0))
    seen = []
    journal = Journal(tmp_path, experiment.identity, goes_on=True)
    model, metrics = run(experiment, lambda where: seen.append(where.images), journal)
    assert seen[0] == 1437 + 5 * 128  # the step in which it died is the only one that is lost
    whole, expected = run(experiment, journal=Journal(tmp_path / "whole"))
    assert metrics == expected
    assert all(array.tobytes() == whole.state()[name].tobytes() for name, array in model.state().items())


def test_nothing_to_resume_is_a_fresh_start(tmp_path):
    options = ["--epochs", "1", "--batch", "512", "--out"]
    assert call(*options, str(tmp_path / "a"), "--resume") == 0
    assert call(*options, str(tmp_path / "b")) == 0
    assert (tmp_path / "a" / "weights.npz").read_bytes() == (tmp_path / "b" / "weights.npz").read_bytes()


def test_a_log_file_gets_a_line_an_epoch(tmp_path, capsys):
    assert call("--epochs", "2", "--batch", "512", "--out", str(tmp_path)) == 0
    lines = capsys.readouterr().err.splitlines()
    metrics = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    for line, epoch in zip(lines, metrics, strict=False):
        said = f"epoch {epoch['epoch']}/2  train loss {epoch['train_loss']:.4f}  train accuracy {epoch['train_accuracy']:.4f}"
        assert line.startswith(f"{said}  test accuracy {epoch['test_accuracy']:.4f}  ")


def test_a_damaged_checkpoint_is_refused(tmp_path, capsys):
    (tmp_path / "checkpoint.npz").write_bytes(b"x")
    assert call("--out", str(tmp_path), "--resume") == 2
    assert "checkpoint.npz: not a checkpoint, or a damaged one" in capsys.readouterr().err


@pytest.mark.parametrize(
    "fields, message",
    [({"seed": 1}, "its training has seed 0, not 1"), ({"model": "cnn"}, "the checkpoint of another network")],
)
def test_a_checkpoint_of_another_training_is_refused(tmp_path, fields, message):
    experiment = Experiment(epochs=1, batch=512)
    run(experiment, journal=Journal(tmp_path, experiment.identity))
    other = replace(experiment, **fields)
    with pytest.raises(InputError, match=message):
        run(other, journal=Journal(tmp_path, other.identity, goes_on=True))


def test_tensorboard_reads_the_metrics_of_each_epoch(tmp_path):
    from tensorboardX.proto.event_pb2 import Event

    assert call("--epochs", "2", "--batch", "512", "--tensorboard", "--out", str(tmp_path)) == 0
    [file] = (tmp_path / "tensorboard").iterdir()
    rest, found = file.read_bytes(), {}
    while rest:  # length and its checksum, the event, its checksum
        length = int.from_bytes(rest[:8], "little")
        event = Event.FromString(rest[12 : 12 + length])
        found |= {(event.step, value.tag): value.simple_value for value in event.summary.value}
        rest = rest[16 + length :]
    metrics = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert found == {(one["epoch"], name): np.float32(one[name]) for one in metrics for name in one if name != "epoch"}
