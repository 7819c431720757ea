"""``nmtrain export``."""

from pathlib import Path

import click

from hw.config import AcceleratorConfig
from hw.files import write_json, write_whole
from sim.cli.common import config_option, log, output_options, show


@click.command(name="export")
@config_option()
@output_options("out/export")
def command(config: AcceleratorConfig, out: Path, as_json: bool) -> None:
    """Write an accelerator as Verilog, each distinct module once, with a manifest of parameters and ports.

    \b
    Example:
      nmtrain export --config small --out out/export
    """
    from hw.export import export

    with log.status(f"exporting {config.name} ({config.rows}x{config.columns})"):
        verilog, manifest = export(config)
    write_whole(out / "sat.v", verilog)
    write_json(out / "manifest.json", manifest)
    show(manifest, as_json=as_json)
    log.print(f"{out / 'sat.v'}: {len(verilog) / 1024:.0f} KiB, {len(manifest['modules'])} modules, top {manifest['top']}")
