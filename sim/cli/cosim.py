"""``nmtrain cosim``."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.table import Table

from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.files import write_json
from hw.ratio import Ratios
from sim.cli.common import (
    MOST_EPOCHS,
    MOST_SEED,
    RATES,
    Count,
    config_option,
    learning_rate_option,
    optimiser_option,
    output_options,
    ratio_option,
    scale_option,
    scaled,
    show,
)
from sim.cli.learning import learn_on_rtl
from sim.console import log, working

if TYPE_CHECKING:
    from dataflow.machine.timing import Memory
    from training.data import Data
    from training.model import Model
    from training.optimiser import Optimiser


@click.command(name="cosim")
@config_option()
@click.option("--data", default="digits", show_default=True, help="digits, or random: of the network's shape")
@click.option("--model", default="cnn", show_default=True, help="network of the zoo, such as cnn or resnet9, or a Python file")
@scale_option
@click.option("--method", default="bdwp", show_default=True, help="dense, srste or bdwp")
@ratio_option(by_layer=True)
@click.option("--steps", type=Count(1_000), default=1, show_default=True, help="training steps to check")
@click.option("--batch", type=Count(4096), default=32, show_default=True, help="images of a step")
@click.option("--epochs", type=Count(MOST_EPOCHS), help="training before the first step: 3; with --until at most so many: 25")
@click.option("--seed", type=Count(MOST_SEED, least=0), default=0, show_default=True, help="of weights and batches")
@click.option("--whole", is_flag=True, help="whole steps on the whole accelerator: memory, updates and packed copies, too")
@optimiser_option
@learning_rate_option
@click.option("--dataflow", type=click.Choice(["os", "ws"]), help="of all products with --whole; default: the schedule's")
@click.option("--latency", type=Count(10_000, least=0), help="of its memory, in cycles; by default the configuration's")
@click.option("--interval", type=Count(1_000), help="cycles between beats of its memory; by default the configuration's")
@click.option(
    "--until",
    type=click.FloatRange(0, 100, min_open=True),
    help="with --whole: train on the RTL, from the first step on, to this accuracy in %",
)
@click.option(
    "--resume", is_flag=True, help="with --until: go on from the checkpoint in --out, or one of nmtrain train --exact"
)
@click.option("--wave", help="with --until: a waveform of step:S, command:C or step:S/command:C, as FST in --out")
@click.option("--beside", type=click.Path(path_type=Path, exists=True), help="with --until: another one's --out, to draw both")
@output_options("out/cosim")
def command(
    config: AcceleratorConfig, data: str, model: str, scale: int, method: str, ratio: Ratios, steps: int, batch: int,
    epochs: int | None, seed: int, whole: bool, optimiser: str, learning_rate: float | None, dataflow: str | None,
    latency: int | None, interval: int | None, until: float | None, resume: bool, wave: str | None, beside: Path | None,
    out: Path, as_json: bool,
) -> int:  # fmt: skip
    """Run every product of real training steps on the RTL; compare words with NumPy and cycles with the model.

    The network is trained first, so that the weights are real. Forward, input-gradient and weight-gradient products of
    every layer then run on the array's Verilog, with their operands from a step in the trainer's exact arithmetic. With --whole
    the accelerator itself is started over AXI, once for the forward and once for the backward half of each step. Every
    tensor that it leaves in memory is compared with the trainer's, all that each operation writes with the NumPy
    executor's, and cycles and performance counters with the SimPy machine's. With --until the accelerator trains the network
    itself, epoch by epoch, all bytes and cycles of every step compared, and stops at the first that differs.

    \b
    Example:
      nmtrain cosim --config tiny --data digits --model cnn --method bdwp --ratio 2:8 --steps 1
      nmtrain cosim --model mlp --batch 8 --whole --latency 50 --interval 2
      nmtrain cosim --model resnet9 --scale 16 --data random --batch 2 --epochs 1 --whole
      nmtrain cosim --config tiny-adamw --model mlp --optimiser adamw --whole
      nmtrain cosim --model mlp --whole --until 95 --out out/learned
    """
    from dataflow.machine.timing import Memory
    from training.experiment import Experiment, build_optimiser, load_for, run
    from training.loss_scale import LossScale

    config.check_ratio(ratio)
    model = scaled(model, scale)
    _go_together(whole=whole, dataflow=dataflow, until=until, more=bool(resume or beside or wave))
    rate = RATES.get(optimiser, RATES["sgd"]) if learning_rate is None else learning_rate
    fields: dict[str, Any] = {"data": data, "model": model, "method": method, "ratio": ratio, "seed": seed}
    fields |= {"optimiser": optimiser, "learning_rate": rate}
    if until is not None:
        storage = config.storage_format.name
        experiment = Experiment(**fields, epochs=epochs or 25, batch=batch, exact=True, storage=storage)
        return learn_on_rtl(
            config, experiment, Memory.of(config, latency, interval), until, beside, wave, out, resume=resume, as_json=as_json
        )
    epochs = epochs or 3
    with working(f"training {model} for {epochs} epochs"):
        experiment = Experiment(**fields, epochs=epochs)
        trained, metrics = run(experiment)
        images = load_for(trained.network, experiment.data, experiment.form, experiment.seed)
    head: dict[str, Any] = {"config": config.name, "data": data, "model": model, "method": method, "ratio": str(ratio)}
    head |= {"batch": batch, "seed": seed}
    updates = build_optimiser(experiment, LossScale(metrics["loss_scale"]))
    if whole:
        return _whole(
            config,
            trained,
            updates,
            images,
            steps,
            batch,
            head | {"dataflow": dataflow or "scheduled"},
            dataflow,
            Memory.of(config, latency, interval),
            out,
            as_json,
        )
    return _products(config, trained, updates, images, steps, batch, head, out, as_json)


def _go_together(*, whole: bool, dataflow: str | None, until: float | None, more: bool) -> None:
    """`InputError` for options of which one has no meaning without another."""
    if dataflow and not whole:
        raise InputError("--dataflow is for --whole")
    if until is not None and (not whole or dataflow):
        raise InputError("--until is for --whole, without --dataflow")
    if until is None and more:
        raise InputError("--resume, --wave and --beside are for --until")


def _products(
    config: AcceleratorConfig, model: "Model", optimiser: "Optimiser", data: "Data", steps: int, batch: int,
    head: dict[str, Any], out: Path, as_json: bool,
) -> int:  # fmt: skip
    """Every product of some steps on the array."""
    import numpy as np

    from sim.steps.cosim import check_steps, summary

    with working("") as status:
        checks = list(
            check_steps(
                config,
                model,
                data,
                optimiser,
                steps=steps,
                batch=batch,
                rng=np.random.default_rng(head["seed"]),
                progress=lambda step, what: status(f"step {step + 1} of {steps}: {what}"),
            )
        )
    result = head | summary(checks)
    write_json(out / "cosim.json", result)
    show(result, as_json=as_json)
    log.print(products_table(result))
    return 0 if agrees(result) else 1


def _whole(
    config: AcceleratorConfig, model: "Model", optimiser: "Optimiser", data: "Data", steps: int, batch: int,
    head: dict[str, Any], dataflow: str | None, timing: "Memory", out: Path, as_json: bool,
) -> int:  # fmt: skip
    """Whole steps on the whole accelerator."""
    import numpy as np

    from dataflow.ir.program import Dataflow
    from sim.steps.cosim import LEARNING_RATE
    from sim.steps.whole_step import StepsOnRtl, step_summary

    if batch > len(data.train_labels):
        raise InputError(f"batch must be at most the {len(data.train_labels)} training images, not {batch}")
    rng, found, stays = np.random.default_rng(head["seed"]), [], Dataflow(dataflow) if dataflow else None
    with StepsOnRtl(config, model, optimiser, batch, timing=timing, dataflows=lambda _: stays) as accelerator:
        for number in range(steps):
            with working(f"step {number + 1} of {steps} on the accelerator"):
                chosen = rng.choice(len(data.train_labels), batch, replace=False)
                found.append(accelerator.step(data.train_images[chosen], data.train_labels[chosen], LEARNING_RATE))
    result = head | {"memory": asdict(timing), "steps": [step_summary(step) for step in found]}
    write_json(out / "cosim.json", result)
    show(result, as_json=as_json)
    for number, step in enumerate(result["steps"]):
        parts = sum(len(program["commands"]) for program in step["programs"])
        log.print(
            f"step {number + 1}: {step['bytes_compared']:,} bytes of {len(step['tensors'])} tensors, and all that each of "
            f"{parts} parts of the programs writes: {step['bytes_different']:,} different"
        )
        log.print(counters_table(step["programs"]))
    return 0 if all(not step["bytes_different"] and step["counters_equal"] for step in result["steps"]) else 1


def counters_table(programs: list[dict[str, Any]]) -> Table:
    """Cycles and counters of each program, of the RTL and as the model predicts them."""
    table = Table("", box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    for program in programs:
        for who in ("RTL", "model"):
            table.add_column(f"{program['name']}\n{who}", justify="right")
    for name in programs[0]["predicted"]:
        values = (program[kind][name] for program in programs for kind in ("counted", "predicted"))
        table.add_row(name, *(f"{value:,}" for value in values))
    return table


def agrees(result: dict[str, Any]) -> bool:
    """Whether every word and every product's cycles agree."""
    return result["words_different"] == 0 and result["cycles_equal"]


def products_table(result: dict[str, Any]) -> Table:
    """One row a product, totals below."""
    table = Table("layer", "product", "ratio", show_footer=True, box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("m x n x k", no_wrap=True)
    columns = {
        "words_compared": "words",
        "words_different": "differ",
        "rtl_cycles": "RTL cycles",
        "model_cycles": "model cycles",
    }
    for key, heading in columns.items():
        table.add_column(heading, f"{result[key]:,}", justify="right")
    for row in result["products"]:
        stage = row["stage"].replace("_gradient", " grad.")
        shape = f"{row['m']} x {row['n']} x {row['k']}"
        table.add_row(row["layer"], stage, row["ratio"], shape, *(f"{row[key]:,}" for key in columns))
    return table
