"""Pages on several networks: speedups, techniques switched off, ratios and methods, memory bandwidth and batch."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import log
from typing import Any

from markupsafe import Markup

from dataflow.analysis.studies import NOTES
from reports.charts import Line, Point, curves
from reports.colours import METHODS
from reports.html import Section, render
from reports.tables import Column, table
from reports.units import TIMES, grouped, percent, si

TECHNIQUES = {"interleave": "interleave mapping", "schedule": "offline scheduling"}
NAMES = {"dense": "dense", "srste": "SR-STE", "sdgp": "SDGP", "sdwp": "SDWP", "bdwp": "BDWP"}
CURVES = (("dense", "dense_", METHODS[0]), ("sparse", "", METHODS[1]))
"""Name, prefix of its keys, colour."""

Rows = Sequence[dict[str, Any]]


def headline_section(rows: Rows) -> Section:
    """Speedups and use of the array of each network."""
    columns = [
        Column("workload", "network"),
        Column("dense_cycles", "dense", "cycles", grouped),
        Column("cycles", "sparse", "cycles", grouped),
        *_speedups(),
        Column("dense_gemm_utilization", "used, dense", "% of MACs", _hundredths),
        Column("gemm_utilization", "used, sparse", "% of MACs", _hundredths),
        Column("images_per_second", "sparse", "images/s", si),
    ]
    lead = "A sparse training step beside the dense one; use of the array is that in matrix products."
    return Section("The networks", table(columns, rows, caption="Speedup of each network"), lead)


def headline_markdown(rows: Rows) -> str:
    """The same as a table for a text file, the mean in its last row."""
    keys = ("ideal", "gemm", "step", "dense_gemm_utilization", "gemm_utilization")
    mean = {"workload": "mean"} | {key: sum(row[key] for row in rows) / len(rows) for key in keys}
    lines = [
        "| network | ideal | products | whole step | array used, dense | array used, sparse | images/s, dense | images/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in (*rows, mean):
        speedups = [f"{row[key]:.2f}" for key in keys[:3]]
        used = [percent(row[key]).replace("\xa0", " ") for key in keys[3:]]
        rates = [f"{row[key]:.1f}" if key in row else "" for key in ("dense_images_per_second", "images_per_second")]
        lines.append(f"| {' | '.join([row['workload'], *speedups, *used, *rates])} |")
    return "\n".join(lines) + "\n"


def ablation_section(rows: Rows) -> Section:
    """What each technique is worth for each network."""
    columns = [Column("workload", "network"), Column("cycles", "with all", "cycles", grouped)]
    columns += [
        Column(f"worth_{name}", f"without {text}", f"{TIMES} as many cycles", _thousandths) for name, text in TECHNIQUES.items()
    ]
    lead = "A sparse step with both techniques, and what it takes with one of them switched off."
    return Section("What each technique is worth", table(columns, rows, caption="Cycles without each technique"), lead)


def ratios_section(rows: Rows) -> Section:
    """Speedups beside their ideals."""
    columns = [
        Column("workload", "network"),
        Column("method", "method", write=NAMES.__getitem__),
        Column("ratio", "kept", "N of M"),
        Column("cycles", "step", "cycles", grouped),
        *_speedups(),
        Column("gemm_utilization", "used in products", "% of MACs", _hundredths),
    ]
    lead = f"Speedup over the dense step of the same network; ideal counts multiply-accumulates alone. {NOTES['sdgp']}"
    return Section("Methods and ratios", table(columns, rows, caption="Speedup of every method and ratio"), lead)


def sensitivity_section(
    workload: str, bandwidths: Rows, batches: Rows, below: Mapping[str, Mapping[str, float | None]]
) -> Section:
    """Images a second over bandwidth and over batch, with a mark where memory becomes the limit.

    Parameters
    ----------
    workload : str
        The network.
    bandwidths, batches : sequence of dict
        Of `dataflow.analysis.studies`.
    below : mapping
        Where memory is busy for longer than the array, by ``"bandwidth"`` or ``"batch"`` and ``"dense"`` or ``"sparse"``.
    """
    charts = [
        _chart(bandwidths, "bytes_per_second", 1e9, below["bandwidth"], "memory bandwidth, GB/s"),
        _chart(batches, "batch", 1, below["batch"], "batch, images"),
    ]
    columns = [
        Column("bytes_per_second", "bandwidth", "GB/s", lambda rate: f"{rate / 1e9:g}"),
        Column("dense_images_per_second", "dense", "images/s", si),
        Column("images_per_second", "sparse", "images/s", si),
        Column("step", "speedup", TIMES, _thousandths),
        Column("dense_memory_share", "memory busy, dense", "%", lambda share: f"{100 * share:.0f}"),
        Column("memory_share", "memory busy, sparse", "%", lambda share: f"{100 * share:.0f}"),
    ]
    body = Markup('<div class="charts">') + Markup("").join(charts) + Markup("</div>")
    lead = f"Memory is busy for longer than the array, left of the dots: {_limits(below)}."
    return Section(workload, body + table(columns, bandwidths, caption=f"{workload} at each memory bandwidth"), lead)


def page(title: str, sections: Sequence[Section], *, subtitle: str, command: str) -> str:
    """The page of a study."""
    return render(title, sections, subtitle=subtitle, badge="cycle-exact", footer=f"Made by: {command}")


def on_curve(points: Rows, x: str, y: str, at: float) -> float:
    """The value of `y` where `x` is `at`, between points on a logarithmic axis."""
    low, high = next(pair for pair in pairwise(points) if pair[0][x] <= at <= pair[1][x])
    share = log(at / low[x]) / log(high[x] / low[x])
    return float(low[y] + share * (high[y] - low[y]))


def _chart(points: Rows, over: str, scale: float, below: Mapping[str, float | None], x_title: str) -> Markup:
    lines, marks = [], []
    for name, prefix, colour in CURVES:
        y = f"{prefix}images_per_second"
        lines.append(Line(name, colour, [(p[over] / scale, p[y]) for p in points], dashed=name == "dense"))
        if at := below[name]:
            marks.append(
                Point(at / scale, on_curve(points, over, y, at), colour, f"{name}: memory-bound below {at / scale:.3g}")
            )
    return curves(lines, marks, x_title=x_title, y_title="images/s", log_x=True)


def _limits(below: Mapping[str, Mapping[str, float | None]]) -> str:
    units = {"bandwidth": (1e9, " GB/s"), "batch": (1, " images")}
    texts = []
    for over, (scale, unit) in units.items():
        found = (f"{name} below {at / scale:.3g}{unit}" for name, at in below[over].items() if at)
        texts.append(", ".join(found) or f"at no {over} of this range")
    return "; ".join(texts)


def _speedups() -> list[Column]:
    names = {"ideal": "ideal", "gemm": "products", "step": "whole step"}
    return [Column(key, title, f"{TIMES} faster", _thousandths) for key, title in names.items()]


def _thousandths(factor: float) -> str:
    return f"{factor:.3f}"


def _hundredths(share: float) -> str:
    return f"{100 * share:.1f}"
