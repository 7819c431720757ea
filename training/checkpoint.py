"""A training as a file, from which it goes on bit for bit."""

from pathlib import Path
from typing import Any

from hw.errors import InputError
from training.archive import below, read_archive, write_archive
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
    write_archive(path, arrays, text)


def read_checkpoint(path: Path, model: Model, optimiser: Optimiser) -> dict[str, Any]:
    """Bring `model` and `optimiser` to where `write_checkpoint` left them; the notes.

    Raises
    ------
    InputError
        Where the file is missing, damaged or of another network.
    """
    arrays, text = read_archive(path, "a checkpoint")
    try:
        model.restore(below(arrays, "model/"))
    except (KeyError, ValueError):
        raise InputError(f"{path}: the checkpoint of another network") from None
    try:
        _restore(model, optimiser, arrays, text)
        return dict(text["notes"])
    except Exception as error:  # a damaged one fails in as many ways as there are bytes
        raise InputError(f"{path}: a damaged checkpoint: {type(error).__name__}: {error}") from None


def _restore(model: Model, optimiser: Optimiser, arrays: dict[str, Any], text: dict[str, Any]) -> None:
    """All but the masters and statistics."""
    optimiser.restore(below(arrays, "optimiser/"))
    scale, good_steps = text["loss_scale"]
    optimiser.loss_scale.scale, optimiser.loss_scale.good_steps = float(scale), int(good_steps)
    for layer, site in model.sites.items():
        site.memory.update(below(arrays, f"site/{layer}/"))
    step, steps = text["moment"]
    model.moment = Moment(int(step), None if steps is None else int(steps))
    model.prepare()
    for name, rng in model.generators().items():
        rng.bit_generator.state = text["generators"][name]
