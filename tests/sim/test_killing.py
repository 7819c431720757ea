"""Commands that are killed leave nothing running, and give the same bytes when they are run again."""

import json
import os
import subprocess
import sys

import killing
import pytest


def test_killed_commands_give_the_same_bytes_when_they_are_run_again():
    names = ["study", "export"]
    command = [sys.executable, killing.__file__, "--only", *names, "--trials", "2", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {name: [] for name in names}


def test_what_runs_on_is_seen(monkeypatch, tmp_path):
    monkeypatch.setattr(killing, "MOST_SECONDS", 0.1)
    run = killing.Run("export --help", tmp_path, tmp_path)
    run.process.wait()
    environment = {**os.environ, "NMTRAIN_MARK": run.mark}
    program = "print(1, flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], env=environment, **pipes) as stays:
        stays.stdout.readline()  # it is what it will be
        assert run.runs_on() == [f"{sys.executable} -c {program} runs on"]
        stays.communicate(b"\n")
    assert run.runs_on() == []


@pytest.mark.parametrize(("seconds", "killed"), [(0, True), (600, False)])
def test_what_differs_is_told(tmp_path, seconds, killed):
    """Of a command that ends with status 2, and writes nothing."""
    was_killed, problems = killing.trial("export --block no", tmp_path, tmp_path, seconds, {"printed": b"x", "work/a": b""})
    assert was_killed == killed
    assert problems[0].startswith("status 2: ") and "nmtrain: " in problems[0]
    assert problems[1:] == ["work/a is missing", "printed is not the same"]


def test_times_are_no_difference(tmp_path):
    run = killing.Run("export --help", tmp_path, tmp_path)
    run.process.wait()
    assert run.results()["printed"].startswith(b"Usage")
    (tmp_path / "printed").write_text('{"seconds": 0.25, "loss": 0.5}')
    assert run.results() == {"printed": b'{"seconds": 0, "loss": 0.5}'}
