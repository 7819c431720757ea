"""Processes end with their parent, and folders of processes that are gone go."""

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from hw.processes import memory_limited, run, scratch

HOLD = (
    "import time; from hw.processes import scratch\nwith scratch() as folder:\n    print(folder, flush=True); time.sleep(600)"
)
START = """import signal, sys
from pathlib import Path
from hw.processes import run
signal.signal(signal.SIGINT, signal.default_int_handler)  # what starts the tests may ignore it
run(sys.argv[1:], Path.cwd())
"""
TOOL = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(600)"
DRIVER = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_memory_is_limited_within_and_only_there():
    before = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(MemoryError), memory_limited(1 << 26):
        bytearray(1 << 27)
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    with memory_limited(1 << 27):
        assert len(bytearray(1 << 26)) == 1 << 26
        with pytest.raises(MemoryError), memory_limited(1 << 40):  # never more than what is allowed already
            bytearray(1 << 28)
    assert len(bytearray(1 << 28)) == 1 << 28


def test_a_scratch_folder_goes_at_the_end_whatever_ends_it(temporary):
    with scratch() as folder:
        (folder / "file").write_text("x")
    with pytest.raises(KeyError), scratch() as other:
        raise KeyError
    assert folder != other and not list(temporary.iterdir())


def test_folders_of_killed_processes_go_and_those_in_use_stay(temporary):
    holders = [subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    killed, used = (Path(holder.stdout.readline().strip()) for holder in holders)
    holders[0].kill()
    holders[0].wait()
    assert killed.is_dir()
    with scratch() as mine:
        assert sorted(temporary.iterdir()) == sorted([mine, used])
    holders[1].kill()
    for holder in holders:
        holder.wait()
        holder.stdout.close()


@pytest.mark.parametrize("tool", [[TOOL], [DRIVER, TOOL]], ids=["itself", "what it has started"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_tool_ends_with_the_command_that_is_killed(tmp_path, tool, number):
    command = subprocess.Popen([sys.executable, "-c", START, sys.executable, "-c", *tool], cwd=tmp_path, env=dict(os.environ))
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        time.sleep(0.01)
    runs = Path("/proc") / (tmp_path / "pid").read_text()
    command.send_signal(number)
    command.wait()
    while runs.exists() and "State:\tZ" not in (runs / "status").read_text():
        time.sleep(0.01)


def test_a_tool_gives_its_status_and_all_that_it_printed(tmp_path):
    script = "import sys; print('out', flush=True); print('err', file=sys.stderr); sys.exit(3)"
    assert run([sys.executable, "-c", script], tmp_path) == (3, "out\nerr\n")
