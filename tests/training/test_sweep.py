"""A sweep: its table, and that it goes on where it was stopped."""

import csv
import json
from dataclasses import replace

import pytest

from hw.errors import InputError
from hw.ratio import Ratio
from reports.plots import accuracy
from sim.cli import main
from training import methods, sweep
from training.sweep import Sweep, run, summarise
from training.table import name_of

SMALL = Sweep(models=("mlp",), methods=("dense", "bdwp"), ratios=(Ratio(2, 8),), seeds=2, epochs=1, batch=256)


def test_cases_are_every_method_at_every_ratio_and_dense_once():
    cases = Sweep(models=("mlp",), seeds=1).cases()
    assert len(cases) == 1 + 3 * (len(methods.registry()) - 1)
    assert cases[0].method == "dense" and {str(case.ratio) for case in cases[1:]} == {"2:4", "2:8", "2:16"}
    assert len(Sweep(models=("mlp",), methods=("dense", "bdwp"), seeds=1, wide=True).cases()) == 1 + 3 * 2


def test_a_table_says_mean_deviation_and_loss():
    kinds = [("dense", "dense", 0.9), ("dense", "dense", 0.92), ("bdwp", "2:8", 0.89), ("bdwp", "2:8", 0.91)]
    runs = [
        {"model": "m", "method": name, "settings": "", "ratio": ratio, "wide": False, "test_accuracy": a}
        for name, ratio, a in kinds
    ]
    dense, sparse = summarise(runs)
    assert (dense["mean"], dense["lost_points"]) == (0.91, 0)
    assert (sparse["mean"], sparse["lost_points"], sparse["seeds"]) == (0.9, 1.0, 2)
    assert sparse["deviation"] == pytest.approx(0.014142)


def test_a_stopped_sweep_goes_on_and_ends_as_one_that_was_not(tmp_path, monkeypatch):
    whole = run(SMALL, tmp_path / "whole")
    trained = []

    def stop(case):
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(case)
        return original(case)

    original = sweep.train_one
    monkeypatch.setattr(sweep, "train_one", stop)
    with pytest.raises(KeyboardInterrupt):
        run(SMALL, tmp_path / "parts")
    lines = tmp_path / "parts" / "runs.jsonl"
    assert lines.read_text().count("\n") == 2
    lines.write_text(lines.read_text() + '{"experiment": {"half a li')
    monkeypatch.setattr(sweep, "train_one", original)
    seen = []
    assert run(SMALL, tmp_path / "parts", progress=lambda done, what: seen.append(done)) == whole
    assert seen == [2, 3, 4]
    for name in ("accuracy.json", "accuracy.csv", "runs.jsonl"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_training_that_diverges_is_counted_and_the_others_go_on(tmp_path):
    """At a rate of a thousand and more none is finite; the table says so, again where it is read from the file."""
    diverging = replace(SMALL, learning_rate=1e6)
    whole = run(diverging, tmp_path)
    assert {(row["seeds"], row["diverged"], row["mean"]) for row in whole["rows"]} == {(2, 2, None)}
    assert "diverged" in (tmp_path / "accuracy.md").read_text()
    assert run(diverging, tmp_path) == whole
    assert run(diverging, tmp_path, draw=lambda rows: accuracy(rows, name_of)) == whole, "each model has its plot"
    assert all((tmp_path / f"accuracy-{model}.svg").is_file() for model in diverging.models)
    some = [{**one, "test_accuracy": accuracy} for one, accuracy in zip(whole["runs"], (0.9, None, 0.5, 0.7), strict=True)]
    first, second = summarise(some)
    assert (first["mean"], first["diverged"], first["deviation"]) == (0.9, 1, 0.0)
    assert (second["mean"], second["diverged"], second["lost_points"]) == (0.6, 0, pytest.approx(30))


def test_a_foreign_file_is_named(tmp_path):
    (tmp_path / "runs.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match=r"runs.jsonl, line 1: not a training of a sweep"):
        run(SMALL, tmp_path)


def test_the_command_writes_a_table(tmp_path, capsys):
    options = {"--models": "mlp", "--methods": "dense,bdwp", "--ratios": "1:4", "--seeds": "1", "--epochs": "1", "--jobs": "2"}
    arguments = [text for option in options.items() for text in option]
    with pytest.raises(SystemExit) as ended:
        main(["sweep", *arguments, "--json", "--out", str(tmp_path)])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "accuracy.json").read_text())
    rows = list(csv.DictReader((tmp_path / "accuracy.csv").read_text().splitlines()))
    assert [(row["method"], row["ratio"]) for row in rows] == [("dense", "dense"), ("bdwp", "1:4")]


@pytest.mark.parametrize("option, message", [("--methods", "unknown method 'x'"), ("--ratios", "ratio must be 'dense' or N:M")])
def test_bad_input_is_one_line(option, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["sweep", option, "x", "--out", str(tmp_path)])
    error = capsys.readouterr().err
    assert ended.value.code == 2 and error.startswith(f"nmtrain: {message}") and error.count("\n") == 1
