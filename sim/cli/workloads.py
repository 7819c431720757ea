"""``nmtrain workloads``: the networks and their sizes."""

import json
from typing import Any

import click

from hw.config import AcceleratorConfig
from reports.units import si
from sim.cli.common import config_option, input_shape_option
from sim.console import log

STAGES = ("fwd MAC", "dX MAC", "dW MAC")
"""Forward, input gradient, weight gradient."""


@click.command("workloads")
@click.argument("workload", required=False)
@config_option("vcu1525")
@input_shape_option
@click.option("--json", "as_json", is_flag=True, help="print the result object alone on standard output")
def command(workload: str | None, config: AcceleratorConfig, shapes: dict[str, tuple[int, ...]], as_json: bool) -> None:
    """List the networks with layers, MACs, parameters and bytes; of one WORKLOAD, its layers.

    MACs and activations are those of one sample. WORKLOAD is a name from the list, an ONNX file or a SCALE-Sim CSV file.

    \b
    Example:
      nmtrain workloads
      nmtrain workloads resnet18 --json
    """
    from dataflow import importers, zoo
    from dataflow.analysis.workloads import describe

    if workload is None:
        found = [describe(zoo.load(name), config) for name in zoo.NAMES]
        result: dict[str, Any] = {"workloads": [{key: value for key, value in row.items() if key != "rows"} for row in found]}
    else:
        result = describe(importers.load(workload, shapes=shapes).network, config)
    if as_json:
        click.echo(json.dumps(result))
    elif workload is None:
        _list(result["workloads"])
    else:
        _layers(result)


def _list(workloads: list[dict[str, Any]]) -> None:
    """One row a network."""
    rows = [
        (
            row["name"],
            "x".join(map(str, row["input_shape"])),
            f"{row['product_layers']}/{row['layers']}",
            *(si(macs) for macs in row["macs"].values()),
            si(row["parameters"]),
            si(row["parameter_bytes"], "B"),
            si(row["activation_bytes"], "B"),
        )
        for row in workloads
    ]
    sizes = "params", "weights", "activ."
    _table(
        "MACs and activations of one sample; layers with products of all", ("name", "input", "layers", *STAGES, *sizes), rows
    )


def _layers(result: dict[str, Any]) -> None:
    """One row a layer with products."""
    rows = [
        (
            row["name"],
            "x".join(map(str, row["output_shape"])),
            *(f"{row[size]}" for size in ("products", "m", "n", "k")),
            si(row["weights"]),
            *(si(macs) for macs in row["macs"].values()),
        )
        for row in result["rows"]
    ]
    title = f"{result['name']}: {result['parameters']:,} parameters; MACs of one sample"
    _table(title, ("layer", "output", "count", "m", "n", "k", "weights", *STAGES), rows)


def _table(title: str, headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, box=SIMPLE_HEAD, padding=0, collapse_padding=True)
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="left" if place == 0 else "right")
    for row in rows:
        table.add_row(*row)
    log.print(table)
