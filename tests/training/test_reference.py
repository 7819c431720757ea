"""The committed table of accuracies: whole, as good as promised, and its exact part made anew bit for bit."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from hw.ratio import Ratio
from training import methods
from training.sweep import Sweep, run, summarise
from training.table import markdown

REFERENCE = Path(__file__).parents[2] / "reports" / "reference" / "accuracy"
TABLE, MNIST = (json.loads((REFERENCE / f"{name}.json").read_text()) for name in ("accuracy", "mnist"))


def test_the_exact_part_comes_out_bit_for_bit(tmp_path):
    sweep = Sweep(models=("mlp",), methods=("dense", "bdwp"), ratios=(Ratio(2, 8),), seeds=1, epochs=3, exact=True)
    run(sweep, tmp_path)
    assert (tmp_path / "accuracy.json").read_bytes() == (REFERENCE / "exact.json").read_bytes()


def test_the_table_has_every_method_at_every_ratio_with_five_seeds():
    names = set(methods.registry()) - {"dense", "s-ste", "slope", "pretrain-2by4"}
    rows = {(row["model"], row["method"], row["ratio"]) for row in TABLE["rows"]}
    ratios = ("2:4", "2:8", "2:16")
    expected = {(model, name, ratio) for model in ("mlp", "cnn") for name in names for ratio in ratios}
    assert rows == expected | {("mlp", "dense", "dense"), ("cnn", "dense", "dense")}
    assert all(row["seeds"] == 5 for row in TABLE["rows"])


def test_mnists_table_has_every_method_at_every_ratio_with_five_seeds():
    names = set(methods.registry()) - {"dense"}
    expected = {(name, ratio) for name in names for ratio in ("2:4", "2:8", "2:16")} | {("dense", "dense")}
    assert {(row["method"], row["ratio"]) for row in MNIST["rows"]} == expected
    assert all(row["seeds"] == 5 for row in MNIST["rows"])
    assert {len(MNIST["runs"])} == {5 * len(expected)}


def test_mnist_tells_methods_apart():
    """By their means and deviations: dense above BDWP at 2:16, which is above random masks; one image is 0.01 points."""
    rows = {(row["method"], row["ratio"]): row for row in MNIST["rows"]}
    order = [rows["dense", "dense"], rows["bdwp", "2:16"], rows["random", "2:16"]]
    for better, worse in pairwise(order):
        assert better["mean"] - worse["mean"] > 2 * max(better["deviation"], worse["deviation"]) / 5**0.5


@pytest.mark.parametrize("name", ["accuracy", "mnist"])
def test_the_rows_follow_from_the_trainings(name):
    table = json.loads((REFERENCE / f"{name}.json").read_text())
    assert summarise(table["runs"]) == table["rows"]
    assert (REFERENCE / f"{name}.md").read_text() == markdown(table["rows"])


def test_what_readers_see_is_the_table():
    cells = "| bdwp |  | 97.22 ± 0.44 | 97.56 ± 0.30 | 97.22 ± 0.20 |"
    assert cells in markdown(TABLE["rows"])


def test_wider_layers_are_in_a_table_of_their_own():
    wide = json.loads((REFERENCE / "wide.json").read_text())
    assert summarise(wide["runs"]) == wide["rows"]
    assert {row["wide"] for row in wide["rows"] if row["method"] == "bdwp"} == {False, True}


def test_bdwp_at_2_of_8_loses_at_most_one_point():
    """The mean over five seeds against the mean of dense training."""
    lost = {row["model"]: row["lost_points"] for row in TABLE["rows"] if (row["method"], row["ratio"]) == ("bdwp", "2:8")}
    assert lost.keys() == {"mlp", "cnn"} and max(lost.values()) <= 1.0
