"""Arrays and one JSON text as an ``.npz``: what checkpoints and saved models are."""

import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from hw.errors import InputError
from hw.files import write_whole
from training.numbers import Array

TEXT = "json"
"""The entry that holds the text; names of arrays have a dot or a slash."""


def write_archive(path: Path, arrays: Mapping[str, Array], text: dict[str, Any]) -> None:
    """Write whole or not at all; equal content, equal bytes, and no pickles."""
    archive = BytesIO()
    np.savez(archive, **{TEXT: np.frombuffer(json.dumps(text).encode(), np.uint8)}, **arrays)  # type: ignore[arg-type]
    write_whole(path, archive.getvalue())


def read_archive(path: Path, what: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and text; `InputError` where `path` is missing or is not `what`, such as ``a checkpoint``."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = dict(archive)
        text = json.loads(arrays.pop(TEXT).tobytes())
        if not isinstance(text, dict):
            raise ValueError(text)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, BadZipFile, EOFError):
        raise InputError(f"{path}: not {what}, or a damaged one") from None
    return arrays, text


def below(arrays: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Entries whose names start with `prefix`, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
