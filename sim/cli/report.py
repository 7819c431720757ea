"""``nmtrain report``: a training step's cycles on an accelerator."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from rich.text import Text

from dataflow.network import MOST_BATCH
from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.inputs import shown
from hw.ratio import Ratios
from sim.cli.common import (
    Count,
    config_option,
    input_shape_option,
    network_of,
    optimiser_option,
    output_options,
    ratio_option,
    scale_option,
    scaled,
    show,
)
from sim.console import log, working

if TYPE_CHECKING:  # imported when the command runs, so that the others start fast
    from dataflow.analysis.report import StepRun


FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("report")
@click.argument("workload")
@scale_option
@config_option("vcu1525")
@click.option("--method", default="bdwp", show_default=True, help="training method, or dense")
@ratio_option(by_layer=True)
@click.option("--batch", type=Count(MOST_BATCH), default=512, show_default=True, help="samples of a step")
@optimiser_option
@click.option("--skip-unknown", is_flag=True, help="count ONNX operators that are not known as no work")
@input_shape_option
@click.option("--schedule", type=FILE, help="pin the choices in this file")
@click.option("--save-schedule", type=FILE, help="write what was chosen to this file")
@click.option("--validate", "validated", type=FILE, help="validate.json of nmtrain validate, for the same program")
@click.option("--energy", "table", type=FILE, help="TOML or JSON with joules of operations and accesses")
@click.option("--without", multiple=True, metavar="TECHNIQUE", help="switch off interleave or schedule")
@output_options("out/report")
@click.pass_context
def command(
    context: click.Context,
    workload: str,
    scale: int,
    config: AcceleratorConfig,
    method: str,
    ratio: Ratios,
    batch: int,
    optimiser: str,
    skip_unknown: bool,
    shapes: dict[str, tuple[int, ...]],
    schedule: Path | None,
    save_schedule: Path | None,
    validated: Path | None,
    table: Path | None,
    without: tuple[str, ...],
    out: Path,
    as_json: bool,
) -> None:
    """A training step of WORKLOAD, dense and sparse: cycles, speedup, where the time goes.

    Cycles, counters and stalls are those of the commands that nmtrain program exports, on the machine that equals the RTL in
    each cycle. What was run before is read from the cache.

    WORKLOAD is mlp, cnn, resnet9, resnet18, resnet50, vgg19 or vit, an ONNX file (.onnx), a SCALE-Sim topology (.csv)
    or a Python file (.py).
    Writes report.html, report.json, layers.csv, plots and a timeline for the Perfetto viewer to --out; with --json and no --out
    it writes no file.

    \b
    Example:
      nmtrain report resnet18 --config vcu1525 --method bdwp --ratio 2:8 --batch 512
    """
    given: dict[str, Any] = {"skip_unknown": skip_unknown, "shapes": shapes, "schedule": schedule, "techniques_off": without}
    result, step = measure(scaled(workload, scale), config, method, ratio, batch, optimiser, table=table, **given)
    if validated is not None:
        result["validated"] = _validation(validated, result["program"])
    if save_schedule is not None:
        from dataflow.scheduling.pins import save

        save(save_schedule, result["workload"], config.name, result["layers"])
    if not as_json or context.get_parameter_source("out") is not ParameterSource.DEFAULT:
        from reports.step import page, write
        from reports.trace import trace

        html = page(result, command=shlex.join(["nmtrain", *sys.argv[1:]]))
        title = f"{result['workload']} on {result['config']}, {result['method']} {result['ratio']}"
        paths = write(out, result, html=html, timeline=trace(step.result.slices, clock_hz=step.config.clock_hz, title=title))
        log.print(f"wrote {', '.join(path.name for path in paths)} to {out}")
    if not as_json:
        _summary(result)
    show(result, as_json=as_json)


def measure(
    workload: str,
    config: AcceleratorConfig,
    method: str,
    ratio: Ratios,
    batch: int,
    optimiser: str = "sgd",
    *,
    skip_unknown: bool = False,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    schedule: Path | None = None,
    techniques_off: tuple[str, ...] = (),
    table: Path | None = None,
) -> "tuple[dict[str, Any], StepRun]":
    """The result object and the sparse step; `InputError` for an unknown workload or method."""
    from dataflow.analysis.energy import HOROWITZ, read_table
    from dataflow.analysis.exact import ADAMW_RATES, RATES
    from dataflow.analysis.report import describe, run_both
    from dataflow.analysis.studies import NOTES
    from dataflow.ir import techniques
    from dataflow.ir.stages import Stage
    from dataflow.scheduling import pins
    from training import methods

    config.check_ratio(ratio)
    rates = {"sgd": RATES, "adamw": ADAMW_RATES}
    if optimiser not in rates:
        raise InputError(f"unknown optimiser {optimiser!r}; allowed: {', '.join(rates)}")
    trained = methods.load(method)
    stages = trained.sparse_stages - {Stage.WEIGHT_GRADIENT}
    found = network_of(workload, skip_unknown=skip_unknown, shapes=shapes)
    joules = read_table(table) if table else HOROWITZ
    with working(f"lowering {found.network.name}") as said:
        sparse, dense = run_both(
            found.network,
            config,
            sparse_stages=stages,
            ratio=ratio,
            batch=batch,
            techniques=techniques.without(*techniques_off),
            pins=pins.read(schedule, config) if schedule else None,
            rates=rates[optimiser],
            said=said,
        )
    result = describe(found.network, sparse, dense, method=method, table=joules)
    notes = [*found.notes, *([NOTES[method]] if method in NOTES else []), *([trained.note] if trained.note else [])]
    notes += ["Updates are AdamW's: two moments beside each weight."] if optimiser == "adamw" else []
    result["assumptions"] += notes
    for note in notes:
        log.print(Text.assemble(("note:", "yellow"), f" {note}"))
    return result, sparse


def _validation(path: Path, program: str) -> dict[str, Any]:
    """What ``nmtrain validate`` found; `InputError` where it was another program's."""
    from hw.inputs import parse_json, read_text

    found = parse_json(read_text(path), str(path))
    if not isinstance(found, dict) or not isinstance(found.get("layers"), list):
        raise InputError(f"{path}: must be a validate.json of nmtrain validate")
    if found.get("program") != program:
        asked = ", ".join(shown(found.get(key)) for key in ("network", "config", "method", "ratio", "batch"))
        raise InputError(f"{path}: is of another program than this report: {asked}")
    return found


def _summary(result: dict[str, Any]) -> None:
    """A table for the terminal."""
    from rich.table import Table

    table = Table(title=f"{result['workload']}, {result['method']} {result['ratio']}, batch {result['batch']} (cycle-exact)")
    for heading in ("cycles of a step", "dense", str(result["method"]), "speedup"):
        table.add_column(heading, justify="left" if heading.startswith("cycles") else "right")
    for key, cycles in result["cycles"].items():
        dense = result["dense_cycles"][key]
        table.add_row(key.replace("_", " "), f"{dense:,}", f"{cycles:,}", f"{dense / cycles:.2f}" if cycles else "")
    log.print(table)
    speedup = result["speedup_over_dense"]
    log.print(
        f"speedup over dense: {speedup['step']:.3f} whole step, {speedup['gemm']:.3f} matrix products"
        f" (ideal {speedup['ideal']:.3f}); {result['throughput']['images_per_second']:,.1f} images/s"
    )
