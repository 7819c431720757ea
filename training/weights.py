"""Trained weights as a file."""

from io import BytesIO
from pathlib import Path

import numpy as np

from hw.files import write_whole
from training.model import Model


def write_weights(path: Path, model: Model) -> None:
    """Write masters and statistics as an ``.npz`` of ``<layer>.<name>``, whole or not at all; equal models, equal bytes."""
    archive = BytesIO()
    np.savez(archive, **model.state())  # type: ignore[arg-type]
    write_whole(path, archive.getvalue())
