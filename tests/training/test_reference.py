"""The committed table of accuracies: whole, as good as promised, and its exact part made anew bit for bit."""

import json
from pathlib import Path

from hw.ratio import Ratio
from training import methods
from training.sweep import Sweep, run, summarise
from training.table import markdown

REFERENCE = Path(__file__).parents[2] / "reports" / "reference" / "accuracy"
TABLE = json.loads((REFERENCE / "accuracy.json").read_text())


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


def test_the_rows_follow_from_the_trainings():
    assert summarise(TABLE["runs"]) == TABLE["rows"]


def test_what_readers_see_is_the_table():
    assert (REFERENCE / "accuracy.md").read_text() == markdown(TABLE["rows"])
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
