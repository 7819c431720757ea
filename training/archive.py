"""Arrays and one JSON text as an ``.npz``: what checkpoints and saved models are."""

import json
from collections.abc import Collection, Mapping
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any
from zipfile import ZipFile, ZipInfo

import numpy as np

from hw.errors import InputError
from hw.files import write_whole
from hw.inputs import parse_json, read_bytes
from training.numbers import Array

TEXT = "json"
"""The entry that holds the text; names of arrays have a dot or a slash."""


MOST_BYTES = 4 << 30
"""Of an archive."""

GENERATOR_STATE = (1 << 128) - 1
"""The largest number in its text."""


def write_archive(path: Path, arrays: Mapping[str, Array], text: dict[str, Any]) -> None:
    """Write `pack`'s bytes, whole or not at all."""
    write_whole(path, pack(arrays, text))


def pack(arrays: Mapping[str, Array], text: dict[str, Any]) -> bytes:
    """The bytes of an archive: equal content, equal bytes, and no pickles."""
    archive = BytesIO()
    np.savez(archive, **{TEXT: np.frombuffer(json.dumps(text).encode(), np.uint8)}, **arrays)  # type: ignore[arg-type]
    return archive.getvalue()


def read_archive(path: Path, what: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and text; `InputError` where `path` is missing or is not `what`, such as ``a checkpoint``."""
    if not path.exists():
        raise InputError(f"{path}: no such file")
    content = read_bytes(path, most_bytes=MOST_BYTES)
    try:
        arrays = read_arrays(content, most_bytes=MOST_BYTES)
        text = parse_json(arrays.pop(TEXT).tobytes().decode(), str(path), most_whole=GENERATOR_STATE)
        if not isinstance(text, dict):
            raise ValueError(text)
    except Exception:  # a damaged archive fails in as many ways as there are bytes
        raise InputError(f"{path}: not {what}, or a damaged one") from None
    return arrays, text


def read_arrays(content: bytes, names: Collection[str] = (), *, most_bytes: int) -> dict[str, Any]:
    """The arrays of an ``.npz``, all or those of `names`; no pickle is read, and nothing is unpacked beyond `most_bytes`."""
    with ZipFile(BytesIO(content)) as archive:
        entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
        chosen = {name: entry for name, entry in entries.items() if not names or name in names}
        if sum(entry.file_size for entry in chosen.values()) > most_bytes:
            raise ValueError("the arrays are too large")
        return {name: _array(archive, entry) for name, entry in chosen.items()}


def _array(archive: ZipFile, entry: ZipInfo) -> Array:
    """One of them; `ValueError` where its header claims what is not there."""
    member = BytesIO(archive.read(entry))
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(member)
    if min(shape, default=0) < 0 or prod(shape) * dtype.itemsize != entry.file_size - member.tell():
        raise ValueError(f"{entry.filename} is not as large as it says")
    member.seek(0)
    return np.lib.format.read_array(member, allow_pickle=False)


def below(arrays: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Entries whose names start with `prefix`, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
