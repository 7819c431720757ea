"""Files that appear whole or not at all (plain Python)."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from hw.errors import InputError


def write_whole(path: Path, content: str | bytes) -> None:
    """Write beside, then rename: `path` holds its old content or all of the new one, never a part; nothing stays beside it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with open(descriptor, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
            os.chmod(beside, 0o644)
            os.replace(beside, path)
        except BaseException:
            os.unlink(beside)
            raise
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None


def write_json(path: Path, result: dict[str, Any]) -> None:
    """Write `result` as indented JSON, whole or not at all."""
    write_whole(path, json.dumps(result, indent=2) + "\n")
