"""Plants defects one at a time and runs the tests that should notice: ``make mutants``, or ``ONLY=reports COUNT=50 SEED=1``.

A mutant changes one thing of one module, of Python or C++: a comparison, an operation, a number, a ``not``, an ``and``. It is
judged by the tests that are nearest to the module by imports, nearest first, and killed where one fails, or does not end. What
became of it is kept by the content of the module and of these tests, so that a run that was stopped goes on. The score of each
module, and what survived, go to ``out/mutants.json`` as it comes.
"""

import argparse
import ast
import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import Queue

from hw.cache import cache_folder, kept
from hw.files import write_json
from hw.processes import end_with_parent, scratch

ROOT = Path(__file__).parents[1]
FOLDERS = ("dataflow", "reports", "training", "hw")
MOST_SECONDS = 300
"""Of processor time that a process of the tests may take: what takes longer does not end."""

COMPILING = tuple(map(Path, ("dataflow/machine/native.py", "tests/support/machine_parts.py")))
"""What compiles all C++."""

COMPILER = Path("sim/simulators/verilator.py")
"""What compiles Verilog."""

MOST_FILES = 6
"""Of tests that judge a mutant: the nearest ones; of the hardware, the nearest that compiles Verilog and `WHOLE` besides."""

WHOLE = Path("tests/sim/stress/test_random_steps.py")
"""Random steps on the whole accelerator."""

SOUND = set[str]()
"""Tests that have killed a mutant, and pass without one."""

EQUIVALENT = Path(__file__).with_name("mutants.json")
"""Survivors that no test can tell, with the reason."""

SWAPS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
"""What an operator becomes."""

CPP = {
    " < ": " <= ", " <= ": " < ", " > ": " >= ", " >= ": " > ", " == ": " != ", " != ": " == ", " && ": " || ", " || ": " && ",
    " + ": " - ", " - ": " + ", " * ": " + ", " / ": " * ", " % ": " / ", " += ": " -= ", " -= ": " += ",
    "++": "--", "--": "++", "!": "",
}  # fmt: skip
"""The same in C++, where clang-format puts spaces around operators, and none around the brackets of a template."""

TOKEN = re.compile(r"//.*|#.*|\"[^\"]*\"| (?:<=?|>=?|==|!=|&&|\|\||\+=?|-=?|[*/%]) |\+\+|--|!(?=[\w(])|(?<![\w.])\d+(?![\w.])")
MODULES = (".py", ".hpp")


def tokens(text):
    """Operators and numbers of C++, as matches."""
    return [found for found in TOKEN.finditer(text) if found[0] in CPP or found[0].isdigit()]


def sites(tree):
    """Nodes that can be changed, annotations left out."""
    skipped = set()
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if getattr(node, name, None) is not None:
                skipped |= set(map(id, ast.walk(getattr(node, name))))
    return [node for node in ast.walk(tree) if id(node) not in skipped and changeable(node)]


def placeholders(tree):
    """The -1 of ``reshape``, for which NumPy takes any negative number."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "reshape"]
    given = [size for call in calls for one in call.args for size in (one.elts if isinstance(one, ast.Tuple) else [one])]
    return {id(size.operand) for size in given if isinstance(size, ast.UnaryOp)}


def changeable(node):
    """Whether one of the operators is for this node."""
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign):
        return type(node.op) in SWAPS
    if isinstance(node, ast.Compare):
        return len(node.ops) == 1 and type(node.ops[0]) in SWAPS
    if isinstance(node, ast.Constant):
        return type(node.value) in (int, float)
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)


def change(node):
    """Change a node in place."""
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign):
        node.op = SWAPS[type(node.op)]()
    elif isinstance(node, ast.Compare):
        node.ops = [SWAPS[type(node.ops[0])]()]
    elif isinstance(node, ast.Constant):
        node.value = node.value + 1 if isinstance(node.value, int) else node.value * 2
    else:
        node.op = ast.UAdd()
        node.operand = ast.Call(ast.Name("bool"), [node.operand], [])


@dataclass(frozen=True)
class Mutant:
    """A module of the project, below its root, with one thing changed."""

    path: Path
    line: int
    change: str
    source: str


def plant(path: Path, text: str, place: int) -> Mutant:
    """Change the thing that is the `place`-th of a module's text."""
    if path.suffix != ".py":
        found = tokens(text)[place]
        becomes = CPP.get(found[0]) if found[0] in CPP else str(int(found[0]) + 1)
        lines, line = text.splitlines(), text.count("\n", 0, found.start()) + 1
        source = text[: found.start()] + becomes + text[found.end() :]
        return Mutant(path, line, f"{lines[line - 1].strip()} -> {source.splitlines()[line - 1].strip()}", source)
    tree = ast.parse(text)
    node = sites(tree)[place]
    before = ast.unparse(node)
    change(node)
    return Mutant(path, node.lineno, f"{before} -> {ast.unparse(node)}", ast.unparse(ast.fix_missing_locations(tree)))


