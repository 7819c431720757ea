"""``nmtrain export``."""

from pathlib import Path

import click

from hw.config import AcceleratorConfig
from hw.files import write_json, write_whole
from sim.cli.common import config_option, log, output_options, show


@click.command(name="export")
@config_option()
@click.option(
    "--block", default="sat", show_default=True, help="sat, or one of it: stce, uspe, sore, wuve, vpu, transpose, pregenerate"
)
@output_options("out/export")
def command(config: AcceleratorConfig, block: str, out: Path, as_json: bool) -> None:
    """Write an accelerator, or one block of it, as Verilog, each distinct module once, with a manifest of parameters and ports.

    \b
    Example:
      nmtrain export --config small --out out/export
      nmtrain export --block wuve
    """
    from hw.export import export_block

    path = out / f"{block}.v"
    with log.status(f"exporting {block} of {config.name} ({config.rows}x{config.columns})"):
        verilog, manifest = export_block(config, block)
    write_whole(path, verilog)
    write_json(out / "manifest.json", manifest)
    show(manifest, as_json=as_json)
    log.print(f"{path}: {len(verilog) / 1024:.0f} KiB, {len(manifest['modules'])} modules, top {manifest['top']}")
