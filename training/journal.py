"""What a training leaves behind as it goes: metrics and checkpoints."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from hw.errors import InputError
from hw.files import write_whole
from training.checkpoint import read_checkpoint, write_checkpoint
from training.model import Model
from training.optimiser import Optimiser

CHECKPOINT, METRICS = "checkpoint.npz", "metrics.jsonl"


class Journal:
    """Writes ``metrics.jsonl``, a line an epoch, and ``checkpoint.npz``: after epochs, as time passes, and when told to stop.

    Parameters
    ----------
    folder : Path or None
        Where to; nowhere without one.
    identity : dict
        Everything that the training's result depends on: a checkpoint with another one is refused.
    goes_on : bool
        Whether to start from the folder's checkpoint, if there is one.
    minutes : float
        After which a checkpoint is written within an epoch, too; at least 0.
    told : sequence of callable
        Each given the metrics of each epoch as it ends.
    """

    def __init__(
        self,
        folder: Path | None = None,
        identity: dict[str, Any] | None = None,
        *,
        goes_on: bool = False,
        minutes: float = 10.0,
        told: Sequence[Callable[[dict[str, Any]], None]] = (),
    ) -> None:
        self.folder = folder
        self.identity = identity or {}
        self.goes_on = goes_on
        self.seconds, self.written = 60 * minutes, monotonic()
        self.told = told
        self.stopped = False
        """Set, by a signal's handler, to end the training after the running step."""

    def resume(self, model: Model, optimiser: Optimiser) -> dict[str, Any] | None:
        """The notes of the checkpoint, whose state `model` and `optimiser` take; None at a fresh start."""
        if not (self.folder and self.goes_on and (self.folder / CHECKPOINT).exists()):
            return None
        path = self.folder / CHECKPOINT
        notes = read_checkpoint(path, model, optimiser)
        if not isinstance(notes.get("identity"), dict) or not isinstance(notes.get("standing"), dict):
            raise InputError(f"{path}: a damaged checkpoint: it does not say of which training, or where that stands")
        other = [name for name, value in self.identity.items() if notes["identity"].get(name) != value]
        if other:
            was, now = notes["identity"].get(other[0]), self.identity[other[0]]
            raise InputError(f"{path}: its training has {other[0]} {was}, not {now}")
        return notes["standing"]

    def write_metrics(self, epochs: list[dict[str, Any]]) -> None:
        """All epochs so far, a line each."""
        for told in self.told:
            told(epochs[-1])
        if self.folder:
            write_whole(self.folder / METRICS, "".join(f"{json.dumps(epoch)}\n" for epoch in epochs))

    def is_due(self) -> bool:
        """Whether it is time for a checkpoint within an epoch."""
        return self.folder is not None and monotonic() - self.written >= self.seconds

    def write_checkpoint(self, model: Model, optimiser: Optimiser, standing: dict[str, Any]) -> None:
        """Whole, in the place of the one before."""
        self.written = monotonic()
        if self.folder:
            write_checkpoint(self.folder / CHECKPOINT, model, optimiser, {"identity": self.identity, "standing": standing})

    def close(self) -> None:
        """The training is done: its checkpoint goes."""
        if self.folder:
            (self.folder / CHECKPOINT).unlink(missing_ok=True)
