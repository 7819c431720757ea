"""Files and texts from outside, read within limits (plain Python).

What a file holds is its author's word: how long it is, how deep it nests and how many digits its numbers have is bounded here,
so that no reader after this one meets more than it can take. Links are followed; pipes and devices are refused, as they may
never end.
"""

import json
import os
import runpy
import stat
import tomllib
from pathlib import Path
from typing import Any

from hw.errors import InputError

MOST_BYTES = 64 << 20
"""Of a text, or of whatever else is read as a whole where nothing larger is allowed."""

MOST_WHOLE = 1 << 53
"""Of a whole number in JSON: beyond it a number cannot be told from its neighbours in every reader."""

SHOWN = 60
"""Characters of a wrong value that a message repeats."""


def read_bytes(path: Path, *, most_bytes: int = MOST_BYTES) -> bytes:
    """All bytes of a regular file.

    Raises
    ------
    InputError
        Where there is none, where it is a folder, a pipe or a device, or larger than `most_bytes`.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe without a writer does not block
        try:
            check_regular(path, os.fstat(descriptor))
            with open(descriptor, "rb", closefd=False) as file:
                content = file.read(most_bytes + 1)
        finally:
            os.close(descriptor)
    except ValueError as error:  # a name with a zero byte
        raise error if isinstance(error, InputError) else InputError(f"{shown(str(path))}: is no file's name") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > most_bytes:
        raise InputError(f"{path}: too large: at most {most_bytes:,} bytes")
    return content


def check_regular(path: Path, found: os.stat_result) -> None:
    """`InputError` unless `found` is of a regular file."""
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe or a device"
        raise InputError(f"{path}: must be a regular file, not {kind}")


def read_text(path: Path, *, most_bytes: int = MOST_BYTES, encoding: str = "utf-8") -> str:
    """The text of a regular file, line ends as ``\\n``; `InputError` as in `read_bytes`, and where it is not text."""
    try:
        text = read_bytes(path, most_bytes=most_bytes).decode(encoding)
    except UnicodeDecodeError:
        raise InputError(f"{path}: cannot be read: not {encoding.removesuffix('-sig').upper()} text") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse_json(text: str, where: str, *, most_whole: int = MOST_WHOLE) -> Any:  # noqa: ANN401 (any JSON)
    """What a JSON text holds; `InputError` with `where`, and with the line where it is not JSON, or beyond the limits."""

    def whole(digits: str) -> int:
        if len(digits) > len(str(most_whole)) + 1 or abs(int(digits)) > most_whole:
            raise InputError(f"{where}: number {shown(digits)} is too large: at most {most_whole:,}")
        return int(digits)

    def refuse(name: str) -> None:
        raise InputError(f"{where}: {name} is no number of JSON")

    try:
        return json.loads(text, parse_int=whole, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}:{error.lineno}: not JSON: {error.msg}") from None
    except RecursionError:
        raise InputError(f"{where}: not JSON that can be read: it nests too deep") from None


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """What a TOML text holds; `InputError` with `where` where it is not TOML, or beyond what can be read."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{where}: {error}") from None
    except RecursionError:
        raise InputError(f"{where}: not TOML that can be read: it nests too deep") from None
    except ValueError:  # of a number or a date
        raise InputError(f"{where}: not TOML that can be read: a number or a date is out of range") from None


def whole(text: str, most: int, *, least: int = 0) -> int:
    """A number in decimal digits; `InputError` says what is allowed where it is none of `least` to `most`."""
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit()):
        raise InputError(f"must be a whole number of at least {least}, not {shown(digits)}")
    value = digits.lstrip("0") or "0"
    if len(value) > len(str(most)) or int(value) > most:
        raise InputError(f"{shown(value)} is too large: at most {most:,}")
    if int(value) < least:
        raise InputError(f"must be a whole number of at least {least}, not {shown(value)}")
    return int(value)


def run_python(path: Path) -> dict[str, Any]:
    """The global names that a Python file leaves; `InputError` where it is missing or fails."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        return runpy.run_path(str(path))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also what ends a program
        raise InputError(f"{path}: {type(error).__name__}: {error}") from error


def shown(value: object) -> str:
    """A wrong value for a message: as Python writes it, short."""
    try:
        text = value if isinstance(value, str) and value.isascii() and value.isdigit() else repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, a list in a list in a list
        return f"a {type(value).__name__} too large to show"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
