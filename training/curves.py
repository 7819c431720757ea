"""A training's curves as a picture."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from hw.files import write_whole


def write_curves(path: Path, epochs: Sequence[dict[str, Any]], title: str) -> None:
    """Draw loss and accuracies over epochs, side by side, as a PNG; whole or not at all.

    Parameters
    ----------
    path : Path
        Where to.
    epochs : sequence of dict
        With ``epoch``, ``train_loss``, ``train_accuracy`` and ``test_accuracy``.
    title : str
        What was trained.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    figure.suptitle(title)
    loss, accuracy = figure.subplots(1, 2)
    places = [epoch["epoch"] for epoch in epochs]
    marker = "o" if len(places) < 3 else ""
    loss.plot(places, [epoch["train_loss"] for epoch in epochs], marker=marker)
    loss.set(xlabel="epoch", ylabel="training loss", yscale="log")
    for name, label in (("train_accuracy", "training"), ("test_accuracy", "test")):
        accuracy.plot(places, [100 * epoch[name] for epoch in epochs], label=label, marker=marker)
    accuracy.set(xlabel="epoch", ylabel="accuracy, %")
    accuracy.legend(loc="lower right")
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=120, metadata={"Software": None})
    write_whole(path, picture.getvalue())
