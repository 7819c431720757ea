"""An estimate's page and files."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hw.files import write_json, write_whole
from reports import sections
from reports.causes import causes
from reports.html import Section, render


def parts(result: dict[str, Any]) -> list[Section]:
    """The sections of a result of `dataflow.estimate`."""
    makers = (
        sections.assumed,
        sections.headline,
        _where_time_goes,
        sections.layers,
        sections.utilization,
        sections.roof,
        sections.traffic,
        sections.energy,
        sections.layer_table,
    )
    return [make(result) for make in makers]


def _where_time_goes(result: dict[str, Any]) -> Section:
    """By stage as bars, by cause as a table."""
    section = sections.where_time_goes(result)
    return replace(section, body=section.body + causes(result))


def page(result: dict[str, Any], *, command: str = "") -> str:
    """The HTML page of a result of `dataflow.estimate`."""
    return render(
        f"{result['workload']} on {result['config']}",
        parts(result),
        subtitle=f"one training step, {sections.method_name(result)}, batch {result['batch']}",
        badge="estimated" if result["estimated"] else "",
        footer=f"Made by: {command}" if command else "",
    )


def layers_csv(result: dict[str, Any]) -> str:
    """The layers as comma-separated values; names of columns carry their units."""
    return rows_csv(result["layers"])


def rows_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Rows of the same keys as comma-separated values."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write(
    folder: Path,
    result: dict[str, Any],
    *,
    html: str,
    data: dict[str, Any] | None = None,
    timeline: dict[str, Any] | None = None,
) -> list[Path]:
    """Write ``report.html``, ``report.json`` (`data`, or the result), ``layers.csv``, the plots, and the timeline if given.

    Returns their paths.
    """
    from reports.plots import draw  # matplotlib takes longer to import than the estimate to make

    write_json(folder / "report.json", result if data is None else data)
    write_whole(folder / "layers.csv", layers_csv(result))
    write_whole(folder / "report.html", html)
    plots = draw(result)
    for name, image in plots.items():
        write_whole(folder / name, image)
    names = ["report.html", "report.json", "layers.csv", *plots]
    if timeline is not None:
        write_whole(folder / "timeline.json", json.dumps(timeline, separators=(",", ":")) + "\n")
        names.append("timeline.json")
    return [folder / name for name in names]
