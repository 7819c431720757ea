"""Members of a folder or of a tar archive, by their last name."""

import tarfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from zlib import error as ZlibError

from hw.errors import InputError
from hw.inputs import check_regular, read_bytes

MOST_BYTES, MOST_FILES = 1 << 30, 10_000
"""Of all members of an archive, unpacked, and of a file of a folder; and how many files either may have."""


def members(path: Path) -> dict[str, bytes | Path]:
    """Content of the regular files of an archive, or where those of a folder are, by name without folders.

    Raises
    ------
    InputError
        Where `path` is missing, no archive, a damaged one, or too large.
    """
    if path.is_dir():
        files = list(islice(path.rglob("*"), MOST_FILES + 1))
        if len(files) > MOST_FILES:
            raise InputError(f"{path}: too many files: at most {MOST_FILES:,}")
        return {file.name: file for file in sorted(files) if file.is_file()}
    try:
        check_regular(path, path.stat())
        with tarfile.open(path) as archive:
            return dict(_unpacked(archive, path))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file or folder") from None
    except InputError:
        raise
    except (tarfile.TarError, EOFError, OSError, ZlibError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(f"{path}: not a whole tar archive: {error}") from None


def _unpacked(archive: tarfile.TarFile, path: Path) -> Iterator[tuple[str, bytes]]:
    """Members as they come, so that none is unpacked before its size is known."""
    left = MOST_BYTES
    for number, entry in enumerate(archive):
        left -= entry.size
        if left < 0 or number >= MOST_FILES:
            raise InputError(f"{path}: too large: at most {MOST_BYTES:,} bytes in {MOST_FILES:,} files")
        file = archive.extractfile(entry) if entry.isreg() else None
        if file:
            yield Path(entry.name).name, file.read()


def member(found: dict[str, bytes | Path], name: str, path: Path) -> bytes:
    """One of them; `InputError` where it is missing."""
    if name not in found:
        raise InputError(f"{path}: {name} is missing")
    content = found[name]
    return content if isinstance(content, bytes) else read_bytes(content, most_bytes=MOST_BYTES)
