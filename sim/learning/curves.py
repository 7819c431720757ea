"""What a network learned on the RTL, over simulated time, as a picture."""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np

STEPS_AVERAGED = 20
"""The most steps that a point of a curve is the mean of."""

CAUSES = {
    "all": "cycles",
    "a tile in the array": "array_busy",
    "array waits for operands": "array_waits_operands",
    "array waits for room": "array_waits_room",
}
"""Cycles by what the array did, and their counters. They overlap: a tile may be in the array while the next one waits."""


def draw_learning(results: Sequence[dict[str, Any]]) -> bytes:
    """Draw accuracy and loss over simulated cycles, and what the cycles went to, as a PNG.

    Parameters
    ----------
    results : sequence of dict
        As `sim.learning.loop.learn` gives them, one a training, with ``method``, ``ratio``, ``model`` and ``config``.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    first = results[0]
    figure.suptitle(f"{first['model']} learns on the RTL of {first['config']}", parse_math=False)
    accuracy, loss, causes = figure.subplots(1, 3, width_ratios=[1, 1, 0.8])
    for result in results:
        cycles = np.cumsum([step["cycles"] for step in result["history"]]) / 1e6
        for axes, name, scale in ((accuracy, "accuracy", 100), (loss, "loss", 1)):
            means = _means([scale * step[name] for step in result["history"]])
            axes.plot(cycles, means, label=named(result), marker="o" if len(means) < 3 else "")
        tests = [(test["cycles"] / 1e6, 100 * test["accuracy"]) for test in result["tests"] if test["steps_on_rtl"]]
        accuracy.plot(*zip(*tests, strict=True), "o", color=accuracy.lines[-1].get_color(), markersize=5)
    accuracy.set(xlabel="million cycles on the RTL", ylabel="accuracy, %", title="batches, and test images (points)")
    loss.set(xlabel="million cycles on the RTL", ylabel="training loss", yscale="log")
    accuracy.legend(loc="lower right")
    _draw_causes(causes, results)
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=120, metadata={"Software": None})
    return picture.getvalue()


def named(result: dict[str, Any]) -> str:
    """Method and ratio, as they stand in a legend."""
    return result["method"] if result["method"] == "dense" else f"{result['method']} {result['ratio']}"


def _means(values: Sequence[float]) -> Any:  # noqa: ANN401 (an array)
    """The mean of each step and those before it, up to `STEPS_AVERAGED` and a tenth of all: a batch alone says little."""
    length = max(1, min(STEPS_AVERAGED, len(values) // 10))
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - length, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def _draw_causes(axes: Any, results: Sequence[dict[str, Any]]) -> None:  # noqa: ANN401 (matplotlib's)
    """Bars of a training for each cause, in cycles a step."""
    height = 0.8 / len(results)
    for number, result in enumerate(results):
        cycles = [result["counters"][counter] / result["step_count"] / 1e3 for counter in CAUSES.values()]
        axes.barh(np.arange(len(CAUSES)) + number * height, cycles, height, label=named(result))
    axes.set_yticks(np.arange(len(CAUSES)) + 0.4 - height / 2, CAUSES)
    axes.invert_yaxis()
    axes.set(xlabel="thousand cycles a step", title="what the array did")
