"""Pages are whole, offline and safe; their figures are those of the result."""

import csv
import io
import json
import re
from html.parser import HTMLParser

import pytest

from dataflow import zoo
from dataflow.analysis.report import report
from dataflow.ir.program import Stage
from hw.config import PRESETS
from hw.ratio import DENSE, Ratio
from reports import demo, html
from reports.causes import causes
from reports.step import layers_csv, page, write
from reports.tables import Column, table

BOTH = frozenset({Stage.FORWARD, Stage.INPUT_GRADIENT})
VOID = {"meta", "path", "circle", "br", "img"}


@pytest.fixture(scope="module")
def result():
    return report(zoo.load("cnn"), PRESETS["tiny"], method="bdwp", sparse_stages=BOTH, ratio=Ratio(2, 8), batch=4)


class Outline(HTMLParser):
    """Checks that every element is closed, and gathers headings and attributes that load something."""

    def __init__(self, text):
        super().__init__()
        self.open, self.headings, self.loads = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        self.loads += [value for name, value in attributes if name in ("src", "href", "srcset", "action")]

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def test_page_is_whole_and_offline(result):
    text = page(result, command="nmtrain report cnn")
    outline = Outline(text)
    assert outline.headings[0] == "What was run"
    assert len(outline.headings) == 9
    assert not outline.loads
    assert "http" not in text
    assert "url(" not in text
    assert "cycle-exact</span>" in text
    assert f"{result['speedup_over_dense']['step']:.2f}" in text


def test_every_cycle_has_its_cause(result):
    body = str(causes(result))
    cycles = [int(value) for value in re.findall(r'data-value="(\d+)">', body)]
    assert sum(cycles[0::2]) == result["dense_cycles"]["step"]
    assert sum(cycles[1::2]) == result["cycles"]["step"]


def test_dense_page_shows_one_bar():
    dense = report(zoo.load("mlp"), PRESETS["tiny"], method="dense", sparse_stages=frozenset(), ratio=DENSE, batch=2)
    assert dense["speedup_over_dense"] == {"gemm": 1, "step": 1, "ideal": 1}
    assert page(dense).count('<div class="bars step">') == 2  # cycles and joules, one bar each
    Outline(page(dense))


def test_what_users_name_is_escaped():
    text = html.render(
        "<script>alert(1)</script>", [html.Section("a & b", table([Column("x", "<x>")], [{"x": "<y>"}], caption="c"))]
    )
    assert "<script>alert" not in text
    assert "a &amp; b" in text
    assert "&lt;x&gt;" in text
    assert "&lt;y&gt;" in text


def test_csv_holds_every_row(result):
    rows = list(csv.DictReader(io.StringIO(layers_csv(result))))
    assert len(rows) == len(result["layers"]) == 4 * 3 - 1
    assert [int(row["cycles"]) for row in rows] == [row["cycles"] for row in result["layers"]]


def test_all_files_are_written(result, tmp_path):
    paths = write(tmp_path, result, html=page(result))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)
    for path in paths:
        if path.suffix == ".png":
            assert path.read_bytes().startswith(b"\x89PNG\r\n")
            assert path.stat().st_size > 5000
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(json.dumps(result))
    assert (tmp_path / "report.html").read_text() == page(result)
    assert (tmp_path / "layers.csv").read_text() == layers_csv(result)
    assert not (tmp_path / "timeline.json").exists()


def test_a_reports_data_may_be_others_and_files_may_stand_beside_it(result, tmp_path):
    write(tmp_path, result, html="", data={"a": 1}, timeline={"b": [2]}, more={"c.txt": "d", "e.bin": b"f"})
    assert json.loads((tmp_path / "report.json").read_text()) == {"a": 1}
    assert json.loads((tmp_path / "timeline.json").read_text()) == {"b": [2]}
    assert ((tmp_path / "c.txt").read_text(), (tmp_path / "e.bin").read_bytes()) == ("d", b"f")


def test_table_sorts_by_values_not_by_texts():
    text = str(table([Column("n", "n", "MB", lambda value: f"{value / 1e6:.1f}")], [{"n": 2_500_000}], caption="sizes"))
    assert 'data-value="2500000">2.5</td>' in text
    assert 'class="number"' in text


ROW = {"layer": "fc", "stage": "forward", "m": 4, "n": 4, "k": 8}


def test_cosimulation_marks_what_differs():
    equal = ROW | {"words_compared": 16, "words_different": 0, "rtl_cycles": 9, "model_cycles": 9}
    rows = [equal, equal | {"words_different": 3}, equal | {"rtl_cycles": 10}]
    body = str(demo.cosimulation(rows).body)
    assert body.count('<tr class="flag">') == 2
    assert [text.strip() for text in re.findall("<strong>([^<]*)", body)] == ["3", "28", "1"]
    assert "the model says 27" in body
    assert str(demo.cosimulation([equal]).body).count("flag") == 0


def test_accuracy_is_compared_with_the_first():
    body = str(demo.accuracy({"dense": 0.975, "bdwp": 0.9694}).body)
    assert "97.50" in body
    assert "\N{MINUS SIGN}0.56 points" in body


def test_a_run_that_diverged_still_has_its_curves():
    histories = {"dense": {"loss": [2.0, 1.0]}, "bdwp": {"loss": [2.0, float("nan")], "accuracy": [float("inf")]}}
    body = str(demo.training_curves(histories).body)
    assert body.count("<svg") == 1
    assert "nan" not in body
    Outline(html.render("x", [demo.training_curves(histories)]))
