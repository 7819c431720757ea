"""Members of a folder or of a tar archive, by their last name."""

import tarfile
from pathlib import Path
from zlib import error as ZlibError

from hw.errors import InputError


def members(path: Path) -> dict[str, bytes]:
    """Content of the regular files of a folder, or of an archive, by name without folders.

    Raises
    ------
    InputError
        Where `path` is missing, no archive, or a damaged one.
    """
    if path.is_dir():
        return {file.name: file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}
    try:
        with tarfile.open(path) as archive:
            parts = [(member, archive.extractfile(member)) for member in archive.getmembers() if member.isfile()]
            return {Path(member.name).name: file.read() for member, file in parts if file}
    except FileNotFoundError:
        raise InputError(f"{path}: no such file or folder") from None
    except (tarfile.TarError, EOFError, OSError, ZlibError) as error:
        raise InputError(f"{path}: not a whole tar archive: {error}") from None


def member(found: dict[str, bytes], name: str, path: Path) -> bytes:
    """One of them; `InputError` where it is missing."""
    if name not in found:
        raise InputError(f"{path}: {name} is missing")
    return found[name]
