"""``nmtrain study``: one question asked of several networks."""

import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.ratio import Ratio
from sim.cli.common import config_option, log, output_options, ratio_option, show

FIVE = ("resnet9", "vit", "vgg19", "resnet18", "resnet50")
KINDS = ("ablation", "ratios", "sensitivity")


@click.command("study")
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("workloads", nargs=-1)
@config_option("vcu1525")
@ratio_option()
@click.option("--batch", type=int, default=512, show_default=True, help="samples of a step")
@output_options("out/study")
def command(
    kind: str, workloads: tuple[str, ...], config: AcceleratorConfig, ratio: Ratio, batch: int, out: Path, as_json: bool
) -> None:
    """Estimate several networks, by default the five of the evaluation, under changed conditions.

    ablation: without interleave mapping, without pre-generation, without offline scheduling. ratios: every method at 2:4, 2:8
    and 2:16 beside its ideal. sensitivity: memory bandwidth from 4.8 to 76.8 GB/s and batch from 1 to 4096. Writes KIND.json,
    KIND.csv and KIND.html to --out.

    \b
    Example:
      nmtrain study ablation resnet18 vit
    """
    from dataflow import importers

    if batch < 1:
        raise InputError(f"--batch must be at least 1, not {batch}")
    config.check_ratio(ratio)
    networks = [importers.load(name).network for name in workloads or FIVE]
    studies: dict[str, Callable[..., dict[str, Any]]] = {"ablation": _ablation, "ratios": _ratios, "sensitivity": _sensitivity}
    result = {"study": kind, "config": config.name, "batch": batch, "estimated": True}
    result |= studies[kind](networks, config, ratio, batch)
    _write(out, kind, result)
    show(result, as_json=as_json)


def _ablation(networks: list[Any], config: AcceleratorConfig, ratio: Ratio, batch: int) -> dict[str, Any]:
    from dataflow.studies import ablation

    rows = _with_progress(ablation(networks, config, ratio=ratio, batch=batch), lambda row: row["workload"])
    return {"ratio": str(ratio), "rows": rows}


def _ratios(networks: list[Any], config: AcceleratorConfig, ratio: Ratio, batch: int) -> dict[str, Any]:
    from dataflow.studies import ratios

    rows = ratios(networks, config, batch=batch)
    return {"rows": _with_progress(rows, lambda row: f"{row['workload']} {row['method']} {row['ratio']}")}


def _sensitivity(networks: list[Any], config: AcceleratorConfig, ratio: Ratio, batch: int) -> dict[str, Any]:
    from dataflow import studies

    rows, below = [], {}
    for network in networks:
        rates = list(studies.bandwidth(network, config, ratio=ratio, batch=batch))
        sizes = list(studies.batches(network, config, ratio=ratio))
        below[network.name] = {
            name: studies.memory_bound_below(rates, prefix) for name, prefix in (("dense", "dense_"), ("sparse", ""))
        }
        rows += [{"workload": network.name, "over": "bandwidth", "batch": batch, **point} for point in rates]
        rate = config.dram_channels * config.dram_channel_bytes_per_second
        rows += [{"workload": network.name, "over": "batch", "bytes_per_second": rate, **point} for point in sizes]
        log.print(f"{network.name}: {below[network.name]}")
    return {"ratio": str(ratio), "rows": rows, "memory_bound_below_bytes_per_second": below}


def _with_progress(rows: Any, name: Callable[[dict[str, Any]], str]) -> list[dict[str, Any]]:  # noqa: ANN401 (an iterator)
    done = []
    for row in rows:
        figures = ", ".join(f"{key} {value:.3f}" for key, value in row.items() if isinstance(value, float))
        log.print(f"{name(row)}: {figures}")
        done.append(row)
    return done


def _write(out: Path, kind: str, result: dict[str, Any]) -> None:
    """JSON, CSV and the page."""
    from hw.files import write_json, write_whole
    from reports import studies
    from reports.estimate import rows_csv
    from reports.html import Section

    sections: list[Section] = []
    if kind == "ablation":
        sections = [studies.ablation_section(result["rows"])]
    elif kind == "ratios":
        sections = [studies.ratios_section(result["rows"])]
    else:
        for name, below in result["memory_bound_below_bytes_per_second"].items():
            rows = [row for row in result["rows"] if row["workload"] == name]
            rates, batches = ([row for row in rows if row["over"] == key] for key in ("bandwidth", "batch"))
            section = studies.sensitivity_section(name, rates, batches)
            sections.append(replace(section, lead=studies.bound_text(below)))
    subtitle = f"{result['config']}, batch {result['batch']}"
    command_line = shlex.join(["nmtrain", *sys.argv[1:]])
    write_json(out / f"{kind}.json", result)
    write_whole(out / f"{kind}.csv", rows_csv(result["rows"]))
    write_whole(out / f"{kind}.html", studies.page(kind.capitalize(), sections, subtitle=subtitle, command=command_line))
    log.print(f"wrote {kind}.json, {kind}.csv and {kind}.html to {out}")
