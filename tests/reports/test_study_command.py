"""``nmtrain study`` as a user runs it: files, figures, and what its pages say."""

import csv
import json

import pytest
from click.testing import CliRunner

from reports import studies
from sim.cli import cli

FILES = {
    "networks": {"networks.json", "networks.csv", "networks.html", "networks.md"},
    "ablation": {"ablation.json", "ablation.csv", "ablation.html"},
    "ratios": {"ratios.json", "ratios.csv", "ratios.html"},
    "sensitivity": {"sensitivity.json", "sensitivity.csv", "sensitivity.html"}
    | {f"sensitivity-{name}.{kind}" for name in ("mlp", "cnn-2") for kind in ("png", "svg")},
}


@pytest.fixture(scope="module", params=FILES)
def study(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    arguments = ["study", request.param, "mlp", "cnn/2", "--config", "small", "--batch", "2", "--out", str(folder)]
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    return request.param, folder, json.loads((folder / f"{request.param}.json").read_text())


def test_files_and_rows(study):
    kind, folder, result = study
    assert {path.name for path in folder.iterdir()} == FILES[kind]
    assert result["exact"] is True
    assert list(dict.fromkeys(row["workload"] for row in result["rows"])) == ["mlp", "cnn/2"]
    counts = {
        "networks": 2,
        "ablation": 2,
        "ratios": 2 * 13,
        "sensitivity": 2 * (3 + 4),
    }  # 25.6 GB/s are what four of its ports carry
    assert len(result["rows"]) == counts[kind]
    assert len(list(csv.DictReader((folder / f"{kind}.csv").read_text().splitlines()))) == counts[kind]


def test_pages_say_what_they_show(study):
    kind, folder, result = study
    text = (folder / f"{kind}.html").read_text()
    assert "cycle-exact</span>" in text
    says = {
        "networks": "bdwp 2:8, batch 2",
        "ablation": "without offline scheduling",
        "ratios": "its speedup is an upper bound",
        "sensitivity": "Memory is busy for longer than the array, left of the dots: ",
    }
    assert says[kind] in text
    if kind == "sensitivity":
        limits = [at for below in result["memory_bound_below"].values() for over in below.values() for at in over.values()]
        assert text.count("<circle") == sum(at is not None for at in limits)
    if kind == "ratios":
        best = max(result["rows"], key=lambda row: row["ideal"])
        assert (best["method"], best["ratio"]) == ("bdwp", "2:16")


def test_a_value_between_two_points():
    points = [{"x": 1, "y": 10.0}, {"x": 4, "y": 20.0}, {"x": 16, "y": 60.0}]
    assert studies.on_curve(points, "x", "y", 8) == pytest.approx(40)
    assert studies.on_curve(points, "x", "y", 1) == 10


def test_a_mark_is_where_memory_becomes_the_limit_on_its_curve(monkeypatch):
    """In the units of the axis: 8 GB/s is half of the way from 4 to 16 on a logarithmic axis."""
    drawn = []
    monkeypatch.setattr(studies, "curves", lambda lines, marks, **told: drawn.append((lines, marks)) or "")
    rates = [(4e9, 20.0, 30.0), (16e9, 60.0, 90.0)]
    points = [{"rate": rate, "dense_images_per_second": dense, "images_per_second": sparse} for rate, dense, sparse in rates]
    studies._chart(points, "rate", 1e9, {"dense": 8e9, "sparse": None}, "GB/s")
    ((lines, marks),) = drawn
    assert {line.name: (line.values, line.dashed) for line in lines} == {
        "dense": ([(4, 20), (16, 60)], True),
        "sparse": ([(4, 30), (16, 90)], False),
    }
    assert [(mark.x, mark.text) for mark in marks] == [(8, "dense: memory-bound below 8")]
    assert marks[0].y == pytest.approx(40)
    assert marks[0].colour == next(line.colour for line in lines if line.name == "dense")


def test_what_is_said_of_limits_is_in_their_units():
    below = {"bandwidth": {"dense": 8e9, "sparse": 12.5e9}, "batch": {"dense": None, "sparse": None}}
    said = studies._limits(below)
    assert "dense below 8 GB/s, sparse below 12.5 GB/s" in said and "at no batch of this range" in said
    below = {"bandwidth": {"dense": None, "sparse": None}, "batch": {"dense": 16, "sparse": None}}
    assert "at no bandwidth of this range" in studies._limits(below) and "dense below 16 images" in studies._limits(below)


def test_the_table_in_markdown_ends_with_the_mean():
    shares = {"dense_gemm_utilization": 0.98, "gemm_utilization": 0.9, "dense_images_per_second": 5, "images_per_second": 9}
    rows = [
        {"workload": "a", "ideal": 2, "gemm": 1.9, "step": 1.8, **shares},
        {"workload": "b", "ideal": 1, "gemm": 1, "step": 1} | shares,
    ]
    lines = studies.headline_markdown(rows).splitlines()
    assert lines[2] == "| a | 2.00 | 1.90 | 1.80 | 98.0 % | 90.0 % | 5.0 | 9.0 |"
    assert lines[4] == "| mean | 1.50 | 1.45 | 1.40 | 98.0 % | 90.0 % |  |  |"
