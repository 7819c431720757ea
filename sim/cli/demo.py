"""``nmtrain demo``."""

from pathlib import Path
from typing import Any

import click
from rich import box
from rich.progress import TimeElapsedColumn
from rich.table import Table

from hw.files import json_text
from sim.cli.common import output_options, show
from sim.console import log, progress


@click.command(name="demo")
@output_options("out/demo")
def command(out: Path, as_json: bool) -> int:
    """Train on real digits, on the RTL, too, run a training step there and on the machine: the whole in one command.

    Trains the small CNN dense and with BDWP at 2:8 on the digit images; trains an MLP on the Verilog of the 4x4 accelerator,
    all bytes and cycles of every step compared; runs every product of a training step of the CNN with the trained weights on
    the Verilog of the array and compares every word with NumPy and every cycle with the model; runs the whole step on the
    machine, of the 16x16 accelerator. Writes report.html, report.json, plots and the array's Verilog.

    \b
    Example:
      nmtrain demo --out out/demo
    """
    from hw.config import PRESETS
    from hw.export.folder import export
    from sim.cli.cosim import agrees, products_table
    from sim.demo import Scale, play
    from sim.rtl.products import build_player
    from sim.rtl.sat import build_sat

    scale = Scale()
    build_player(PRESETS[scale.array])
    build_sat(PRESETS[scale.array])
    with progress(TimeElapsedColumn(), transient=True) as bar:
        task = bar.add_task("", total=1)
        result = play(scale, lambda what, share: bar.update(task, description=what, completed=share))
        bar.update(task, description="writing the report", completed=0.95)
        verilog, manifest = export(PRESETS[scale.array])
        _write_report(out, result, {"sat.v": verilog, "manifest.json": json_text(manifest)})
    show(result, as_json=as_json)
    log.print(products_table(result["cosim"]))
    log.print(_summary(result, out))
    return 0 if agrees(result["cosim"]) else 1


def _write_report(out: Path, result: dict[str, Any], more: dict[str, str | bytes]) -> None:
    from markupsafe import Markup

    from reports import demo, step
    from reports.html import Section, render

    histories = {
        name: {
            "training loss": metrics["train_loss"],
            "training accuracy, %": [100 * share for share in metrics["train_accuracy"]],
        }
        for name, metrics in result["training"].items()
    }
    cosim, training = result["cosim"], result["training"]["bdwp"]
    played = (
        f"All matrix products of one {cosim['method']} {cosim['ratio']} training step of {cosim['model']}, batch "
        f"{cosim['batch']}, with trained weights, on the Verilog of the {cosim['config']} array under Verilator; "
        f"{cosim['rtl_cycles_per_second']:,.0f} cycles simulated a second."
    )
    trained = f"{training['model']} on {training['train_images']:,} digits, tested on {training['test_images']:,} others."
    learned = result["learned"]
    on_rtl, history = f"{learned['model']}, {learned['method']}", learned["history"]
    steps = {"loss": [one["loss"] for one in history], "accuracy of the batch, %": [100 * one["accuracy"] for one in history]}
    by_step = (
        f"{learned['model']} with BDWP {learned['ratio']}, trained on the Verilog of the {cosim['config']} accelerator: "
        f"{learned['accuracy']:.2%} of the test images after {learned['step_count']} steps and "
        f"{learned['rtl_cycles']:,} cycles; {learned['bytes_compared']:,} bytes and all cycles compared, none different."
    )
    sections = [
        demo.accuracy(result["accuracy"], lead=trained),
        demo.training_curves(histories),
        demo.training_curves({on_rtl: steps}, x_title="step", title="Training on the RTL", lead=by_step),
        demo.cosimulation(cosim["products"], lead=played),
    ]
    report = result["report"]
    intro = f"One whole training step of {report['workload']} at batch {report['batch']}, all that the accelerator does in it."
    sections += [Section(f"{report['workload']} on {report['config']}", Markup(""), intro), *step.parts(report)]
    html = render(
        "From digits to the array and beyond",
        sections,
        subtitle=f"trained, played on the RTL, and a whole step of {report['workload']} on {report['config']}",
        footer="Made by: nmtrain demo",
    )
    step.write(out, report, html=html, data=result, more=more)


def _summary(result: dict[str, Any], out: Path) -> Table:
    """The five things to know."""
    accuracy, cosim, report = result["accuracy"], result["cosim"], result["report"]
    table = Table(show_header=False, box=box.SIMPLE)
    learned = result["learned"]
    table.add_row(
        "test accuracy, trained on the RTL",
        f"{learned['model']}, BDWP 2:8: {learned['accuracy']:.2%} after {learned['step_count']} steps and "
        f"{learned['rtl_cycles']:,} cycles, {learned['bytes_different']:,} of {learned['bytes_compared']:,} bytes differ",
    )
    table.add_row("trained in NumPy", f"cnn: dense {accuracy['dense']:.2%}, BDWP 2:8 {accuracy['bdwp']:.2%}")
    table.add_row("RTL against NumPy", f"{cosim['words_different']:,} of {cosim['words_compared']:,} words differ")
    table.add_row("RTL against model", f"{cosim['rtl_cycles']:,} cycles, the model says {cosim['model_cycles']:,}")
    speedup = report["speedup_over_dense"]
    table.add_row(
        f"{report['workload']} on {report['config']} (cycle-exact)",
        f"BDWP 2:8 is {speedup['step']:.2f}x faster than dense, its matrix products {speedup['gemm']:.2f}x",
    )
    table.add_row("report", str(out / "report.html"))
    return table
