"""``nmtrain synth``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.table import Table

from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.files import json_text, write_set
from sim.cli.common import config_option, output_options, show
from sim.console import log, working

LABELS = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram": "BRAM", "uram": "URAM"}
DEEPEST = 3
"""Of the Markdown table: down to the engine and the buffers."""


@click.command(name="synth")
@config_option()
@click.option("--block", default="sat", show_default=True, help="sat, or one of its blocks, as of nmtrain export")
@click.option("--target", type=click.Choice(["xcup", "ecp5"]), default="xcup", show_default=True, help="family of devices")
@click.option("--route", is_flag=True, help="place and route the block by itself, for its clock; of ecp5")
@output_options("out/synth")
def command(config: AcceleratorConfig, block: str, target: str, route: bool, out: Path, as_json: bool) -> None:
    """Synthesise an accelerator, or one of its blocks, module by module, and compose the whole's area.

    Writes synth.json, and the larger blocks as a table in synth.md. Modules that were synthesised before are taken from the
    cache, so that an interrupted run goes on where it was. What is composed is an estimate: nothing is optimised across
    modules. A clock is only known of what is placed and routed, and that takes as long as a block is large.

    \b
    Example:
      nmtrain synth --block uspe
      nmtrain synth --config vcu1525 --target xcup
      nmtrain synth --block uspe --target ecp5 --route
    """
    from hw.export.folder import modules_of
    from sim.area.synthesis import routed_clock, summary, synthesise

    if route and target != "ecp5":
        raise InputError(f"--route is of ecp5 alone, whose place and route is a package; not of {target}")
    with working(f"exporting {block} of {config.name}") as status:
        definitions = modules_of(config, block)
        count = len(definitions)
        modules = synthesise(definitions, target, lambda done, name: status(f"{done} of {count} modules: {name}"))
        clock_mhz = None
        if route:
            status(f"placing and routing {block}")
            clock_mhz = routed_clock(block, "\n".join(definitions.values()))
    result = {"config": config.name, "block": block} | summary(modules, target) | {"fmax_mhz": clock_mhz}
    write_set(out, {"synth.json": json_text(result), "synth.md": markdown(result, DEEPEST)})
    show(result, as_json=as_json)
    log.print(_table(result))
    if clock_mhz is not None:
        log.print(f"routed by itself: {clock_mhz:.1f} MHz")


def _table(result: dict[str, Any]) -> Table:
    """A row a group, what it places included and below it; the whole's share of the device at the end."""
    device, kinds = result["device"], list(result["device"]["available"])
    how = "estimated: composed of its modules" if result["estimated"] else "one module"
    title = f"{result['block']} of {result['config']}, {how}"
    table = Table("", title=title, title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("instances", *(LABELS[kind] for kind in kinds)):
        table.add_column(name, justify="right")
    for depth, group in walk(result["hierarchy"]):
        cells = (f"{group['cells'][kind]:,.10g}" for kind in kinds)
        table.add_row("  " * depth + group["name"], f"{group['instances']:,}", *cells)
    table.add_section()
    table.add_row(f"share of {device['name']}", "", *(f"{100 * result['share'][kind]:.1f} %" for kind in kinds))
    return table


def walk(group: dict[str, Any], depth: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
    """A group and all that it places, each after what places it, with its depth."""
    yield depth, group
    for part in group["parts"]:
        yield from walk(part, depth + 1)


def markdown(result: dict[str, Any], deepest: int) -> str:
    """The table for a page, as deep as it is wanted, with each group's share of the device."""
    kinds = [kind for kind in result["device"]["available"] if result[kind]]
    lines = [
        "| | instances | " + " | ".join(f"{LABELS[kind]} | %" for kind in kinds) + " |",
        "|---|--:|" + "--:|--:|" * len(kinds),
    ]
    for depth, group in walk(result["hierarchy"]):
        if depth <= deepest:
            cells = (
                f"{group['cells'][kind]:,.10g} | {100 * group['cells'][kind] / result['device']['available'][kind]:.1f}"
                for kind in kinds
            )
            lines.append(f"| {'&emsp;' * depth}{group['name']} | {group['instances']:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
