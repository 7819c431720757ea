"""Files that appear whole or not at all (plain Python).

A link is followed: what it leads to is replaced, and the link stays. Only regular files are replaced; a new one has the
permissions that the umask leaves, a replaced one keeps its own.
"""

import csv
import errno
import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

from hw.errors import InputError
from hw.inputs import check_regular
from hw.processes import held

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def write_whole(path: Path, content: str | bytes) -> None:
    """Write beside, then rename: `path` holds its old content or all of the new one, never a part; nothing stays beside it.

    Raises
    ------
    InputError
        Where `path` cannot be written, or is no regular file.
    """
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace({path: content})


def write_json(path: Path, result: dict[str, Any]) -> None:
    """Write `result` as indented JSON, whole or not at all."""
    write_whole(path, json_text(result))


def json_text(result: dict[str, Any]) -> str:
    """`result` as indented JSON."""
    return json.dumps(result, indent=2) + "\n"


def write_set(folder: Path, files: Mapping[str, str | bytes]) -> list[Path]:
    """Write files that belong together; their paths.

    A new folder appears with all of them, by one rename. In a folder that is there already, all are written beside their places
    before the first is renamed: a full disk leaves the old set as it was, and files of other names stay.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    files : mapping of str to str or bytes
        Contents by name, which may have folders of its own.

    Raises
    ------
    InputError
        Where one cannot be written, or is no regular file.
    """
    with _told(folder):
        if folder.is_dir() and any(folder.iterdir()):
            for parent in {(folder / name).parent for name in files}:
                parent.mkdir(parents=True, exist_ok=True)
            _replace({folder / name: content for name, content in files.items()})
        else:
            _appear(Path(os.path.realpath(folder)), files)
    return [folder / name for name in files]


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes of ours from working in `folder` meanwhile; the system lets go however this one ends.

    Raises
    ------
    InputError
        Where another one works there already.
    """
    with _told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{folder}: another command works in this folder; give it another one, or wait") from None
        yield
    finally:
        os.close(descriptor)


def append_line(path: Path, line: str) -> None:
    """Add a line to a file that grows, at once."""
    with _told(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            check_regular(path, os.fstat(descriptor))
            content = f"{line}\n".encode()
            if os.write(descriptor, content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(descriptor)


def csv_text(rows: Sequence[Mapping[str, Any]], columns: Iterable[str] | None = None) -> str:
    """Rows as comma-separated values; a text that a spreadsheet would run as a formula gets a quotation mark in front."""
    text = StringIO()
    writer = csv.DictWriter(text, list(columns or rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def hash_files(root: Path, paths: Iterable[Path]) -> str:
    """SHA-256 over files below `root`, names and contents, in order."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What the system refuses, as bad input."""
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError) as error:  # a name with a zero byte is a `ValueError`
        raise InputError(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}") from None


def _beside(path: Path, *, folder: bool) -> AbstractContextManager[tuple[Path, int]]:
    """What will take the place of `path`; where this process is killed before, the next one that writes `path` removes it."""
    return held(path.with_name(f".{path.name[:50]}.nmtrain-"), folder=folder, mode=0o777 if folder else 0o666)


def _appear(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """A folder that was not there, or was empty."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _beside(folder, folder=True) as (beside, _):
        for name, content in files.items():
            (beside / name).parent.mkdir(parents=True, exist_ok=True)
            with open(beside / name, "xb") as file:
                file.write(_encoded(content))
        beside.rename(folder)


def _replace(files: Mapping[Path, str | bytes]) -> None:
    """All of them written, before any is renamed."""
    with ExitStack() as stack:
        staged: dict[Path, Path] = {}
        for path, content in files.items():
            target = Path(os.path.realpath(path))
            found = os.stat(target) if target.exists() else None
            if found:
                check_regular(path, found)
            staged[target], descriptor = stack.enter_context(_beside(target, folder=False))
            with open(descriptor, "wb", closefd=False) as file:
                file.write(_encoded(content))
            if found:
                os.fchmod(descriptor, stat.S_IMODE(found.st_mode))
        for target, beside in staged.items():
            beside.replace(target)


def _encoded(content: str | bytes) -> bytes:
    return content.encode(errors="backslashreplace") if isinstance(content, str) else content
