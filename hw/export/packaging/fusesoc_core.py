"""The description of a block for FuseSoC (CAPI2)."""

from collections.abc import Sequence
from importlib.metadata import version

from hw.config import AcceleratorConfig
from hw.export.packaging import PART, VENDOR

LINT_FLAGS = ("-Wall",)
"""All warnings, and each is an error; the file names those that are meant, see `hw.export.packaging.verilog_file.WAIVED`."""


SIMULATORS = ("verilator", "icarus")


def core(config: AcceleratorConfig, block: str, top: str, models: Sequence[str] = ()) -> str:
    """The core file of a block whose uppermost module is `top`.

    Who depends on the core gets its Verilog alone: the constraints name a port, which a design around it does not have.
    `models` are files of primitives that simulators lack, and only they get.
    """
    fileset = f"""\
  models:
    files: [{", ".join(models)}]
    file_type: verilogSource
"""
    simulated = "".join(f', "tool_{name} ? (models)"' for name in SIMULATORS if models)
    return f"""\
CAPI=2:

name: {VENDOR}:{config.name}:{block}:{version("nmtrain")}
description: {block} of the N:M sparse training accelerator {config.name}, {config.rows} x {config.columns}

filesets:
  rtl:
    files: [{block}.v]
    file_type: verilogSource
{fileset if models else ""}\
  out_of_context:
    files:
      - {block}_ooc.tcl: {{file_type: tclSource}}
      - {block}_ooc.xdc: {{file_type: xdc}}

targets:
  default:
    description: the Verilog alone, for designs around it
    filesets: [rtl{simulated}]
    toplevel: {top}

  lint:
    description: Verilator, where every warning left is an error
    filesets: [rtl{", models" if models else ""}]
    toplevel: {top}
    flow: lint
    flow_options:
      tool: verilator
      verilator_options: [{", ".join(LINT_FLAGS)}]

  synth:
    description: synthesis in Vivado, out of context
    filesets: [rtl, out_of_context]
    toplevel: {top}
    flow: vivado
    flow_options:
      part: {PART}
      pnr: none
"""
