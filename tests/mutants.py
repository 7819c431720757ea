"""Plants defects one at a time and runs the tests that should notice: ``make mutants``, or ``ONLY=reports COUNT=50 SEED=1``.

A mutant changes one thing of one module: a comparison, an operation, a number, a ``not``, an ``and``. It is killed where a test
of the module fails, or does not end; the score of each module, and what survived, go to ``out/mutants.json``.
"""

import argparse
import ast
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

from hw.processes import scratch

ROOT = Path(__file__).parents[1]
FOLDERS = ("dataflow", "reports", "training", "hw")
MOST_SECONDS = 1200
SWAPS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
"""What an operator becomes."""


def sites(tree):
    """Nodes that can be changed, annotations left out."""
    skipped = set()
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if getattr(node, name, None) is not None:
                skipped |= set(map(id, ast.walk(getattr(node, name))))
    return [node for node in ast.walk(tree) if id(node) not in skipped and changeable(node)]


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


def mutants(path):
    """Sources of a module with one thing changed, each with its line and what it became."""
    text = path.read_text(encoding="utf-8")
    for place in range(len(sites(ast.parse(text)))):
        tree = ast.parse(text)
        node = sites(tree)[place]
        before = ast.unparse(node)
        change(node)
        yield node.lineno, f"{before} -> {ast.unparse(node)}", ast.unparse(ast.fix_missing_locations(tree))


def tests_of(path):
    """Tests of a module: those of its folder that name it, or all of them."""
    folder = ROOT / "tests" / path.parts[0]
    dotted, stem = ".".join(path.with_suffix("").parts), path.stem
    named = [
        test
        for test in sorted(folder.rglob("test_*.py"))
        if dotted in (text := test.read_text(encoding="utf-8")) or f"import {stem}" in text or test.stem == f"test_{stem}"
    ]
    return [str(test.relative_to(ROOT)) for test in named] or [str(folder.relative_to(ROOT))]


def survives(copy, path, source):
    """Whether all tests of a module pass with `source` in its place."""
    whole = (copy / path).read_bytes()
    (copy / path).write_text(source, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests_of(path)]
    try:
        environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, timeout=MOST_SECONDS, check=False)
        return done.returncode == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        (copy / path).write_bytes(whole)


def copy_to(folder):
    """All files of the project."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def drawn(only, count, seed):
    """Mutants of the chosen modules, at random, but so that each module has its share."""
    paths = [
        path.relative_to(ROOT)
        for name in only
        for path in ([ROOT / name] if name.endswith(".py") else (ROOT / name).rglob("*.py"))
    ]
    random.Random(seed).shuffle(paths)
    pools = {path: list(mutants(ROOT / path)) for path in paths}
    for number, pool in enumerate(pools.values()):
        random.Random(seed + number).shuffle(pool)
    chosen = []
    while len(chosen) < count and any(pools.values()):
        chosen += [(path, *pool.pop()) for path, pool in pools.items() if pool]
    return chosen[:count]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("only", nargs="*", default=FOLDERS)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    given = parser.parse_args()
    total, killed, survivors, copies = Counter(), Counter(), [], Queue()

    def judge(mutant):
        path, line, what, source = mutant
        copy = copies.get()
        try:
            alive = survives(copy, path, source)
        finally:
            copies.put(copy)
        total[path] += 1
        killed[path] += not alive
        if alive:
            survivors.append({"module": str(path), "line": line, "change": what})
            print(f"survived: {path}:{line}: {what}", flush=True)

    with scratch() as folder, ThreadPoolExecutor(given.jobs) as pool:
        for job in range(given.jobs):
            copies.put(copy_to(folder / str(job)))
        list(pool.map(judge, drawn(given.only, given.count, given.seed)))
    for path in sorted(total):
        print(f"{path}: {killed[path]} of {total[path]} killed")
    print(f"{sum(killed.values())} of {sum(total.values())} killed: {100 * sum(killed.values()) / sum(total.values()):.1f} %")
    out = ROOT / "out"
    out.mkdir(exist_ok=True)
    scores = {str(path): [killed[path], total[path]] for path in sorted(total)}
    (out / "mutants.json").write_text(
        json.dumps({"seed": given.seed, "killed of": scores, "survivors": survivors}, indent=2) + "\n"
    )


if __name__ == "__main__":
    main()
