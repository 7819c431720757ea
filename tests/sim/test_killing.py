"""Commands that are killed leave nothing running, and give the same bytes when they are run again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import killing
import pytest

TOOL = Path(killing.__file__)


@pytest.mark.parametrize("name", ["report", "export", "sweep"])
def test_killed_commands_give_the_same_bytes_when_they_are_run_again(name):
    command = [sys.executable, str(TOOL), "--only", name, "--trials", "2", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {name: {"trials": 2, "problems": []}}


def test_what_runs_on_is_seen(monkeypatch):
    monkeypatch.setattr(killing, "MOST_SECONDS", 0.1)
    environment = {**os.environ, "NMTRAIN_MARK": "a-mark-of-this-test"}
    stays = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=environment)
    assert killing.left_running("a-mark-of-this-test") == 1
    stays.communicate(b"\n")
    assert killing.left_running("a-mark-of-this-test") == 0


def test_files_that_differ_are_told(tmp_path, monkeypatch):
    """Of a command whose second run writes another file, and one more."""
    script = "import os, pathlib; n = len(os.listdir()); pathlib.Path(f'{n}').write_text('x')"

    def begin(arguments, root, cache):
        return subprocess.Popen([sys.executable, "-c", script], cwd=root / "work"), "no-process-has-this-mark"

    monkeypatch.setattr(killing, "begin", begin)
    due, _ = killing.undisturbed([], tmp_path / "due", tmp_path)
    assert due == {"0": b"x"}
    assert killing.trial([], tmp_path / "again", tmp_path, 600, {**due, "2": b""}) == (False, ["2 is missing", "1 is left"])


def test_times_are_no_difference(tmp_path):
    for name, seconds in (("a", b"0.25"), ("b", b"17")):
        (tmp_path / name).write_bytes(b'{"seconds": %s, "loss": 0.5}' % seconds)
    assert killing.content(tmp_path / "a") == killing.content(tmp_path / "b") == b'{"seconds": 0, "loss": 0.5}'
