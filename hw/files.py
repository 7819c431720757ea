"""Files that appear whole or not at all (plain Python)."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from hw.errors import InputError


def write_whole(path: Path, content: str | bytes) -> None:
    """Write beside, then rename: `path` holds its old content or all of the new one, never a part."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as beside:
            beside.write(content.encode() if isinstance(content, str) else content)
        os.chmod(beside.name, 0o644)
        os.replace(beside.name, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None


def write_json(path: Path, result: dict[str, Any]) -> None:
    """Write `result` as indented JSON, whole or not at all."""
    write_whole(path, json.dumps(result, indent=2) + "\n")
