"""Hostile inputs to the commands: one line and status 2, never a traceback, a hang or half a set."""

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from hw.errors import InputError
from sim import cli

ROOT = Path(__file__).parents[2]
COUNT = 48


def test_hostile_inputs_end_in_one_line():
    command = [sys.executable, str(ROOT / "tests/sim/hostile/run.py"), "--seed", "0", "--count", str(COUNT)]
    done = subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["cases"] == []
    assert found["inputs"] == COUNT and found["refused"] > COUNT // 2  # most of them are wrong


@pytest.mark.parametrize(("seed", "number", "says"), [
    (77101, 80, "tensor 'w': its numbers are not of its shape and type"),
    (77101, 256, "not a trained model, or a damaged one"),
    (77101, 270, "functions"),
    (77101, 508, "matrix products in a step"),
    (77101, 1177, "nodes are too many"),
    (77101, 515, "tensor 'w0': its numbers are not of its shape and type"),
])  # fmt: skip
def test_an_input_that_once_ended_otherwise(seed, number, says):
    """A convolution, weights, functions, a table, a model; drawn so as they were."""
    tool = [sys.executable, str(ROOT / "tests/sim/hostile/run.py"), "--verbose"]
    command = [*tool, "--seed", str(seed), "--first", str(number), "--count", "1"]
    done = subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True)
    case = json.loads(done.stderr.splitlines()[-1])
    assert (case["seed"], case["status"], case["faults"]) == (1_000_000 * seed + number, 2, [])
    assert says in case["error"]


def command_that_raises(monkeypatch, error):
    def fail():
        raise error

    monkeypatch.setattr(cli._Lazy, "get_command", lambda *_: click.Command("broken", callback=fail))


def ended(arguments):
    with pytest.raises(SystemExit) as status:
        cli.main(arguments)
    return status.value.code


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (KeyError("x"), 70, "nmtrain: unexpected KeyError: 'x'; nmtrain --debug shows where\n"),
        (RecursionError("deep"), 70, "nmtrain: unexpected RecursionError: deep; nmtrain --debug shows where\n"),
        (InputError("a\x1b[31m\nb"), 2, "nmtrain: a\\x1b[31m b\n"),
        (MemoryError(), 2, "nmtrain: not enough memory for this\n"),
        (OSError(28, "No space left on device", "/x"), 2, "nmtrain: /x: No space left on device\n"),
    ],
)
def test_what_nobody_foresaw_is_one_line(monkeypatch, capsys, error, status, line):
    command_that_raises(monkeypatch, error)
    assert ended(["broken"]) == status
    assert capsys.readouterr().err == line


def test_debug_shows_where(monkeypatch, capsys):
    command_that_raises(monkeypatch, KeyError("x"))
    assert ended(["--debug", "broken"]) == 70
    error = capsys.readouterr().err
    assert "Traceback" in error and error.endswith("nmtrain: unexpected KeyError: 'x'; nmtrain --debug shows where\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("report mlp --batch 100000000000000000000", "--batch 100000000000000000000 is too large: at most 1,048,576"),
        ("sweep --seeds 99999999", "--seeds 99999999 is too large: at most 1,000"),
        ("gemm --m 65536 --n 65536 --k 1", "m x n x k is too large: at most 268,435,456 multiply-accumulates"),
        ("gemm --ratio 2:100000", "ratio '2:100000': 100000 is too large: at most 1,024"),
        ("train --epochs 0", "--epochs must be a whole number of at least 1, not 0"),
        ("cosim --latency 99999999", "--latency 99999999 is too large: at most 10,000"),
    ],
)
def test_numbers_of_the_command_line_are_bounded(capsys, arguments, message):
    assert ended(arguments.split()) == 2
    assert capsys.readouterr().err == f"nmtrain: {message}\n"


def test_names_are_no_markup(capsys, tmp_path):
    (tmp_path / "net.csv").write_text("Layer, M, N, K\n[red]x[/nope], 8, 8, 8\n:smile:, 8, 8, 8\n")
    assert ended(["workloads", str(tmp_path / "net.csv")]) == 0
    error = capsys.readouterr().err
    assert "[red]x[/nope]" in error and ":smile:" in error
