"""Processes that end with the one that started them, and folders that go when it is gone (plain Python)."""

import ctypes
import fcntl
import os
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


def end_with_parent(number: int = signal.SIGKILL) -> None:
    """Have the system send this process signal `number` when the thread that started it ends; only Linux knows how."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, number)


def run(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run a tool in `folder` to its end: its status, and all that it printed.

    If this process is killed, the tool gets SIGTERM, on which make ends its compilers.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        check=False,
        preexec_fn=_end_with_parent_gently,
    )
    return done.returncode, done.stdout


def _end_with_parent_gently() -> None:
    end_with_parent(signal.SIGTERM)


@contextmanager
def scratch() -> Iterator[Path]:
    """An empty folder that is removed at the end, and by the next `scratch` where this process is killed before."""
    parent = Path(tempfile.gettempdir())
    _sweep(parent)
    fresh = Path(tempfile.mkdtemp(dir=parent, prefix=f".{PREFIX}"))
    descriptor = os.open(fresh, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        folder = fresh.rename(parent / fresh.name[1:])  # only now may others look whether it is still in use
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)


def _sweep(parent: Path) -> None:
    """Remove folders of this user's that no process holds."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)
