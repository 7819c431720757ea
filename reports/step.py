"""A report's page and files."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hw.files import csv_text, json_text, write_set
from reports import sections
from reports.causes import causes
from reports.html import Section, render


def parts(result: dict[str, Any]) -> list[Section]:
    """The sections of a result of `dataflow.analysis.report`."""
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
    return [make(result) for make in (*makers, *([sections.validation] if "validated" in result else []))]


def _where_time_goes(result: dict[str, Any]) -> Section:
    """By stage as bars, by cause as a table."""
    section = sections.where_time_goes(result)
    return replace(section, body=section.body + causes(result))


def page(result: dict[str, Any], *, command: str = "") -> str:
    """The HTML page of a result of `dataflow.analysis.report`."""
    return render(
        f"{result['workload']} on {result['config']}",
        parts(result),
        subtitle=f"one training step, {sections.method_name(result)}, batch {result['batch']}",
        badge="cycle-exact",
        footer=f"Made by: {command}" if command else "",
    )


def layers_csv(result: dict[str, Any]) -> str:
    """The layers as comma-separated values; names of columns carry their units."""
    return csv_text(result["layers"])


def write(
    folder: Path,
    result: dict[str, Any],
    *,
    html: str,
    data: dict[str, Any] | None = None,
    timeline: dict[str, Any] | None = None,
    more: Mapping[str, str | bytes] = MappingProxyType({}),
) -> list[Path]:
    """Write ``report.html``, ``report.json`` (`data`, or the result), ``layers.csv``, plots, the timeline if given, and `more`.

    Returns their paths.
    """
    from reports.plots import draw  # matplotlib takes longer to import than most reports to make

    files: dict[str, str | bytes] = {
        "report.html": html,
        "report.json": json_text(result if data is None else data),
        "layers.csv": layers_csv(result),
        **draw(result),
        **more,
    }
    if timeline is not None:
        files["timeline.json"] = json.dumps(timeline, separators=(",", ":")) + "\n"
    return write_set(folder, files)
