"""An estimate's page and files."""

import csv
import io
from pathlib import Path
from typing import Any

from hw.files import write_json, write_whole
from reports import sections
from reports.html import render


def page(result: dict[str, Any], *, command: str = "") -> str:
    """The HTML page of a result of `dataflow.estimate`."""
    parts = (
        sections.assumed,
        sections.headline,
        sections.where_time_goes,
        sections.layers,
        sections.utilization,
        sections.roof,
        sections.layer_table,
    )
    return render(
        f"{result['workload']} on {result['config']}",
        [part(result) for part in parts],
        subtitle=f"one training step, {sections.method_name(result)}, batch {result['batch']}",
        badge="estimated" if result["estimated"] else "",
        footer=f"Made by: {command}" if command else "",
    )


def layers_csv(result: dict[str, Any]) -> str:
    """The layers as comma-separated values; names of columns carry their units."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(result["layers"][0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(result["layers"])
    return text.getvalue()


def write(folder: Path, result: dict[str, Any], *, command: str = "") -> list[Path]:
    """Write ``report.json``, ``layers.csv``, ``report.html`` and the plots; return their paths."""
    from reports.plots import draw  # matplotlib takes longer to import than the estimate to make

    write_json(folder / "report.json", result)
    write_whole(folder / "layers.csv", layers_csv(result))
    write_whole(folder / "report.html", page(result, command=command))
    plots = draw(result)
    for name, image in plots.items():
        write_whole(folder / name, image)
    return [folder / name for name in ("report.html", "report.json", "layers.csv", *plots)]
