# amaranth: UnusedElaboratable=no
"""Reading Verilator's counts, and that what is not covered needs a reason."""

import json

import pytest

from hw.config import PRESETS
from hw.engines.sore import SORE, elements_layout
from sim.simulators.verilator import coverage_in
from sim.stress.coverage import REASONS, Item, explain, read_counts, report
from sim.stress.every_block import Draw

VERILOG = """\
module counter(clk, rst, count);
  wire n_1;
  always @(posedge clk)
    if (rst) begin
endmodule
module top(clk);
endmodule
"""


def record(kind, what, count, *, line=3, file="top.v", instance="a"):
    fields = {"f": file, "l": line, "n": 5, "t": kind, "page": f"v_{kind}/counter", "o": what, "h": instance}
    text = "".join(f"\x01{name}\x02{value}" for name, value in fields.items())
    return f"C '{text}' {count}\n"


@pytest.fixture
def counts(tmp_path):
    """Counts of two runs: two instances, a wire of Yosys's, a word and its field, and a harness."""
    (tmp_path / "top.v").write_text(VERILOG)
    first = [
        record("branch", "if", 0, line=4),
        record("branch", "else", 5, line=4),
        record("toggle", "count[0]:0->1", 2),
        record("toggle", "count[0]:0->1", 3, instance="b"),
        record("toggle", "count[1]:0->1", 0),
        record("toggle", "n_1:0->1", 0, line=2),
        record("toggle", "i___05Fpayload[7]:0->1", 0),
        record("toggle", "i___05Fpayload__02en[0]:0->1", 1),
        record("toggle", "mine:0->1", 0, file="player.sv"),
    ]
    (tmp_path / "0.dat").write_text("# SystemC::Coverage-3\n" + "".join(first))
    (tmp_path / "1.dat").write_text("# SystemC::Coverage-3\n" + record("toggle", "count[0]:0->1", 4))
    return read_counts(tmp_path)


def test_counts_are_of_named_signals_over_instances_and_runs(counts):
    assert counts == {
        Item("counter", "branch", "3:5 if: if (rst) begin"): 0,
        Item("counter", "branch", "3:5 else: if (rst) begin"): 5,
        Item("counter", "toggle", "count[0] 0->1"): 9,
        Item("counter", "toggle", "count[1] 0->1"): 0,
        Item("counter", "toggle", "i__payload.n[0] 0->1"): 1,
    }


def test_a_hole_without_a_reason_fails_by_name(counts, tmp_path, capsys):
    reasons = {r"counter branch .*": "never reset"}
    assert report(counts, reasons, tmp_path / "coverage.json") == 1
    assert "not covered, without a reason: counter toggle count[1] 0->1\n" in capsys.readouterr().out
    assert report(counts, reasons | {r".*count\[1\].*": "too short"}, tmp_path / "coverage.json") == 0
    assert json.loads((tmp_path / "coverage.json").read_text()) == {
        "modules": {"counter": {"line": [0, 0], "branch": [1, 2], "toggle": [2, 3]}},
        "explained": {"never reset": ["counter branch 3:5 if: if (rst) begin"], "too short": ["counter toggle count[1] 0->1"]},
        "unexplained": [],
    }


@pytest.mark.parametrize(
    "name", ["i__valid 0->1", "i__payload.values[0][3] 1->0", "left[1] 0->1", "lane_0__en 1->0", "o__payload[1].index[0] 0->1"]
)
def test_no_reason_excuses_what_traffic_must_reach(name):
    item = Item("sore", "toggle", name)
    assert explain({item: 0}, REASONS) == ({}, [item])


def test_words_have_the_fields_that_are_asked_for():
    tiny = PRESETS["tiny"]
    words = [elements_layout(tiny).from_bits(word) for word in Draw(1).words(SORE(tiny), "i", 20, n=2, m=8)]
    assert {(int(word.n), int(word.m)) for word in words} == {(2, 8)}
    assert len({int(word.values[lane]) for word in words for lane in range(4)}) > 20


def test_counts_have_a_folder_of_their_own(tmp_path):
    with pytest.raises(FileExistsError), coverage_in(tmp_path):
        pass
