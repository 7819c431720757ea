"""A training's curves as a picture."""

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # imported when something is drawn, so that a training starts fast
    from matplotlib.figure import Figure


def draw_curves(epochs: Sequence[dict[str, Any]], title: str) -> bytes:
    """Draw loss and accuracies over epochs, side by side, as a PNG.

    Parameters
    ----------
    epochs : sequence of dict
        With ``epoch``, ``train_loss``, ``train_accuracy`` and ``test_accuracy``.
    title : str
        What was trained.
    """
    picture = BytesIO()
    figure_of(epochs, title).savefig(picture, format="png", dpi=120, metadata={"Software": None})
    return picture.getvalue()


def figure_of(epochs: Sequence[dict[str, Any]], title: str) -> "Figure":
    """The picture before it is drawn; few epochs are marks, for one alone would be no line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    figure.suptitle(title, parse_math=False)
    loss, accuracy = figure.subplots(1, 2)
    places = [epoch["epoch"] for epoch in epochs]
    marker = "o" if len(places) < 3 else ""
    loss.plot(places, [epoch["train_loss"] for epoch in epochs], marker=marker)
    loss.set(xlabel="epoch", ylabel="training loss", yscale="log")
    for name, label in (("train_accuracy", "training"), ("test_accuracy", "test")):
        accuracy.plot(places, [100 * epoch[name] for epoch in epochs], label=label, marker=marker)
    accuracy.set(xlabel="epoch", ylabel="accuracy, %")
    accuracy.legend(loc="lower right")
    return figure
