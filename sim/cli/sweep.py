"""``nmtrain sweep``."""

from pathlib import Path
from typing import Any

import click

from dataflow.network import MOST_BATCH
from hw.ratio import Ratio, parse_ratio
from sim.cli.common import MOST_EPOCHS, Count, output_options, read_setting, show
from sim.console import log, progress


def _listed(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _ratios(context: click.Context, parameter: click.Parameter, value: str) -> tuple[Ratio, ...]:
    return tuple(map(parse_ratio, _listed(context, parameter, value)))


def _settings(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, Any], ...]:
    return tuple((name, _listed(context, parameter, value)) for name, value in map(read_setting, values))


@click.command("sweep")
@click.option("--data", default="digits", show_default=True, help="data set, as nmtrain train takes it")
@click.option("--models", default="mlp,cnn", show_default=True, callback=_listed, help="networks")
@click.option("--methods", default="all", show_default=True, callback=_listed, help="training methods or Python files, or all")
@click.option("--ratios", default="2:4,2:8,2:16", show_default=True, callback=_ratios, help="N kept of M, each")
@click.option(
    "--set", "settings", multiple=True, callback=_settings, metavar="NAME=VALUE,...",
    help="values of a constant, each in turn, of the methods that have it; once a constant",
)  # fmt: skip
@click.option("--normalise", default="", help="data, none, or MEAN:DEVIATION (commas between channels) of the images")
@click.option("--seeds", type=Count(1_000), default=5, show_default=True, help="repetitions, seeds 0 and up")
@click.option("--epochs", type=Count(MOST_EPOCHS), default=25, show_default=True, help="passes over the images")
@click.option("--batch", type=Count(MOST_BATCH), default=32, show_default=True, help="images of a step")
@click.option("--learning-rate", type=float, default=0.1, show_default=True, help="at the start of the schedule")
@click.option("--exact", is_flag=True, help="multiply bit for bit as the accelerator does, instead of with BLAS")
@click.option(
    "--wide/--no-wide",
    default=False,
    help="also each method with wider hidden layers, for the dense forward work",
)
@click.option("--jobs", type=Count(256), default=1, show_default=True, help="trainings at a time")
@output_options("out/sweep")
def command(out: Path, as_json: bool, jobs: int, **fields: Any) -> None:  # noqa: ANN401 (the fields of Sweep)
    """Train every method at every ratio with several seeds; write accuracy.json, .csv and .md, and a plot of each model.

    Trainings that runs.jsonl in --out holds already are not repeated, so that a stopped sweep goes on where it was.

    \b
    Example:
      nmtrain sweep --models mlp --methods dense,bdwp --ratios 2:8 --out out/sweep
    """
    from reports.plots import accuracy
    from training.sweep import Sweep, run
    from training.table import name_of

    sweep = Sweep(**fields)
    with _progress_bar(len(sweep.cases())) as advance:
        result = run(sweep, out, jobs=jobs, progress=advance, draw=lambda rows: accuracy(rows, name_of))
    show(result, as_json=as_json)
    _table(result)
    log.print(f"{out / 'accuracy.json'}, {out / 'accuracy.csv'}: {len(result['rows'])} rows of {sweep.seeds} seeds")


def _progress_bar(total: int) -> Any:  # noqa: ANN401 (a context manager that gives the callable)
    """A bar on standard error: which training ended last, and how much time is left."""
    from contextlib import contextmanager

    from rich.progress import MofNCompleteColumn, TimeRemainingColumn

    @contextmanager
    def shown() -> Any:  # noqa: ANN401
        with progress(MofNCompleteColumn(), TimeRemainingColumn()) as bar:
            task = bar.add_task("", total=total)
            yield lambda done, what: bar.update(task, completed=done, description=what)

    return shown()


def _table(result: dict[str, Any]) -> None:
    from rich.table import Table

    from training.table import name_of, reached

    table = Table(title=f"test accuracy in %, {result['sweep']['data']}, mean ± deviation")
    for heading in ("model", "method", "ratio", "accuracy", "dense minus this"):
        table.add_column(heading)
    for row in result["rows"]:
        lost = "" if row["lost_points"] is None else f"{row['lost_points']:.2f}"
        table.add_row(row["model"], name_of(row), row["ratio"], reached(row), lost)
    log.print(table)
