"""What is built once and kept: each file with its hash beside it, checked whenever it is taken."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from hw.errors import InputError
from hw.files import write_whole

SEAL = ".sha256"
"""Ending of the file that holds another one's hash."""


def cache_folder() -> Path:
    """Where built simulators are kept: ``NMTRAIN_CACHE``, or ``nmtrain`` in the user's cache folder."""
    if chosen := os.environ.get("NMTRAIN_CACHE"):
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "nmtrain"


def kept(path: Path, make: Callable[[], bytes]) -> bytes:
    """The content of `path` where it is as it was written; else what `make` makes, which is then kept there."""
    if (content := sealed(path)) is None:
        content = make()
        keep(path, content)
    return content


def keep(path: Path, content: bytes) -> None:
    """Write a file, then its hash."""
    write_whole(path, content)
    write_whole(seal_of(path), hashlib.sha256(content).hexdigest())


def sealed(path: Path) -> bytes | None:
    """The content of a file whose hash stands beside it; None where either is missing or they differ."""
    try:
        content, seal = path.read_bytes(), seal_of(path).read_text()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"{path}: the cache cannot be read: {error.strerror}; set NMTRAIN_CACHE to another folder") from None
    return content if hashlib.sha256(content).hexdigest() == seal else None


def seal_of(path: Path) -> Path:
    """Where the hash of `path` stands."""
    return path.with_name(path.name + SEAL)
