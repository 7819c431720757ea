"""Files appear whole, by a stated rule for links, devices and permissions."""

import csv
import io
import os
import signal
import stat
import subprocess
import sys

import pytest

from hw.errors import InputError
from hw.files import alone_in, append_line, csv_text, write_set, write_whole
from hw.processes import held


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask():
    before = os.umask(0o027)
    yield
    os.umask(before)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_has_what_the_umask_leaves_and_a_replaced_one_keeps_its_own(tmp_path, umask):
    write_whole(tmp_path / "new", "a")
    assert mode(tmp_path / "new") == 0o640  # 666 without 027
    (tmp_path / "new").chmod(0o600)
    write_whole(tmp_path / "new", "b")
    assert mode(tmp_path / "new") == 0o600 and (tmp_path / "new").read_text() == "b"
    write_set(tmp_path / "set", {"a": "1"})
    assert (mode(tmp_path / "set"), mode(tmp_path / "set" / "a")) == (0o750, 0o640)


def test_a_link_is_followed_and_stays(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("old")
    (tmp_path / "link").symlink_to("there/file")
    (tmp_path / "dangling").symlink_to("there/new")
    write_whole(tmp_path / "link", "new")
    write_whole(tmp_path / "dangling", "first")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "there" / "file").read_text() == "new"
    assert (tmp_path / "dangling").is_symlink() and (tmp_path / "there" / "new").read_text() == "first"
    assert names(tmp_path / "there") == ["file", "new"]


def test_only_regular_files_are_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "null").symlink_to("/dev/null")
    for name, kind in (("pipe", "a pipe or a device"), ("null", "a pipe or a device"), ("folder", "a folder")):
        with pytest.raises(InputError, match=f"must be a regular file, not {kind}"):
            write_whole(tmp_path / name, "x")
        with pytest.raises(InputError, match="must be a regular file"):
            write_set(tmp_path, {"a": "1", name: "x"})
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert names(tmp_path) == ["folder", "null", "pipe"]


FULL = """
import resource, sys
from pathlib import Path
from hw.errors import InputError
from hw.files import write_set
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
try:
    write_set(Path(sys.argv[1]), {"a": "1" * 5, "b/c": "2" * 5, "d": "3" * 50})
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize("before", ["nothing", "empty", "a set"])
def test_a_full_disk_leaves_no_part_of_a_set(tmp_path, before):
    folder = tmp_path / "set"
    if before != "nothing":
        folder.mkdir()
    if before == "a set":
        write_set(folder, {"a": "old", "other": "kept"})
    done = subprocess.run([sys.executable, "-c", FULL, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout == f"{folder}: cannot be written: File too large\n"
    assert names(tmp_path) == ([] if before == "nothing" else ["set"])
    held = {path.name: path.read_text() for path in folder.rglob("*") if path.is_file()} if folder.exists() else {}
    assert held == ({"a": "old", "other": "kept"} if before == "a set" else {})


def test_a_set_replaces_what_has_its_names_and_leaves_the_rest(tmp_path):
    write_set(tmp_path / "set", {"a": "1", "b/c": b"2"})
    (tmp_path / "set" / "other").write_text("3")
    assert write_set(tmp_path / "set", {"a": "4", "e": "5"}) == [tmp_path / "set" / "a", tmp_path / "set" / "e"]
    held = {path.name: path.read_text() for path in (tmp_path / "set").rglob("*") if path.is_file()}
    assert held == {"a": "4", "c": "2", "e": "5", "other": "3"}


KILLED = """
import os, signal, sys
from pathlib import Path
from hw.files import write_set
def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)
Path.rename = Path.replace = kill
write_set(Path(sys.argv[1]), {"a": "1", "b/c": "2"})
"""


@pytest.mark.parametrize("before", [{}, {"a": "old", ".a.of-the-user": "kept"}])
def test_what_a_killed_process_has_written_beside_goes_with_the_next(tmp_path, before):
    folder = tmp_path / "set"
    write_set(folder, before)
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert {name: (folder / name).read_text() for name in before} == before
    assert list(tmp_path.rglob(".*.nmtrain-*"))  # it was on its way
    write_set(folder, {"a": "1", "b/c": "2"})
    assert names(tmp_path) == ["set"]
    assert names(folder) == sorted({*before, "a", "b"}) and names(folder / "b") == ["c"]


def test_what_another_process_writes_beside_stays(tmp_path):
    with held(tmp_path / ".a.nmtrain-", folder=False, mode=0o666) as (beside, _):
        write_whole(tmp_path / "a", "1")
        assert names(tmp_path) == sorted([beside.name, "a"])
    assert names(tmp_path) == ["a"]


def test_cells_are_no_formulas():
    rows = [{"name": name, "n": -1} for name in ("=cmd|' /C calc'!A0", "+1", "-1", "@x", "\tx", "a=b", "l1")]
    read = list(csv.DictReader(io.StringIO(csv_text(rows))))
    assert [row["name"] for row in read] == ["'=cmd|' /C calc'!A0", "'+1", "'-1", "'@x", "'\tx", "a=b", "l1"]
    assert {row["n"] for row in read} == {"-1"}  # a number, not a text


def test_one_command_at_a_time_works_in_a_folder(tmp_path):
    with alone_in(tmp_path / "out"):
        with pytest.raises(InputError, match="another command works in this folder"), alone_in(tmp_path / "out"):
            pass
        append_line(tmp_path / "out" / "lines", "a")
    with alone_in(tmp_path / "out"):
        append_line(tmp_path / "out" / "lines", "b")
    assert (tmp_path / "out" / "lines").read_text() == "a\nb\n"
    assert names(tmp_path / "out") == ["lines"]
