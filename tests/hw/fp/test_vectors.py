"""A million vectors for each operation, and every pair of FP8 operands, on the Verilog under Verilator."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from fp_operands import vectors
from fp_oracle import decode, expect

from hw.formats import BINARY16, BINARY32, FLOAT8_E4M3, FLOAT8_E5M2
from sim.cli.fp import command
from sim.rtl.fp import run_vectors

COUNT = 1_000_000


def write(path, rows, results, source, target):
    digits = [f"%0{source.width // 4}X"] * rows.shape[1] + [f"%0{target.width // 4}X"]
    line = " ".join(digits)
    path.write_text("\n".join(line % tuple(row) for row in np.column_stack([rows, results]).tolist()) + "\n")


@pytest.mark.parametrize(
    "op, source, target",
    [
        ("mul", BINARY16, BINARY32),
        ("mul", BINARY16, BINARY16),
        ("add", BINARY32, BINARY32),
        ("convert", BINARY32, BINARY16),
        ("convert", BINARY16, BINARY32),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_million_vectors(op, source, target, tmp_path):
    rng = np.random.default_rng(2024)
    rows = vectors(op, source, target, COUNT, rng)
    if (op, source) == ("convert", BINARY16):
        rows[: 1 << 16, 0] = np.arange(1 << 16)  # all there are
    results = expect(op, source, target, rows)
    check_classes(op, source, target, rows, results)
    write(tmp_path / "vectors.txt", rows, results, source, target)
    arguments = ["--op", op, "--from", source.name, "--to", target.name]
    done = CliRunner().invoke(
        command,
        [*arguments, "--vectors", str(tmp_path / "vectors.txt"), "--out", str(tmp_path)],
        standalone_mode=False,
        catch_exceptions=False,
    )
    found = json.loads((tmp_path / "fp.json").read_text())
    assert (found["compared"], found["different"], found["mismatches"]) == (COUNT, 0, [])
    assert done.return_value == 0


def check_classes(op, source, target, rows, results):
    """Each class of operand and result is there thousandfold, so that no comparison is empty."""
    with np.errstate(all="ignore"):
        given, got = decode(source, rows[:, 0]), decode(target, results)
        tiny = np.finfo(given.dtype).tiny
        counts = {
            "zero": np.sum(given == 0),
            "subnormal": np.sum((given != 0) & (np.abs(given) < tiny)),
            "infinity": np.sum(np.isinf(given)),
            "NaN": np.sum(np.isnan(given)),
            "negative": np.sum(np.signbit(given)),
            "zero result": np.sum(got == 0),
            "NaN result": np.sum(np.isnan(got)),
        }
        finite = np.isfinite(decode(source, rows)).all(axis=1)
        if target.bias <= source.bias:
            counts["overflow"] = np.sum(finite & np.isinf(got))
            counts["subnormal result"] = np.sum((got != 0) & (np.abs(got) < np.finfo(got.dtype).tiny))
    assert min(counts.values()) >= 1000, counts


@pytest.mark.parametrize("op", ["mul", "add"])
@pytest.mark.parametrize("form", [FLOAT8_E4M3, FLOAT8_E5M2], ids=lambda form: form.name)
def test_every_pair_of_float8(op, form):
    a, b = np.meshgrid(np.arange(256, dtype=np.uint32), np.arange(256, dtype=np.uint32))
    rows = np.stack([a.ravel(), b.ravel()], axis=1)
    assert np.array_equal(run_vectors(op, form, form, rows), expect(op, form, form, rows))
