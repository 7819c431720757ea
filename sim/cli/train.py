"""``nmtrain train``."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click

from dataflow.network import MOST_BATCH
from hw.errors import InputError
from hw.files import alone_in, json_text, write_set
from hw.inputs import read_text
from sim.cli.common import (
    MOST_EPOCHS,
    MOST_SEED,
    Count,
    data_options,
    optimiser_option,
    output_options,
    ratio_option,
    scale_option,
    scaled,
    settings_option,
    show,
    stopping,
)
from sim.console import live_bar, log

if TYPE_CHECKING:
    from training import loop
    from training.experiment import Experiment
    from training.journal import Journal

SAID_ELSEWHERE = ("epoch", "seconds")
"""Metrics that a line of an epoch has in its own words."""
SECONDS_BETWEEN_LINES = 60
"""Within an epoch, where standard error is no terminal."""


@click.command("train")
@click.option(
    "--data",
    default="digits",
    show_default=True,
    help="digits; random; FILE.npz; mnist, folder, cifar10, cifar100, tiny-imagenet, imagenet as NAME:PATH; or a Python file",
)
@data_options
@click.option(
    "--model",
    default="mlp",
    show_default=True,
    help="network of the zoo, such as mlp, cnn or resnet9; a Python file; an ONNX file, with its weights",
)
@scale_option
@click.option("--init", default="", help="start from these weights: weights.npz, .safetensors, or PyTorch's .pt")
@click.option(
    "--method",
    default="bdwp",
    show_default=True,
    help="such as dense, srste or bdwp; an unknown one lists them all; or a Python file",
)
@settings_option
@ratio_option(by_layer=True)
@click.option("--epochs", type=Count(MOST_EPOCHS), default=25, show_default=True, help="passes over the images")
@click.option("--batch", type=Count(MOST_BATCH), default=32, show_default=True, help="images of a step")
@click.option("--learning-rate", type=float, default=0.1, show_default=True, help="at the start of the schedule")
@click.option("--schedule", default="cosine", show_default=True, help="of the learning rate: cosine, step or constant")
@click.option("--warm-up", type=float, default=0.0, show_default=True, help="share of the training in which the rate rises")
@optimiser_option
@click.option("--momentum", type=float, default=0.9, show_default=True, help="of the weight update")
@click.option("--weight-decay", type=float, default=1e-4, show_default=True, help="of the weight update")
@click.option("--label-smoothing", type=float, default=0.0, show_default=True, help="of the loss")
@click.option("--dropout", type=float, default=0.0, show_default=True, help="share of the classifier's inputs to drop")
@click.option(
    "--storage",
    default="binary16",
    show_default=True,
    help="binary16, bfloat16, float8_e4m3, float8_e4m3fn (OCP), float8_e5m2, binary32",
)
@click.option("--seed", type=Count(MOST_SEED, least=0), default=0, show_default=True, help="of weights and order of images")
@click.option("--exact", is_flag=True, help="multiply bit for bit as the accelerator does, instead of with BLAS")
@click.option("--prune-first", is_flag=True, help="prune the first weighted layer too")
@click.option("--prune-last", is_flag=True, help="prune the classifier too")
@click.option("--wide", is_flag=True, help="wider hidden layers, for the dense forward work: Sparse-Wide")
@click.option("--resume", is_flag=True, help="go on from the checkpoint in --out, if there is one")
@click.option(
    "--checkpoint-minutes", type=click.FloatRange(min=0, max=1e6), default=10.0, show_default=True, help="between checkpoints"
)
@click.option("--tensorboard", is_flag=True, help="also write metrics as events, to tensorboard in --out")
@output_options("out/train")
def command(
    out: Path, as_json: bool, resume: bool, checkpoint_minutes: float, model: str, scale: int, tensorboard: bool,
    **fields: Any,  # noqa: ANN401 (the fields of Experiment, as click gives them)
) -> None:  # fmt: skip
    """Train a network in the accelerator's mixed precision; write metrics.json, weights.npz and curves.png.

    weights.npz is the trained model, pruned as it was trained; nmtrain eval reads it. As it goes, metrics.jsonl gets a line
    an epoch (loss, accuracies, learning rate, mean norm of gradients, mean share of masks that a step changed, seconds), and
    checkpoint.npz holds what --resume needs to go on bit for bit: after each epoch, every
    --checkpoint-minutes, and after Ctrl-C or SIGTERM.

    \b
    Example:
      nmtrain train --data digits --model cnn --method bdwp --ratio 2:8 --seed 1 --out out/train
    """
    from training.experiment import Experiment
    from training.journal import Journal

    experiment = Experiment(model=scaled(model, scale), **fields)
    with alone_in(out), _events(out / "tensorboard") if tensorboard else nullcontext() as events:
        told = [_say_epoch(experiment.epochs), *([events] if events else [])]
        journal = Journal(out, experiment.identity, goes_on=resume, minutes=checkpoint_minutes, told=told)
        metrics = _train(out, experiment, journal)
    show(metrics, as_json=as_json)
    log.print(
        f"{out / 'metrics.json'}: test accuracy {metrics['test_accuracy']:.2%}, {metrics['method']}, ratio {metrics['ratio']}"
    )


def _train(out: Path, experiment: "Experiment", journal: "Journal") -> dict[str, Any]:
    """Train, and write what came of it."""
    from training.curves import draw_curves
    from training.experiment import run
    from training.saved import model_bytes

    with stopping(journal), _progress_bar() as advance:
        model, metrics = run(experiment, advance, journal)
    title = f"{metrics['model']}, {metrics['method']} {metrics['ratio']}, {metrics['data']}"
    epochs = [json.loads(line) for line in read_text(out / "metrics.jsonl").splitlines()]
    curves = draw_curves(epochs, title)
    write_set(out, {"weights.npz": model_bytes(model, metrics), "metrics.json": json_text(metrics), "curves.png": curves})
    journal.close()
    return metrics


def _say_epoch(epochs: int) -> Callable[[dict[str, Any]], None]:
    """A line an epoch where standard error is no terminal, which has the bar instead."""
    start = perf_counter()

    def told(epoch: dict[str, Any]) -> None:
        if not log.is_terminal:
            text = "  ".join(
                f"{name.replace('_', ' ')} {value:.4f}" for name, value in epoch.items() if name not in SAID_ELSEWHERE
            )
            log.print(f"epoch {epoch['epoch']}/{epochs}  {text}  {perf_counter() - start:.0f} s", soft_wrap=True)

    return told


@contextmanager
def _events(folder: Path) -> Iterator[Callable[[dict[str, Any]], None]]:
    """What writes an epoch's metrics as TensorBoard reads them."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise InputError("--tensorboard needs tensorboardX: pip install 'nmtrain[watch]'") from None
    with SummaryWriter(str(folder), flush_secs=10) as writer:

        def told(epoch: dict[str, Any]) -> None:
            for name, value in epoch.items():
                if name != "epoch":
                    writer.add_scalar(name, value, epoch["epoch"])

        yield told


@contextmanager
def _progress_bar() -> Iterator[Callable[["loop.Progress"], None]]:
    """The running epoch's loss and accuracy, and images a second."""
    start = perf_counter()
    with live_bar(SECONDS_BETWEEN_LINES) as tell:

        def advance(where: "loop.Progress") -> None:
            speed = where.images / (perf_counter() - start)
            epoch = f"epoch {where.epoch}/{where.epochs}  loss {where.loss:.4f}  accuracy {where.accuracy:.2%}"
            tell(f"{epoch}  {speed:.0f} images/s", where.images, where.total_images)

        yield advance
