"""``nmtrain synth``."""

from pathlib import Path
from typing import Any

import click
from rich import box
from rich.table import Table

from hw.config import AcceleratorConfig
from hw.files import write_json
from sim.cli.common import config_option, log, output_options, show


@click.command(name="synth")
@config_option()
@click.option("--block", default="sat", show_default=True, help="sat, or one of its blocks, as of nmtrain export")
@click.option("--target", type=click.Choice(["xcup", "ecp5"]), default="xcup", show_default=True, help="family of devices")
@output_options("out/synth")
def command(config: AcceleratorConfig, block: str, target: str, out: Path, as_json: bool) -> None:
    """Synthesise an accelerator, or one of its blocks, module by module, and compose the whole's area.

    Writes synth.json. Modules that were synthesised before are taken from the cache, so that an interrupted run goes on where
    it was. What is composed is an estimate: nothing is optimised across modules, and nothing is placed or routed.

    \b
    Example:
      nmtrain synth --block uspe
      nmtrain synth --config vcu1525 --target xcup
    """
    from hw.export import find_block
    from hw.modules import ModuleLibrary
    from sim.synthesis import summary, synthesise

    component = find_block(config, block)
    with log.status(f"exporting {block} of {config.name}") as status:
        library = ModuleLibrary()
        library.define(component, block)
        definitions = library.verilog()
        count = len(definitions)
        modules = synthesise(definitions, target, lambda number, name: status.update(f"module {number + 1} of {count}: {name}"))
    result = {"config": config.name, "block": block} | summary(modules, target)
    write_json(out / "synth.json", result)
    show(result, as_json=as_json)
    log.print(_table(result))


def _table(result: dict[str, Any]) -> Table:
    """A row a module, all instances of it together without what they place; the whole and its share of the device below."""
    device, kinds = result["device"], list(result["device"]["available"])
    labels = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram": "BRAM", "uram": "URAM"}
    how = "estimated: composed of its modules" if result["estimated"] else "one module"
    title = f"{result['block']} of {result['config']}, {how}"
    table = Table("module", title=title, title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("instances", justify="right")
    for kind in kinds:
        table.add_column(labels[kind], justify="right")
    for row in result["modules"]:
        own = (f"{row['own'][kind] * row['instances']:,.10g}" for kind in kinds)
        table.add_row(row["module"], f"{row['instances']:,}", *own)
    table.add_section()
    table.add_row("all", "", *(f"{result[kind]:,.10g}" for kind in kinds))
    table.add_row(f"share of {device['name']}", "", *(f"{100 * result['share'][kind]:.1f} %" for kind in kinds))
    return table
