"""``nmtrain export``."""

import json
from pathlib import Path

import click

from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.files import write_set
from sim.cli.common import config_option, output_options, show
from sim.console import log, working

BOARD_BAUD = 1_000_000
"""A board's line unless another one is asked for."""


@click.command(name="export")
@config_option()
@click.option(
    "--block",
    default="sat",
    show_default=True,
    help="sat, or one of it: stce, uspe, sore, wuve, vpu, functions, reductions, transpose, pregenerate",
)
@click.option("--prefix", help="before the name of each module; default: the configuration's name and _")
@click.option("--top", default="", help="name of the uppermost module; default: prefix and block")
@click.option("--serial", type=int, metavar="BAUD", help="of sat: also a design around it, with memory and a serial line")
@click.option("--memory", type=int, default=1 << 18, show_default=True, metavar="BYTES", help="with --serial: of its memory")
@click.option(
    "--board", help="the serial design on a board, for open tools: ulx3s-85f; a line of 1000000 unless --serial is given"
)
@output_options("out/export")
def command(
    config: AcceleratorConfig,
    block: str,
    prefix: str | None,
    top: str,
    serial: int | None,
    memory: int,
    board: str | None,
    out: Path,
    as_json: bool,
) -> None:
    """Write an accelerator, or one block of it, as a folder for an FPGA project.

    Its Verilog, each distinct module once; a FuseSoC core; constraints for Vivado; a manifest of parameters, ports and files.
    Of sat also scripts that have Vivado package it as an IP with AXI interfaces and make a project for the VCU1525, and the
    registers as JSON, SystemRDL, IP-XACT and a C header.

    \b
    Example:
      nmtrain export --config small --out out/export
      nmtrain export --block wuve
      nmtrain export --config tiny --serial 1000000 --memory 65536
      nmtrain export --config ecp5 --board ulx3s-85f
    """
    from hw.export.folder import export_folder, export_serial

    if board is not None and serial is None:
        serial = BOARD_BAUD
    if serial is not None and (top or block != "sat"):
        raise InputError("--serial and --board are of the whole accelerator: they go with neither --block nor --top")
    with working(f"exporting {block} of {config.name} ({config.rows}x{config.columns})"):
        if serial is None:
            files = export_folder(config, block, prefix=prefix, top=top)
        else:
            files = export_serial(config, serial, memory, prefix=prefix, board=board)
    write_set(out, files)
    manifest = json.loads(files["manifest.json"])
    show(manifest, as_json=as_json)
    size = len(files[f"{block}.v"]) / 1024
    log.print(f"{out}: {block}.v, {size:.0f} KiB, {len(manifest['modules'])} modules; {', '.join([*manifest['files']][1:])}")
