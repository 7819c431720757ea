"""The command line: one file a command, imported only when it is called."""

import importlib
import os
import sys
import traceback
from typing import Any

import click

from hw.errors import InputError, SimulationError

COMMANDS = {
    "demo": "train, schedule, run on the RTL, report: the whole in one command",
    "train": "train a network dense or N:M sparse",
    "eval": "test a trained network on a data set",
    "convert": "write a trained network for others: safetensors or ONNX",
    "sweep": "train every method at several ratios and seeds, as a table of accuracies",
    "gemm": "run one random product on NumPy, the cycle model and the RTL",
    "cosim": "run the products of training steps on the RTL and compare",
    "report": "a training step on an accelerator: cycles, where they go, speedup, energy",
    "validate": "play parts of a network's program on the RTL and compare words and cycles",
    "study": "several networks: how fast, without a technique, at other ratios, bandwidths and batches",
    "workloads": "list the networks with layers, MACs, parameters and bytes",
    "program": "write the accelerator's programs, show them as text, run them",
    "export": "write an accelerator as a folder for an FPGA project: Verilog, FuseSoC core, Vivado scripts, registers",
    "synth": "area of an accelerator or one of its blocks, by module",
    "fp": "run a floating-point block of the RTL on a vector file",
}


MOST_MESSAGE = 2000
"""Characters of a message: what is wrong may be as long as its author likes."""


class _Lazy(click.Group):
    """Imports a command's module when it is asked for, so that each starts fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return importlib.import_module(f"sim.cli.{cmd_name}").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="nmtrain")
@click.option("--debug", is_flag=True, help="show the traceback of an unexpected failure")
@click.pass_obj
def cli(options: dict[str, bool] | None, debug: bool) -> None:
    """Design hardware for N:M sparse neural-network training.

    \b
    Example:
      nmtrain report resnet18 --config vcu1525 --method bdwp --ratio 2:8
    """
    if options is not None:
        options["debug"] = debug


def main(arguments: list[str] | None = None) -> Any:  # noqa: ANN401 (a command line returns nothing to type)
    """Run the command line.

    It exits with 0 on success, 1 where a comparison failed, 2 with one line for bad input or where the machine refuses (a full
    disk, too little memory), and 70 with one line for what nobody foresaw, a fault of this program: ``--debug`` shows where.
    """
    # The matrices of small networks are small: BLAS threads would mostly wait for each other, and the last bits would depend
    # on how many there are. Who trains large ones sets more.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    options = {"debug": False}
    try:
        status = cli.main(arguments, prog_name="nmtrain", standalone_mode=False, obj=options)
        sys.stdout.flush()
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except InputError as error:
        _fail(str(error), 2)
    except SimulationError as error:
        click.echo("nmtrain: " + "\n".join(map(_printable, str(error).splitlines())), err=True)
        sys.exit(1)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted", 130)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        _unforeseen(error, debug=options["debug"])
    sys.exit(status if isinstance(status, int) else 0)


def _unforeseen(error: Exception, *, debug: bool) -> None:
    """One line for what no command expects: where the machine refuses, and where this program is wrong."""
    if debug:
        traceback.print_exception(error)
    if isinstance(error, MemoryError):
        _fail("not enough memory for this", 2)
    if isinstance(error, OSError) and error.errno:
        _fail(f"{error.filename or 'the system'}: {error.strerror}", 2)
    _fail(f"unexpected {type(error).__name__}: {error}; nmtrain --debug shows where", 70)


def _fail(message: str, status: int) -> None:
    text = _printable(" ".join(message.split()))
    click.echo(f"nmtrain: {text[:MOST_MESSAGE]}{'…' if len(text) > MOST_MESSAGE else ''}", err=True)
    sys.exit(status)


def _printable(text: str) -> str:
    """`text` with escapes for what a terminal would act on, as names from outside may hold it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
