"""The defects that ``make mutants`` plants, and the tests that judge them."""

import ast
import json
import runpy
from pathlib import Path

import pytest

PLANTS = runpy.run_path(str(Path(__file__).parents[1] / "mutants.py"))
ROOT = PLANTS["ROOT"]


@pytest.mark.parametrize(
    ("source", "changes"),
    [
        ("x = a < b", ["a < b -> a <= b"]),
        ("x = a + 1", ["a + 1 -> a - 1", "1 -> 2"]),
        ("x = not (a and b)", ["not (a and b) -> +bool(a and b)", "a and b -> a or b"]),
        ("x: Literal[3] = y", []),  # what a type says changes nothing
        ("x = 'a'\ny = True\n", []),
    ],
)
def test_each_mutant_changes_one_thing(source, changes):
    count = len(PLANTS["sites"](ast.parse(source)))
    found = [PLANTS["plant"](Path("module.py"), source, place) for place in range(count)]
    assert sorted(mutant.change for mutant in found) == sorted(changes)
    for mutant in found:
        assert ast.dump(ast.parse(mutant.source)) != ast.dump(ast.parse(source))


def test_a_size_that_numpy_finds_is_no_number_to_change(tmp_path, monkeypatch):
    """Of the five numbers that -1 is or is not, the one of `shape` and both others are changed."""
    (tmp_path / "module.py").write_text("x.reshape(-1, x.shape[-1]).reshape((2, -1)); f(-1)")
    monkeypatch.setitem(PLANTS["drawn"].__globals__, "ROOT", tmp_path)
    changes = [mutant.source.splitlines() for mutant in PLANTS["drawn"](["module.py"], 9, 0)]
    assert sorted(changes) == sorted(
        [f"x.reshape(-1, x.shape[{a}]).reshape(({b}, -1))", f"f({c})"] for a, b, c in ((-2, 2, -1), (-1, 3, -1), (-1, 2, -2))
    )


def test_each_mutant_of_cpp_changes_one_thing():
    source = """// a < b, 7
#include "x1.hpp"
std::vector<Int> f(Int* a) { return !a && g(a[0] - 1) <= n_2; }
"""
    count = len(PLANTS["tokens"](source))
    found = [PLANTS["plant"](Path("module.hpp"), source, place) for place in range(count)]
    body = source.splitlines()[2]
    changes = ("!a", "a"), (" && ", " || "), ("[0]", "[1]"), (" - ", " + "), (" - 1", " - 2"), (" <= ", " < ")
    assert [mutant.change for mutant in found] == [f"{body} -> {body.replace(*change)}" for change in changes]
    assert all(mutant.line == 3 and mutant.source.splitlines()[:2] == source.splitlines()[:2] for mutant in found)


def test_a_module_is_judged_by_the_tests_that_are_nearest():
    for module, first in {
        "reports/causes.py": "tests/reports/test_drawn.py",
        "training/schedule.py": "tests/training/test_small_rules.py",
        "dataflow/importers/onnx_sequences.py": "tests/dataflow/importers/test_onnx_sequences.py",  # bears its name
        "hw/array/sequencer.py": "tests/hw/accelerator/test_array_unit.py",
        "dataflow/machine/units/port.hpp": "tests/dataflow/machine/test_native.py",
    }.items():
        assert PLANTS["tests_of"](Path(module))[0] == Path(first)
    assert PLANTS["tests_of"](Path("training/methods/srste.py"))  # is loaded by its name
    assert Path("tests/xcheck/test_machine_units.py") in PLANTS["tests_of"](Path("dataflow/machine/units/port.hpp"))


def test_all_modules_have_their_turn_and_a_seed_draws_the_same_again():
    chosen = list(PLANTS["drawn"](["reports"], 30, 1))
    assert chosen == list(PLANTS["drawn"](["reports"], 30, 1)) != list(PLANTS["drawn"](["reports"], 30, 2))
    assert len({(mutant.path, mutant.source) for mutant in chosen}) == 30
    whole = [path for path in (ROOT / "reports").glob("*.py") if PLANTS["sites"](ast.parse(path.read_text()))]
    assert len({mutant.path for mutant in chosen}) == len(whole)


def test_a_mutant_is_killed_by_a_test_that_passes_without_it(tmp_path, monkeypatch):
    (tmp_path / "module.py").write_text("x = 3")
    tests = tmp_path / "test_it.py"
    tests.write_text("from module import x\n\ndef test_x():\n    assert x == 3\n")
    play, test = PLANTS["play"], f"{tests.name}::test_x"
    monkeypatch.setitem(play.__globals__, "tests_of", lambda path: [tests])
    for source, killed in (("x = 2 + 1", None), ("x = 4", test)):
        found = json.loads(play(tmp_path, PLANTS["Mutant"](Path("module.py"), 1, "", source)))
        assert found["killed by"] == killed
    assert (tmp_path / "module.py").read_text() == "x = 3"
    PLANTS["SOUND"].clear()
    (tmp_path / "module.py").write_text("x = 5")
    with pytest.raises(SystemExit, match="test_x fails without a defect, too"):
        play(tmp_path, PLANTS["Mutant"](Path("module.py"), 1, "", "x = 4"))


def test_reasons_are_of_modules_that_there_are():
    for one in json.loads(PLANTS["EQUIVALENT"].read_text()):
        assert (ROOT / one["module"]).is_file() and one["why"]
