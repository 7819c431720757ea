"""``nmtrain report`` as a user runs it."""

import json
import subprocess
import sys

import pytest

NMTRAIN = [sys.executable, "-c", "from sim.cli import main; main()", "report"]
KEYS = {
    "workload", "config", "method", "ratio", "batch", "exact", "assumptions", "cycles", "speedup_over_dense", "layers",
    "throughput", "utilization", "breakdown",
}  # fmt: skip


def nmtrain(*arguments, cwd):
    return subprocess.run([*NMTRAIN, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


def test_json_alone_on_standard_output_and_no_file(tmp_path):
    done = nmtrain("mlp", "--config", "tiny", "--batch", "8", "--json", cwd=tmp_path)
    assert done.returncode == 0
    result = json.loads(done.stdout)
    assert result.keys() >= KEYS
    assert result["exact"] is True
    cycles = result["cycles"]
    assert sum(cycles.values()) == 2 * cycles["step"]
    assert sum(result["breakdown"].values()) == cycles["step"]
    assert result["speedup_over_dense"]["step"] == pytest.approx(result["dense_cycles"]["step"] / cycles["step"])
    assert [row["name"] for row in result["layers"]] == ["fc1", "fc2", "fc3", "fc3", "fc3", "fc2", "fc2", "fc1"]
    assert not list(tmp_path.iterdir())


def test_files_where_they_are_asked_for(tmp_path):
    done = nmtrain("mlp", "--config", "tiny", "--json", "--out", "here", cwd=tmp_path)
    assert done.returncode == 0
    assert json.loads((tmp_path / "here" / "report.json").read_text()) == json.loads(done.stdout)
    names = {path.name for path in (tmp_path / "here").iterdir()}
    assert {"report.html", "layers.csv", "step.png", "layers.png", "utilization.png", "roofline.png"} < names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["alexnet"], "unknown workload 'alexnet'; allowed: mlp, cnn, "),
        (["mlp", "--method", "magic"], "unknown method 'magic'; allowed: bdwp, "),
        (["mlp", "--batch", "0"], "--batch must be a whole number of at least 1, not 0"),
        (["mlp", "--batch", "many"], "--batch must be a whole number of at least 1, not 'many'"),
        (["mlp", "--ratio", "5:4"], "n must be in 1..m, not 5 (m = 4)"),
        (["mlp", "--ratio", "2:32"], "needs groups of 32, but vcu1525 is elaborated for max_group = 16"),
        (["mlp", "--config", "huge"], "unknown configuration 'huge'; allowed: tiny, "),
        (["mlp", "--config", "tiny", "--optimizer", "x"], "unknown optimiser 'x'; allowed: sgd, adamw"),
        (["mlp", "--config", "tiny", "--optimiser", "adamw"], "tiny has no AdamW; a preset with -adamw behind its name has"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tmp_path, arguments, message):
    done = nmtrain(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
    assert not list(tmp_path.iterdir())


def test_updates_of_adamw_are_in_the_cycles(tmp_path):
    asked = ("mlp", "--batch", "8", "--json")
    sgd = json.loads(nmtrain(*asked, "--config", "tiny", cwd=tmp_path).stdout)
    adamw = json.loads(nmtrain(*asked, "--config", "tiny-adamw", "--optimiser", "adamw", cwd=tmp_path).stdout)
    assert sgd["cycles"]["update"] < adamw["cycles"]["update"]
    assert adamw["assumptions"][-1] == "Updates are AdamW's: two moments beside each weight."


def test_buffers_too_small_are_named(tmp_path):
    (tmp_path / "mine.toml").write_text("rows = 8\ncolumns = 8\noutput_buffer_bytes = 100\n")
    done = nmtrain("mlp", "--config", "mine.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert "output_buffer_bytes of mine must be at least 512, two tiles of sums, not 100" in done.stderr


def test_a_large_batch_takes_no_more_memory(tmp_path):
    arguments = ["mlp", "--config", "vcu1525", "--method", "bdwp", "--batch", "8192", "--json"]
    told = "from pathlib import Path; Path('status').write_text(Path('/proc/self/status').read_text())"
    program = f"import atexit; atexit.register(lambda: exec({told!r})); from sim.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program, "report", *arguments], cwd=tmp_path, capture_output=True, check=True)
    peak_kib = int((tmp_path / "status").read_text().partition("VmHWM:")[2].split()[0])
    assert peak_kib < 400 * 1024
    assert json.loads(done.stdout)["exact"] is True


def test_what_a_method_is_not_charged_for_is_said(tmp_path):
    done = nmtrain("mlp", "--config", "tiny", "--method", "sdgp", "--batch", "8", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["assumptions"][-1].startswith("SDGP is counted as SDWP is")
    assert "upper bound" in " ".join(done.stderr.split())


def test_json_alone_imports_no_plots(tmp_path):
    script = (
        "import sys\nfrom sim.cli import main\n"
        "try:\n    main(['report', 'mlp', '--json'])\nexcept SystemExit:\n    pass\n"
        "sys.exit(any(name in sys.modules for name in ('matplotlib', 'jinja2', 'amaranth')))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0
