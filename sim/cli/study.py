"""``nmtrain study``: one question asked of several networks."""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dataflow.network import MOST_BATCH
from hw.config import AcceleratorConfig
from hw.ratio import Ratio
from sim.cli.common import Count, config_option, input_shape_option, network_of, output_options, ratio_option, show
from sim.console import log, working

if TYPE_CHECKING:  # imported when the command runs, so that the others start fast
    from reports.html import Section

FIVE = ("resnet9", "vit", "vgg19", "resnet18", "resnet50")
KINDS = ("networks", "ablation", "ratios", "sensitivity")


@click.command("study")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("workloads", nargs=-1)
@config_option("vcu1525")
@ratio_option()
@click.option("--batch", type=Count(MOST_BATCH), default=512, show_default=True, help="samples of a step")
@input_shape_option
@output_options("out/study")
def command(
    kind: str,
    workloads: tuple[str, ...],
    config: AcceleratorConfig,
    ratio: Ratio,
    batch: int,
    shapes: dict[str, tuple[int, ...]],
    out: Path,
    as_json: bool,
) -> None:
    """Run steps of several networks, by default the five of the evaluation, under changed conditions.

    networks: speedup, use of the array and images a second of a BDWP step. ablation: that step without interleave mapping,
    without offline scheduling. ratios: every method at 2:4, 2:8 and 2:16 beside its ideal. sensitivity: memory bandwidth from
    4.8 to 76.8 GB/s and batch from 1 to 512. Cycles are the machine's, as in nmtrain report; what was run before is read from
    the cache. Writes KIND.json, KIND.csv and KIND.html to --out, of networks also a table in Markdown, of sensitivity a plot a
    network.

    \b
    Example:
      nmtrain study ablation resnet18 vit
    """
    config.check_ratio(ratio)
    networks = [network_of(name, shapes=shapes).network for name in workloads or FIVE]
    studies: dict[str, Callable[..., dict[str, Any]]] = {
        "networks": _networks,
        "ablation": _ablation,
        "ratios": _ratios,
        "sensitivity": _sensitivity,
    }
    result = {"study": kind, "config": config.name, "batch": batch, "exact": True}
    with working(f"running steps of {', '.join(network.name for network in networks)}"):
        result |= studies[kind](networks, config, ratio, batch)
    _write(out, kind, result)
    show(result, as_json=as_json)


def _networks(networks: list[Any], config: AcceleratorConfig, ratio: Ratio, batch: int) -> dict[str, Any]:
    from dataflow.analysis.studies import headline

    rows = _with_progress(headline(networks, config, ratio=ratio, batch=batch), lambda row: row["workload"])
    return {"method": "bdwp", "ratio": str(ratio), "rows": rows}


def _ablation(networks: list[Any], config: AcceleratorConfig, ratio: Ratio, batch: int) -> dict[str, Any]:
    from dataflow.analysis.studies import ablation

    rows = _with_progress(ablation(networks, config, ratio=ratio, batch=batch), lambda row: row["workload"])
    return {"method": "bdwp", "ratio": str(ratio), "rows": rows}


def _ratios(networks: list[Any], config: AcceleratorConfig, ratio: Ratio, batch: int) -> dict[str, Any]:
    from dataflow.analysis.studies import ratios

    rows = ratios(networks, config, batch=batch)
    return {"rows": _with_progress(rows, lambda row: f"{row['workload']} {row['method']} {row['ratio']}")}


def _sensitivity(networks: list[Any], config: AcceleratorConfig, ratio: Ratio, batch: int) -> dict[str, Any]:
    from dataflow.analysis import studies

    rows, below = [], {}
    for network in networks:
        rates = list(studies.bandwidth(network, config, ratio=ratio, batch=batch))
        sizes = list(studies.batches(network, config, ratio=ratio))
        below[network.name] = {
            "bandwidth": _limits(rates, "bytes_per_second"),
            "batch": _limits(sizes, "batch"),
        }
        rows += [{"workload": network.name, "over": "bandwidth", "batch": batch, **point} for point in rates]
        rate = config.dram_channels * config.channel_bytes_per_second
        rows += [{"workload": network.name, "over": "batch", "bytes_per_second": rate, **point} for point in sizes]
        log.print(f"{network.name}: {below[network.name]}")
    return {"method": "bdwp", "ratio": str(ratio), "rows": rows, "memory_bound_below": below}


def _limits(points: list[dict[str, Any]], over: str) -> dict[str, float | None]:
    from dataflow.analysis.studies import memory_bound_below

    return {name: memory_bound_below(points, prefix, over) for name, prefix in (("dense", "dense_"), ("sparse", ""))}


def _with_progress(rows: Any, name: Callable[[dict[str, Any]], str]) -> list[dict[str, Any]]:  # noqa: ANN401 (an iterator)
    done = []
    for row in rows:
        figures = ", ".join(f"{key} {value:.3f}" for key, value in row.items() if isinstance(value, float))
        log.print(f"{name(row)}: {figures}")
        done.append(row)
    return done


def _write(out: Path, kind: str, result: dict[str, Any]) -> None:
    """JSON, CSV, the page, and what else there is of a kind."""
    from hw.files import csv_text, json_text, write_set
    from reports import studies

    subtitle = f"{result['config']}, {_what(result)}batch {result['batch']}"
    html = studies.page(
        kind.capitalize(), _sections(kind, result), subtitle=subtitle, command=shlex.join(["nmtrain", *sys.argv[1:]])
    )
    files: dict[str, str | bytes] = {f"{kind}.csv": csv_text(result["rows"]), f"{kind}.html": html}
    if kind == "networks":
        files["networks.md"] = studies.headline_markdown(result["rows"])
    if kind == "sensitivity":
        from reports.plots import sensitivity

        for name, below in result["memory_bound_below"].items():
            files |= sensitivity(name, *_points(result, name), below)
    write_set(out, {f"{kind}.json": json_text(result)} | files)
    log.print(f"wrote {kind}.json, {', '.join(files)} to {out}")


def _sections(kind: str, result: dict[str, Any]) -> list["Section"]:
    from reports import studies

    if kind == "sensitivity":
        limits = result["memory_bound_below"]
        return [studies.sensitivity_section(name, *_points(result, name), below) for name, below in limits.items()]
    makers = {"networks": studies.headline_section, "ablation": studies.ablation_section, "ratios": studies.ratios_section}
    return [makers[kind](result["rows"])]


def _points(result: dict[str, Any], workload: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Of one network over bandwidth, and over batch."""
    rows = [row for row in result["rows"] if row["workload"] == workload]
    rates, batches = ([row for row in rows if row["over"] == key] for key in ("bandwidth", "batch"))
    return rates, batches


def _what(result: dict[str, Any]) -> str:
    return f"{result['method']} {result['ratio']}, " if "method" in result else ""
