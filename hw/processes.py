"""Processes that end with the one that started them, and files and folders that go when it is gone (plain Python)."""

import ctypes
import fcntl
import glob
import os
import resource
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "nmtrain.scratch-"
"""Of folders in the system's temporary folder; `scratch` removes those whose process is gone."""

_PR_SET_PDEATHSIG = 1
_prctl: Callable[[int, int], int] | None = getattr(ctypes.CDLL(None), "prctl", None) if sys.platform == "linux" else None


GROUP = """trap 'trap "" TERM; kill -TERM 0; exit 143' TERM; "$@" & wait $!"""
"""A shell that passes SIGTERM on to all of its process group: a compiler's driver would end, and the compiler go on."""


def end_with_parent(number: int = signal.SIGKILL) -> None:
    """Have the system send this process signal `number` when the thread that started it ends; only Linux knows how."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, number)


def run(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run a tool in `folder` to its end: its status, and all that it printed.

    If this process is killed, or stopped by an exception, the tool ends with all that it has started.
    """
    process = subprocess.Popen(
        ["sh", "-c", GROUP, "sh", *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        process_group=0,
        preexec_fn=_end_with_parent_gently,
    )
    try:
        printed, _ = process.communicate()
    except BaseException:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate()
        raise
    return process.returncode, printed


def _end_with_parent_gently() -> None:
    end_with_parent(signal.SIGTERM)


@contextmanager
def memory_limited(more: int) -> Iterator[None]:
    """Within, this process may take so many bytes beside what it has; what needs more raises `MemoryError`. Only on Linux."""
    if sys.platform != "linux":
        yield
        return
    soft, hard = before = resource.getrlimit(resource.RLIMIT_AS)
    most = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (min([most, *(one for one in before if one != resource.RLIM_INFINITY)]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextmanager
def scratch() -> Iterator[Path]:
    """An empty folder that is removed at the end, and by the next `scratch` where this process is killed before."""
    with held(Path(tempfile.gettempdir()) / PREFIX, folder=True, mode=0o700) as (folder, _):
        yield folder


@contextmanager
def held(prefix: Path, *, folder: bool, mode: int) -> Iterator[tuple[Path, int]]:
    """A new file or folder, named `prefix` and a random number; its path, and a descriptor that locks it.

    What is still there at the end is removed; where this process is killed before, by the next one that asks for `prefix`.
    """
    _remove_abandoned(prefix)
    path, descriptor = _new(prefix, folder, mode)
    try:
        yield path, descriptor
    finally:
        _remove(path)
        os.close(descriptor)


def _new(prefix: Path, folder: bool, mode: int) -> tuple[Path, int]:
    """Made and locked; again, where another process has taken it for abandoned in between."""
    flags = os.O_RDONLY | os.O_DIRECTORY if folder else os.O_WRONLY | os.O_CREAT | os.O_EXCL
    while True:
        path = prefix.with_name(prefix.name + secrets.token_hex(4))
        if folder:
            path.mkdir(mode)
        try:
            descriptor = os.open(path, flags | os.O_CLOEXEC, mode)
        except FileNotFoundError:
            if not folder:
                raise
            continue
        with suppress(OSError):  # a file system without locks: nobody can take it for abandoned
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if path.exists():
            return path, descriptor
        os.close(descriptor)


def _remove_abandoned(prefix: Path) -> None:
    """Remove files and folders of this user's that begin like this, and that no process holds."""
    for path in prefix.parent.glob(f"{glob.escape(prefix.name)}????????"):
        with suppress(OSError):
            if path.is_symlink() or path.stat().st_uid != os.getuid():
                continue
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(path)
            finally:
                os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