@cache
def imports() -> Mapping[Path, frozenset[Path]]:
    """Files of the project that each of its files imports, ``__init__`` of their packages left out."""
    files = [path.relative_to(ROOT) for folder in (*FOLDERS, "sim", "tests") for path in (ROOT / folder).rglob("*.py")]
    by_name = {".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in files}
    by_name |= {path.stem: path for path in files if path.parts[0] == "tests"}  # helpers beside their tests
    by_name |= {path.name: path for path in files if path.parent.name == "packaging"}  # files that are exported
    found = {path: frozenset(by_name[name] for name in imported(ROOT / path) if name in by_name) for path in files}
    compiled = [path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*.hpp")]
    return found | {path: found[path] | set(compiled) for path in COMPILING} | dict.fromkeys(compiled, frozenset())


def imported(path: Path) -> Iterator[str]:
    """Dotted names that a file imports, or names in a text: benches are told to the simulator so.

    What loads modules by name is taken to import all that are beside it.
    """
    text = path.read_text(encoding="utf-8")
    if "import_module" in text:
        yield from (".".join(near.relative_to(ROOT).with_suffix("").parts) for near in path.parent.glob("*.py"))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"\w+(\.\w+)*", node.value):
            yield node.value


@cache
def reached(test: Path) -> Mapping[Path, int]:
    """Files that a test imports, and by how many steps."""
    found, edge, steps = {test: 0}, {test}, 0
    while edge:
        steps += 1
        edge = {path for near in edge for path in imports()[near]} - found.keys()
        found |= dict.fromkeys(edge, steps)
    return found


def tests_of(path: Path) -> list[Path]:
    """Tests that judge a module: that of its name, then those of its own folder, then what imports it, or what imports that.

    Of these, and of all others behind them, come first those of the nearest folder, then those of the fewest steps, then what
    imports least.
    Those of the pages are left out: they run all of the commands that stand there. Of the hardware, two that compile Verilog
    come behind the others, since a mutant makes them compile it anew.
    """
    tests = [test for test in imports() if test.name.startswith("test_") and test.parts[1] != "docs" and path in reached(test)]
    mirrored = Path("tests") / path.parent
    key = {
        test: (
            test.stem != f"test_{path.stem}",
            test.parent != mirrored,
            reached(test)[path] > 2,
            -len(Path(os.path.commonpath([test.parent, mirrored])).parts),
            reached(test)[path],
            len(reached(test)),
            test,
        )
        for test in tests
    }
    nearest = sorted(tests, key=key.__getitem__)
    late = [test for test in nearest if path.parts[0] == "hw" and COMPILER in reached(test)]
    quick = [test for test in nearest if test not in late]
    return [*quick[:MOST_FILES], *(test for test in late if test in (late[0], WHOLE))]


def play(copy: Path, mutant: Mutant) -> bytes:
    """What the tests of a module say with the mutant in its place, as JSON: which one failed, if any, and processor seconds."""
    why, seconds, place = None, 0, copy / mutant.path
    if tests := tests_of(mutant.path):
        whole = place.read_bytes()
        place.write_text(mutant.source, encoding="utf-8")
        try:
            why, seconds = run_tests(copy, *map(str, tests))
        finally:
            place.write_bytes(whole)
    if why and why not in SOUND:
        if not why.startswith("status") and run_tests(copy, why)[0]:
            raise SystemExit(f"{why} fails without a defect, too")
        SOUND.add(why)
    return json.dumps({"killed by": why, "seconds": seconds}).encode()


def run_tests(copy: Path, *tests: str) -> tuple[str | None, int]:
    """The first test that fails, or the status of what ended otherwise, or None; processor seconds."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    with open(copy / "said", "w+b") as said:
        process = subprocess.Popen(command, cwd=copy, env=environment, stdout=said, stderr=said, preexec_fn=_limited)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        failed = re.findall(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", said.read().decode(errors="replace"), re.MULTILINE)
    why = failed[0] if failed else f"status {process.returncode}" if process.returncode else None
    return why, round(usage.ru_utime + usage.ru_stime)


def _limited() -> None:
    end_with_parent()
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS,) * 2)


def judged(copies: "Queue[Path]", mutant: Mutant) -> dict[str, object]:
    """What became of a mutant, now or before."""
    told = [str(mutant.path), mutant.source, *((ROOT / test).read_text(encoding="utf-8") for test in tests_of(mutant.path))]
    copy = copies.get()
    try:
        path = cache_folder() / "mutants" / f"{hashlib.sha256(json.dumps(told).encode()).hexdigest()}.json"
        return json.loads(kept(path, lambda: play(copy, mutant)))
    finally:
        copies.put(copy)


def copy_to(folder: Path) -> Path:
    """All files of the project."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def drawn(only: list[str], count: int, seed: int) -> Iterator[Mutant]:
    """Mutants of the chosen modules, one of each, then the next of each; an edit of one module changes none of another."""

    def order(*told: object) -> str:
        return hashlib.sha256(f"{seed} {told}".encode()).hexdigest()

    paths = [
        path.relative_to(ROOT)
        for name in only
        for path in [one for one in sorted((ROOT / name).rglob("*")) if one.suffix in MODULES] or [ROOT / name]
    ]
    texts = {path: (ROOT / path).read_text(encoding="utf-8") for path in paths}
    pools = {}
    for path in sorted(paths, key=order):
        seen, keys, left_out = Counter[str](), list[str](), set[int]()
        if path.suffix == ".py":
            tree = ast.parse(texts[path])
            every = list(map(ast.unparse, sites(tree)))
            left_out = {place for place, node in enumerate(sites(tree)) if id(node) in placeholders(tree)}
        else:
            every = [found[0] for found in tokens(texts[path])]
        for what in every:
            seen[what] += 1
            keys.append(order(path, what, seen[what]))
        pools[path] = sorted(set(range(len(keys))) - left_out, key=keys.__getitem__, reverse=True)
    while count and any(pools.values()):
        for path in [path for path in pools if pools[path]][:count]:
            yield plant(path, texts[path], pools[path].pop())
            count -= 1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("only", nargs="*", default=FOLDERS)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    given = parser.parse_args()
    reasons = {(one["module"], one["change"]): one["why"] for one in json.loads(EQUIVALENT.read_text())}
    total, killed, survivors, copies, seconds = Counter[str](), Counter[str](), [], Queue[Path](), 0
    mutants = list(drawn(given.only, given.count, given.seed))
    with scratch() as folder, ThreadPoolExecutor(given.jobs) as pool:
        for job in range(given.jobs):
            copies.put(copy_to(folder / str(job)))
        for mutant, found in zip(mutants, pool.map(lambda mutant: judged(copies, mutant), mutants), strict=True):
            module, why = str(mutant.path), reasons.get((str(mutant.path), mutant.change))
            total[module] += 1
            killed[module] += found["killed by"] is not None
            seconds += found["seconds"]
            if found["killed by"] is None:
                survivors.append({"module": module, "line": mutant.line, "change": mutant.change, "why": why})
                print(f"survived: {module}:{mutant.line}: {mutant.change}{f' ({why})' if why else ''}", flush=True)
            scores = {name: [killed[name], total[name]] for name in sorted(total)}
            write_json(ROOT / "out" / "mutants.json", {"seed": given.seed, "killed of": scores, "survivors": survivors})
    print(*(f"{name}: {killed[name]} of {total[name]} killed" for name in sorted(total)), sep="\n")
    unexplained = sum(one["why"] is None for one in survivors)
    print(
        f"{killed.total()} of {total.total()} killed, {len(survivors) - unexplained} survive with a reason, {unexplained} "
        f"without ({100 * unexplained / total.total():.1f} %); {seconds:,} processor seconds"
    )


if __name__ == "__main__":
    main()
