"""Plots of a report, for slides and papers."""

import io
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from reports.charts import roofline_position
from reports.colours import ENERGY, ENERGY_NAMES, GEMM, METHODS, NAMES, STAGES
from reports.sections import method_name
from reports.studies import CURVES, on_curve
from reports.units import shortened, si

Result = dict[str, Any]


def draw(result: Result) -> dict[str, bytes]:
    """Images by file name, each as PNG and as SVG."""
    figures = {
        "step": _step(result),
        "layers": _layers(result),
        "utilization": _utilization(result),
        "roofline": _roofline(result),
        "traffic": _traffic(result),
        "energy": _energy(result),
    }
    return {f"{name}.{kind}": _image(figure, kind) for name, figure in figures.items() for kind in ("png", "svg")}


def sensitivity(
    workload: str,
    bandwidths: Sequence[Result],
    batches: Sequence[Result],
    below: Mapping[str, Mapping[str, float | None]],
) -> dict[str, bytes]:
    """A study's plot of one network by file name: images a second over bandwidth and batch; dots as in its page."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots(1, 2)
    sides = ((bandwidths, "bytes_per_second", 1e9, "bandwidth", "GB/s"), (batches, "batch", 1, "batch", "images"))
    for axis, (points, over, scale, name, unit) in zip(axes, sides, strict=True):
        for curve, prefix, colour in CURVES:
            y = f"{prefix}images_per_second"
            style = "--" if curve == "dense" else "-"
            axis.plot([p[over] / scale for p in points], [p[y] for p in points], style, color=colour, label=curve)
            if at := below[name][curve]:
                axis.plot(at / scale, on_curve(points, over, y, at), "o", color=colour)
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: si(value)))
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_xlabel(f"{name}, {unit}")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("images/s")
    axes[0].set_xticks([p["bytes_per_second"] / 1e9 for p in bandwidths])
    axes[1].legend(frameon=False)
    figure.suptitle(f"{workload}: memory is busier than the array left of the dots", fontsize=10, parse_math=False)
    name = workload.replace("/", "-")  # of a narrow version
    return {f"sensitivity-{name}.{kind}": _image(figure, kind) for kind in ("png", "svg")}


def accuracy(rows: Sequence[Result], name_of: Callable[[Result], str]) -> dict[str, bytes]:
    """A sweep's plot of each model by file name: methods by ratios, mean and sample deviation over seeds; dense as a band.

    Parameters
    ----------
    rows : sequence of dict
        As `training.sweep.summarise` gives them.
    name_of : callable
        What a row's method is called, with what is set of it.
    """
    images: dict[str, bytes] = {}
    for model in dict.fromkeys(row["model"] for row in rows):
        figure = _accuracies([row for row in rows if row["model"] == model], name_of)
        name = Path(model).stem.replace("/", "-")
        images |= {f"accuracy-{name}.{kind}": _image(figure, kind) for kind in ("png", "svg")}
    return images


def _accuracies(rows: Sequence[Result], name_of: Callable[[Result], str]) -> Figure:
    """Methods from the best to the worst, a mark with its deviation for each ratio, in percent; what is far off as text."""
    rows = [row for row in rows if row["mean"] is not None]
    dense = [row for row in rows if row["method"] == "dense"]
    others = [row for row in rows if row["method"] != "dense"]
    ratios = list(dict.fromkeys(row["ratio"] for row in others))
    colours = dict(zip(ratios, cycle(METHODS[1:]), strict=False))
    best = {name: max(row["mean"] for row in others if name_of(row) == name) for name in map(name_of, others)}
    names = sorted(best, key=lambda name: best[name])
    low, high = _shown(rows)
    figure, axes = _figure(7, 1.3 + 0.36 * max(len(names), 1))
    if not rows:
        axes.text(50, 0, "every training diverged", ha="center", va="center")
    for row in dense:
        axes.axvline(100 * row["mean"], color=METHODS[0], zorder=0)
        axes.axvspan(
            *(100 * (row["mean"] + sign * row["deviation"]) for sign in (-1, 1)), color=METHODS[0], alpha=0.2, lw=0, zorder=0
        )
    for number, ratio in enumerate(ratios):
        colour = colours[ratio]
        for row in (row for row in others if row["ratio"] == ratio):
            place = names.index(name_of(row)) + 0.27 * ((len(ratios) - 1) / 2 - number)
            mean, deviation = 100 * row["mean"], 100 * row["deviation"]
            if mean < low:
                axes.text(low, place, f" \u25c2 {mean:.1f} \u00b1 {deviation:.1f}", color=colour, fontsize=7, va="center")
            else:
                axes.errorbar(mean, place, xerr=deviation, fmt="o", ms=4, color=colour, ecolor=colour, capsize=2)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.grid(axis="x", color="#e4e8ec")
    axes.set_axisbelow(True)
    axes.set_xlabel("test accuracy, %: mean and deviation over seeds; dense is the line")
    axes.set_xlim(low, high)
    if ratios:
        marks = [Patch(color=colour, label=ratio) for ratio, colour in colours.items()]
        figure.legend(handles=marks, loc="outside upper center", ncols=len(ratios), frameon=False, fontsize=9)
    return figure


def _shown(rows: Sequence[Result]) -> tuple[float, float]:
    """Both ends of an axis of accuracies; off it is what is below the quartiles by over three times their distance.

    Of no rows, all that an accuracy can be.
    """
    if not rows:
        return 0.0, 100.0
    means, deviations = (np.array([100 * row[key] for row in rows]) for key in ("mean", "deviation"))
    lower, upper = np.quantile(means, (0.25, 0.75))
    near = means >= lower - 3 * (upper - lower)
    low, high = np.min((means - deviations)[near]), np.max((means + deviations)[near])
    margin = max(0.02 * (high - low), 0.1)
    return float(low - margin), float(high + margin)


def _step(result: Result) -> Figure:
    """Dense and sparse step as two stacked bars."""
    figure, axes = _figure(8, 2.4)
    names = ["dense", method_name(result)]
    for place, cycles in enumerate((result["dense_cycles"], result["cycles"])):
        left = 0.0
        for key, colour in STAGES.items():
            axes.barh(place, cycles[key] / 1e6, left=left, color=colour, height=0.62)
            left += cycles[key] / 1e6
    axes.set_yticks([0, 1], names)
    axes.invert_yaxis()
    axes.set_xlabel("million cycles of a training step")
    _legend(figure, tuple(STAGES))
    return figure


def _layers(result: Result) -> Figure:
    """Each layer's products, dense (pale) beside sparse."""
    return _stacks(result, "cycles", 4, "million cycles, dense (pale) and sparse")


