"""``nmtrain train``."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click

from hw.errors import InputError
from hw.files import write_json
from sim.cli.common import log, output_options, ratio_option, show

if TYPE_CHECKING:
    from training import loop
    from training.journal import Journal


@click.command("train")
@click.option(
    "--data", default="digits", show_default=True, help="digits; or cifar10, cifar100, tiny-imagenet, imagenet as NAME:PATH"
)
@click.option(
    "--model", default="mlp", show_default=True, help="network of the zoo, such as mlp, cnn or resnet9, or a Python file"
)
@click.option("--method", default="bdwp", show_default=True, help="such as dense, srste or bdwp; an unknown one lists them all")
@ratio_option()
@click.option("--epochs", type=click.IntRange(min=1), default=25, show_default=True, help="passes over the images")
@click.option("--batch", type=click.IntRange(min=1), default=32, show_default=True, help="images of a step")
@click.option("--learning-rate", type=float, default=0.1, show_default=True, help="at the start of the schedule")
@click.option("--schedule", default="cosine", show_default=True, help="of the learning rate: cosine, step or constant")
@click.option("--warm-up", type=float, default=0.0, show_default=True, help="share of the training in which the rate rises")
@click.option("--optimiser", default="sgd", show_default=True, help="sgd or adamw")
@click.option("--momentum", type=float, default=0.9, show_default=True, help="of the weight update")
@click.option("--weight-decay", type=float, default=1e-4, show_default=True, help="of the weight update")
@click.option("--label-smoothing", type=float, default=0.0, show_default=True, help="of the loss")
@click.option("--dropout", type=float, default=0.0, show_default=True, help="share of the classifier's inputs to drop")
@click.option("--storage", default="binary16", show_default=True, help="binary16, bfloat16, float8_e4m3, float8_e5m2, binary32")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="of the weights and the order of images")
@click.option("--exact", is_flag=True, help="multiply bit for bit as the accelerator does, instead of with BLAS")
@click.option("--prune-first", is_flag=True, help="prune the first weighted layer too")
@click.option("--prune-last", is_flag=True, help="prune the classifier too")
@click.option("--wide", is_flag=True, help="hidden widths times sqrt(M/N): Sparse-Wide")
@click.option("--resume", is_flag=True, help="go on from the checkpoint in --out")
@output_options("out/train")
def command(out: Path, as_json: bool, resume: bool, **fields: Any) -> None:  # noqa: ANN401 (the fields of Experiment, as click gives them)
    """Train a network in the accelerator's mixed precision; write metrics.json, weights.npz and curves.png.

    As it goes, metrics.jsonl gets a line an epoch, and checkpoint.npz holds what --resume needs to go on bit for bit:
    after each epoch, and after Ctrl-C.

    \b
    Example:
      nmtrain train --data digits --model cnn --method bdwp --ratio 2:8 --seed 1 --out out/train
    """
    from training.curves import write_curves
    from training.experiment import Experiment, run
    from training.journal import Journal
    from training.weights import write_weights

    _make_folder(out)
    experiment = Experiment(**fields)
    journal = Journal(out, experiment.identity, goes_on=resume)
    with _stopping(journal), _progress_bar() as progress:
        model, metrics = run(experiment, progress, journal)
    write_weights(out / "weights.npz", model)
    write_json(out / "metrics.json", metrics)
    epochs = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    write_curves(out / "curves.png", epochs, f"{metrics['model']}, {metrics['method']} {metrics['ratio']}, {metrics['data']}")
    journal.close()
    show(metrics, as_json=as_json)
    log.print(
        f"{out / 'metrics.json'}: test accuracy {metrics['test_accuracy']:.2%}, {metrics['method']}, ratio {metrics['ratio']}"
    )


@contextmanager
def _stopping(journal: "Journal") -> Iterator[None]:
    """Let the first Ctrl-C end the training after the running step, with a checkpoint; a second one ends it at once."""

    def stop(number: int, frame: object) -> None:
        if journal.stopped:
            raise KeyboardInterrupt
        journal.stopped = True

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _make_folder(out: Path) -> None:
    """Find out before the training whether there is a place for its result."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror}") from None


@contextmanager
def _progress_bar() -> Iterator[Callable[["loop.Progress"], None]]:
    """A bar on standard error from the first step on, with the running epoch's loss and accuracy, and images a second."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), console=log)
    task = bar.add_task("")
    start = perf_counter()

    def advance(where: "loop.Progress") -> None:
        bar.start()
        speed = where.images / (perf_counter() - start)
        text = f"epoch {where.epoch}/{where.epochs}  loss {where.loss:.4f}  accuracy {where.accuracy:.2%}  {speed:.0f} images/s"
        bar.update(task, description=text, completed=where.images, total=where.total_images)

    try:
        yield advance
    finally:
        if bar.live.is_started:  # a run that ends before its first step leaves no empty line
            bar.stop()
