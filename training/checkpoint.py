"""A training as a file, from which it goes on bit for bit."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from hw.errors import InputError
from hw.files import write_whole
from training.methods.site import Moment
from training.model import Model
from training.optimiser import Optimiser


def write_checkpoint(path: Path, model: Model, optimiser: Optimiser, notes: dict[str, Any]) -> None:
    """Write masters, statistics, the optimiser's and the method's memory, every generator and `notes`, whole or not at all.

    Parameters
    ----------
    path : Path
        An ``.npz`` of arrays and one JSON text; holds no pickles.
    model, optimiser
        As they stand between two steps.
    notes : dict
        What JSON holds; given back by `read_checkpoint`.
    """
    arrays = {f"model/{name}": array for name, array in model.state().items()}
    arrays |= {f"optimiser/{name}": array for name, array in optimiser.state.items()}
    for layer, site in model.sites.items():
        arrays |= {f"site/{layer}/{name}": array for name, array in site.memory.items()}
    text = {
        "notes": notes,
        "moment": [model.moment.step, model.moment.steps],
        "loss_scale": [optimiser.loss_scale.scale, optimiser.loss_scale.good_steps],
        "generators": {name: rng.bit_generator.state for name, rng in model.generators().items()},
    }
    archive = BytesIO()
    np.savez(archive, json=np.frombuffer(json.dumps(text).encode(), np.uint8), **arrays)  # type: ignore[arg-type]
    write_whole(path, archive.getvalue())


def read_checkpoint(path: Path, model: Model, optimiser: Optimiser) -> dict[str, Any]:
    """Bring `model` and `optimiser` to where `write_checkpoint` left them; the notes.

    Raises
    ------
    InputError
        Where the file is missing, damaged or of another network.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
        text = json.loads(arrays.pop("json").tobytes())
    except FileNotFoundError:
        raise InputError(f"{path}: no checkpoint to resume from") from None
    except (OSError, ValueError, KeyError, BadZipFile, EOFError):
        raise InputError(f"{path}: not a checkpoint, or a damaged one") from None
    try:
        model.restore(_below(arrays, "model/"))
    except (KeyError, ValueError):
        raise InputError(f"{path}: the checkpoint of another network") from None
    optimiser.restore(_below(arrays, "optimiser/"))
    optimiser.loss_scale.scale, optimiser.loss_scale.good_steps = text["loss_scale"]
    for layer, site in model.sites.items():
        site.memory.update(_below(arrays, f"site/{layer}/"))
    model.moment = Moment(*text["moment"])
    model.prepare()
    for name, rng in model.generators().items():
        rng.bit_generator.state = text["generators"][name]
    return text["notes"]


def _below(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
