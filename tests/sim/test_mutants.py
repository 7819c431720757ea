"""The defects that ``make mutants`` plants."""

import ast
import runpy
from pathlib import Path

import pytest

PLANTS = runpy.run_path(str(Path(__file__).parents[1] / "mutants.py"))


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
def test_each_mutant_changes_one_thing(tmp_path, source, changes):
    path = tmp_path / "module.py"
    path.write_text(source)
    found = list(PLANTS["mutants"](path))
    assert sorted(what for _, what, _ in found) == sorted(changes)
    for _, _, mutant in found:
        assert ast.dump(ast.parse(mutant)) != ast.dump(ast.parse(source))


def test_a_module_is_judged_by_the_tests_that_name_it():
    assert "tests/reports/test_drawn.py" in PLANTS["tests_of"](Path("reports/causes.py"))
    assert PLANTS["tests_of"](Path("training/schedule.py"))[0].startswith("tests/training/")