def _utilization(result: Result) -> Figure:
    """Use of the array by layer and stage."""
    figure, axes, names = _by_layer(result, 3.4)
    for offset, stage in zip((-0.27, 0, 0.27), GEMM, strict=True):
        rows = [row for row in result["layers"] if row["stage"] == stage]
        places = [names.index(row["name"]) + offset for row in rows]
        axes.bar(places, [100 * row["utilization"] for row in rows], 0.25, color=STAGES[stage])
    axes.set_ylim(0, 100)
    axes.set_ylabel("useful MACs, % of peak")
    _legend(figure, GEMM)
    return figure


def _traffic(result: Result) -> Figure:
    """Memory traffic of each layer's products, dense (pale) beside sparse."""
    return _stacks(result, "memory_bytes", 3.6, "MB, dense (pale) and sparse")


def _stacks(result: Result, field: str, height: float, label: str) -> Figure:
    """Millions of `field`, for each layer its stages on each other, dense (pale) beside sparse."""
    figure, axes, names = _by_layer(result, height)
    for offset, key, alpha in ((-0.2, f"dense_{field}", 0.42), (0.2, field, 1.0)):
        floor = dict.fromkeys(names, 0.0)
        for stage in GEMM:
            rows = [row for row in result["layers"] if row["stage"] == stage]
            places = [names.index(row["name"]) + offset for row in rows]
            heights = [row[key] / 1e6 for row in rows]
            axes.bar(places, heights, 0.38, [floor[row["name"]] for row in rows], color=STAGES[stage], alpha=alpha)
            floor |= {row["name"]: floor[row["name"]] + row[key] / 1e6 for row in rows}
    axes.set_ylabel(label)
    _legend(figure, GEMM)
    return figure


def _by_layer(result: Result, height: float) -> tuple[Figure, Axes, list[str]]:
    """A figure with a place for each layer, and their names."""
    names = list(dict.fromkeys(row["name"] for row in result["layers"]))
    figure, axes = _figure(max(6.0, 2 + 0.34 * len(names)), height)
    axes.set_xticks(range(len(names)), [shortened(name) for name in names], rotation=90, parse_math=False)
    axes.set_xlim(-0.7, len(names) - 0.3)
    return figure, axes, names


def _energy(result: Result) -> Figure:
    """Estimated energy of the dense and the sparse step as two stacked bars."""
    figure, axes = _figure(8, 2.4)
    for place, joules in enumerate((result["energy"]["dense_joules"], result["energy"]["joules"])):
        left = 0.0
        for key, colour in ENERGY.items():
            axes.barh(place, joules[key], left=left, color=colour, height=0.62)
            left += joules[key]
    axes.set_yticks([0, 1], ["dense", method_name(result)])
    axes.invert_yaxis()
    axes.set_xlabel("joules of a training step (counts times a table)")
    patches = [Patch(color=colour, label=ENERGY_NAMES[key]) for key, colour in ENERGY.items()]
    figure.legend(handles=patches, loc="outside upper center", ncols=len(ENERGY), frameon=False, fontsize=9)
    return figure


def _roofline(result: Result) -> Figure:
    """Every product under the roof; rings are dense."""
    machine = result["accelerator"]
    peak, bandwidth = machine["rows"] * machine["columns"], machine["dram_bytes_per_cycle"]
    figure, axes = _figure(7, 4.4)
    for row in result["layers"]:
        colour = STAGES[row["stage"]]
        if row["dense_macs"] != row["macs"]:
            axes.plot(*roofline_position(row, "dense_", bandwidth), "o", mfc="none", mec=colour, alpha=0.6)
        axes.plot(*roofline_position(row, "", bandwidth), "o", color=colour)
    low, high = axes.get_xlim()
    low, high = min(low, 0.7 * peak / bandwidth), max(high, 1.4 * peak / bandwidth)
    axes.plot([low, peak / bandwidth, high], [low * bandwidth, peak, peak], color="#1c2530", zorder=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: si(value)))
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("MACs per byte of memory traffic")
    axes.set_ylabel("MACs per cycle")
    _legend(figure, GEMM)
    return figure


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
    return figure, axes


def _legend(figure: Figure, keys: tuple[str, ...]) -> None:
    patches = [Patch(color=STAGES[key], label=NAMES[key]) for key in keys]
    figure.legend(handles=patches, loc="outside upper center", ncols=len(keys), frameon=False, fontsize=9, columnspacing=1.2)


def _image(figure: Figure, kind: str) -> bytes:
    """The same bytes for the same figure."""
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "nmtrain"}):  # names inside an SVG do not change from run to run
        figure.savefig(buffer, format=kind, dpi=144, metadata={"Date": None} if kind == "svg" else None)
    return buffer.getvalue()
