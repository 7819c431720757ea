"""``nmtrain validate``: commands of a network's own program on the RTL, against NumPy and the machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dataflow.network import MOST_BATCH
from hw.config import AcceleratorConfig
from hw.files import json_text, write_set
from hw.ratio import Ratios
from sim.cli.common import MOST_SEED, Count, config_option, network_of, output_options, ratio_option, scale_option, scaled, show
from sim.console import log, working

if TYPE_CHECKING:  # imported when the command runs, so that the others start fast
    from sim.validation.validate import Compared

MOST_SAMPLES = 100_000


@click.command("validate")
@click.argument("workload")
@scale_option
@config_option()
@click.option("--method", default="bdwp", show_default=True, help="training method, or dense")
@ratio_option(by_layer=True)
@click.option("--batch", type=Count(MOST_BATCH), default=512, show_default=True, help="samples of a step")
@click.option("--samples", type=Count(MOST_SAMPLES), default=40, show_default=True, help="parts of the program to play")
@click.option("--seed", type=Count(MOST_SEED, least=0), default=0, show_default=True, help="of what is drawn, and its numbers")
@output_options("out/validate")
def command(
    workload: str, scale: int, config: AcceleratorConfig, method: str, ratio: Ratios, batch: int, samples: int, seed: int,
    out: Path, as_json: bool,
) -> int:  # fmt: skip
    """Play parts of WORKLOAD's program on the RTL: what the report's cycles rest on.

    Draws commands with what they depend on from the program that nmtrain program exports: a product with its loads and
    stores, a pass, an update. Long ones are cut to a few tiles. Each runs on random numbers in a small memory; all words that
    it writes are compared with NumPy, cycles and performance counters with the machine. Exits with 1 where anything differs,
    and leaves the first program that does so in --out, for nmtrain program run.

    \b
    Example:
      nmtrain validate mlp --samples 5 --batch 8
      nmtrain validate resnet18 --config small --samples 40
    """
    from dataflow.ir.stages import Stage
    from sim.validation.validate import compare, draw, table
    from training import methods

    config.check_ratio(ratio)
    network = network_of(scaled(workload, scale)).network
    stages = methods.load(method).sparse_stages - {Stage.WEIGHT_GRADIENT}
    with working(f"drawing {samples} parts of {network.name}") as said:
        program, drawn = draw(network, config, sparse_stages=stages, ratio=ratio, batch=batch, samples=samples, seed=seed)
        compared = []
        for one in compare(config, drawn):
            compared.append(one)
            said(f"{len(compared)} of {samples} parts of {network.name} played")
    asked = {"method": method, "ratio": str(ratio), "batch": batch, "seed": seed, "program": program}
    result = {"network": network.name, "config": config.name} | asked | table(compared)
    wrong = next((one for one in compared if not one.agrees), None)
    files: dict[str, str | bytes] = {"validate.json": json_text(result)}
    write_set(out, files | (_played_again(wrong) if wrong else {}))
    _say(result, wrong, out)
    show(result, as_json=as_json)
    return 1 if wrong else 0


def _played_again(wrong: "Compared") -> dict[str, bytes]:
    """What shows a difference again."""
    from hw.isa.encoding import encode

    return {"differs.bin": encode(wrong.sample.commands), "memory.bin": wrong.sample.memory.tobytes()}


def _say(result: dict[str, Any], wrong: "Compared | None", out: Path) -> None:
    from rich.table import Table

    rows = Table(
        title=f"{result['network']} on {result['config']}, {result['method']} {result['ratio']}, batch {result['batch']}"
    )
    for heading in ("layer", "stage", "samples", "RTL cycles", "machine", "words different"):
        rows.add_column(heading, justify="left" if heading in ("layer", "stage") else "right")
    for row in result["layers"]:
        rows.add_row(
            row["name"],
            row["stage"],
            *(f"{row[key]:,}" for key in ("samples", "rtl_cycles", "model_cycles", "words_different")),
        )
    log.print(rows)
    log.print(
        f"{result['samples']} samples: {result['words_different']:,} of {result['words_compared']:,} words differ; "
        f"{result['rtl_cycles']:,} cycles on the RTL, {result['model_cycles']:,} by the machine; counters differ in "
        f"{result['counters_different']}"
    )
    if wrong:
        log.print(
            f"first in {wrong.where}; its program is {out / 'differs.bin'}, its memory {out / 'memory.bin'}", soft_wrap=True
        )
