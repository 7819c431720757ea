"""The units compiled are the units: taken only where they were made of this very source, and equal to it."""

import json
import os
import pickle
import subprocess
import sys

import pytest

from dataflow.machine import compiled
from hw.cache import keep

EXECUTIONS = """
import json
from dataflow.machine.executor import execute
from dataflow.machine.units import clock
from sim.random_programs import random_programs
found = []
for seed in range(100, 103):
    config, programs, memory = random_programs(seed)
    for commands in programs:
        for skip in (False, True):
            told = execute(config, commands, memory, skip=skip)
            found.append([told.cycles, told.counters, told.stepped, told.moments])
print(json.dumps([clock.__file__, found]))
"""


def executions(**environment):
    command = [sys.executable, "-c", EXECUTIONS]
    done = subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def test_the_library_does_what_the_source_does(tmp_path):
    if not compiled.make():
        pytest.skip("no C compiler")
    (library, fast), (source, slow) = executions(), executions(NMTRAIN_CACHE=str(tmp_path))
    assert library.endswith(compiled.SUFFIX)
    assert source.endswith("clock.py")
    assert fast == slow


@pytest.fixture
def kept_library(tmp_path, monkeypatch):
    """A folder with all files of a library, as they are written, that nobody loads."""
    monkeypatch.setenv("NMTRAIN_CACHE", str(tmp_path))
    folder = compiled.place(compiled.content())
    for name in compiled.names():
        keep(folder / name, b"of " + name.encode())
    return folder


def test_the_library_of_another_source_is_left_alone(kept_library, tmp_path):
    root = tmp_path / "root"
    for package in ("hw", "dataflow"):
        (root / package).parent.mkdir(exist_ok=True)
        (root / package).symlink_to(compiled.ROOT / package)
    assert compiled.place(compiled.content(root)) == kept_library
    (root / "dataflow").unlink()
    units = root / "dataflow" / "machine" / "units"
    units.mkdir(parents=True)
    for path in (compiled.ROOT / "dataflow" / "machine" / "units").glob("*.py"):
        (units / path.name).write_bytes(path.read_bytes())
    assert compiled.place(compiled.content(root)) == kept_library
    with (units / "clock.py").open("a") as file:
        file.write("# other\n")
    assert compiled.place(compiled.content(root)) != kept_library


def test_a_damaged_library_is_left_alone(kept_library):
    assert compiled.is_made(kept_library)
    name = compiled.names()[3]
    (kept_library / name).write_bytes(b"or " + name.encode())
    assert not compiled.is_made(kept_library)
    assert compiled.path() == []


def test_what_cannot_be_loaded_is_left_alone(kept_library):
    """As what another system has made in the same home."""
    assert compiled.path() == []


def test_without_a_compiler_nothing_is_made_and_nothing_said(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("NMTRAIN_CACHE", str(tmp_path))
    monkeypatch.setenv("CC", "/nowhere/cc")
    assert not compiled.make()
    assert capfd.readouterr() == ("", "")
    assert compiled.path() == []


def test_what_cannot_be_compiled_is_told(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("NMTRAIN_CACHE", str(tmp_path))
    monkeypatch.setenv("CC", sys.executable)  # is there
    monkeypatch.setattr(compiled, "BUILD", "raise SystemExit('clock.py:1: error: no')")
    assert not compiled.make()
    assert capfd.readouterr().out.splitlines()[1:] == ["they cannot be compiled and run as they are: clock.py:1: error: no"]
    assert not list(tmp_path.iterdir())


def test_a_memory_goes_to_another_process_and_is_the_same():

    from dataflow.machine.units.port import Memory

    assert pickle.loads(pickle.dumps(Memory(7, 3))) == Memory(7, 3)
