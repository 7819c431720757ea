"""Pages on several networks: techniques switched off, ratios and methods, memory bandwidth and batch."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from reports.charts import Line, curves
from reports.colours import METHODS
from reports.html import Section, render
from reports.tables import Column, table
from reports.units import TIMES, grouped, si

TECHNIQUES = {"interleave": "interleave mapping", "pregenerate": "pre-generation", "schedule": "offline scheduling"}


def ablation_section(rows: Sequence[dict[str, Any]]) -> Section:
    """What each technique is worth for each network."""
    columns = [Column("workload", "network"), Column("cycles", "with all", "cycles", grouped)]
    for name, text in TECHNIQUES.items():
        columns += [
            Column(f"cycles_without_{name}", f"without {text}", "cycles", grouped),
            Column(f"worth_{name}", "longer", TIMES, lambda factor: f"{factor:.3f}"),
        ]
    lead = "A sparse step with all three techniques, and with one of them switched off."
    return Section("What each technique is worth", table(columns, rows, caption="Cycles without each technique"), lead)


def ratios_section(rows: Sequence[dict[str, Any]]) -> Section:
    """Speedups beside their ideals."""
    columns = [
        Column("workload", "network"),
        Column("method", "method"),
        Column("ratio", "kept"),
        Column("cycles", "step", "cycles", grouped),
        *(Column(key, title, TIMES, lambda factor: f"{factor:.3f}") for key, title in _SPEEDUPS.items()),
        Column("gemm_utilization", "utilised in products", "%", lambda share: f"{100 * share:.1f}"),
    ]
    lead = "Speedup over the dense step of the same network; ideal counts multiply-accumulates alone."
    return Section("Methods and ratios", table(columns, rows, caption="Speedup of every method and ratio"), lead)


def sensitivity_section(workload: str, bandwidths: Sequence[dict[str, Any]], batches: Sequence[dict[str, Any]]) -> Section:
    """Images a second over bandwidth and over batch."""
    names = (("dense", "dense_images_per_second", METHODS[0]), ("sparse", "images_per_second", METHODS[1]))

    def lines(points: Sequence[dict[str, Any]], key: str, scale: float) -> list[Line]:
        return [
            Line(name, colour, [(p[key] / scale, p[y]) for p in points], dashed=name == "dense") for name, y, colour in names
        ]

    charts = [
        curves(lines(bandwidths, "bytes_per_second", 1e9), x_title="memory bandwidth, GB/s", y_title="images/s", log_x=True),
        curves(lines(batches, "batch", 1), x_title="batch, images", y_title="images/s", log_x=True),
    ]
    columns = [
        Column("bytes_per_second", "bandwidth", "GB/s", lambda rate: f"{rate / 1e9:g}"),
        Column("dense_images_per_second", "dense", "images/s", si),
        Column("images_per_second", "sparse", "images/s", si),
        Column("step", "speedup", TIMES, lambda factor: f"{factor:.3f}"),
        Column("dense_memory_share", "memory busy, dense", "%", lambda share: f"{100 * share:.0f}"),
        Column("memory_share", "memory busy, sparse", "%", lambda share: f"{100 * share:.0f}"),
    ]
    body = Markup('<div class="charts">') + Markup("").join(charts) + Markup("</div>")
    return Section(workload, body + table(columns, bandwidths, caption=f"{workload} at each memory bandwidth"))


def page(title: str, sections: Sequence[Section], *, subtitle: str, command: str) -> str:
    """The page of a study."""
    return render(title, sections, subtitle=subtitle, badge="estimated", footer=f"Made by: {command}")


def bound_text(below: Mapping[str, float | None]) -> str:
    """Where memory becomes the limit."""
    texts = (f"{name} below {rate / 1e9:.1f} GB/s" if rate else f"{name} nowhere in this range" for name, rate in below.items())
    return f"Memory is busy for longer than the array: {', '.join(texts)}."


_SPEEDUPS = {"ideal": "ideal", "gemm": "products", "step": "whole step"}
