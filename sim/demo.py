"""The whole in one run: train, on the RTL, too, schedule, play on the RTL, report."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataflow import zoo
from dataflow.analysis.report import report
from dataflow.machine.timing import Memory
from hw.config import PRESETS, AcceleratorConfig
from hw.processes import scratch
from hw.ratio import Ratio
from sim.learning.loop import Told, learn
from sim.steps.cosim import check_steps, summary
from training import methods
from training.data import load_data
from training.experiment import Experiment, run
from training.journal import Journal
from training.loop import Progress
from training.loss_scale import LossScale
from training.optimiser import Sgd

RATIO = Ratio(2, 8)
METHODS = ("dense", "bdwp")


@dataclass(frozen=True)
class Scale:
    """How much the demo does.

    Parameters
    ----------
    model : str
        Trained on the digits and played on the RTL.
    epochs, batch : int
        Of the training, and images of the step that is played.
    array : str
        Preset whose Verilog plays.
    learner : str
        Trained on the RTL.
    learner_batch, learner_epochs, until : int, int, float
        Images of a step; epochs at most, and the share of the test images that is to be classified right.
    workload, accelerator : str
        Whose whole training step the report is of, at the same batch.
    """

    model: str = "cnn"
    epochs: int = 25
    batch: int = 32
    array: str = "tiny"
    learner: str = "mlp"
    learner_batch: int = 32
    learner_epochs: int = 3
    until: float = 0.8
    workload: str = "cnn"
    accelerator: str = "medium"


def play(scale: Scale, told: Callable[[str, float], None]) -> dict[str, Any]:
    """Run the demo.

    Parameters
    ----------
    scale : Scale
        How much.
    told : callable
        Told what is being done, and the share of the whole that is done.

    Returns
    -------
    dict
        ``accuracy`` by method, ``training`` (the metrics of each), ``learned`` (`sim.learning.loop`), ``cosim``, ``report``.
    """
    training, trained = {}, {}
    for number, name in enumerate(METHODS):

        def progress(where: Progress, number: int = number, name: str = name) -> None:
            share = (number + where.images / where.total_images) / len(METHODS)
            told(f"training {scale.model} {name}: loss {where.loss:.3f}, accuracy {where.accuracy:.1%}", 0.3 * share)

        experiment = Experiment(model=scale.model, method=name, ratio=RATIO, epochs=scale.epochs)
        trained[name], training[name] = run(experiment, progress)

    model, config = trained["bdwp"], PRESETS[scale.array]
    learned = _learned(scale, config, told)
    optimiser = Sgd(loss_scale=LossScale(training["bdwp"]["loss_scale"]))
    checks = check_steps(
        config,
        model,
        load_data("digits"),
        optimiser,
        steps=1,
        batch=scale.batch,
        rng=np.random.default_rng(0),
        progress=lambda step, what: told(f"{scale.model} bdwp {RATIO} on {scale.array}: {what}", 0.65),
    )
    cosim = {"config": config.name, "model": scale.model, "method": "bdwp", "ratio": str(RATIO), "batch": scale.batch}
    cosim |= summary(list(checks))

    told(f"running a step of {scale.workload} on {scale.accelerator}", 0.9)
    stages = methods.load("bdwp").sparse_stages
    reported = report(
        zoo.load(scale.workload),
        PRESETS[scale.accelerator],
        method="bdwp",
        sparse_stages=stages,
        ratio=RATIO,
        batch=scale.batch,
    )
    accuracy = {name: metrics["test_accuracy"] for name, metrics in training.items()}
    return {"accuracy": accuracy, "training": training, "learned": learned, "cosim": cosim, "report": reported}


def _learned(scale: Scale, config: AcceleratorConfig, told: Callable[[str, float], None]) -> dict[str, Any]:
    """A network that is trained on the RTL, from its first step on; what came of it."""
    fields: dict[str, Any] = {"model": scale.learner, "method": "bdwp", "ratio": RATIO, "batch": scale.learner_batch}
    experiment = Experiment(**fields, epochs=scale.learner_epochs, exact=True, storage=config.storage_format.name)

    def progress(at: Told) -> None:
        what = f"{scale.learner} on the RTL of {config.name}: step {at.step}, loss {at.where.loss:.3f}, {at.cycles:,} cycles"
        told(what, 0.3 + 0.3 * at.where.images / at.where.total_images)

    with scratch() as folder:
        _, result = learn(
            config, experiment, Memory.of(config), Journal(folder, experiment.identity), scale.until, told=progress
        )
    return fields | {"ratio": str(RATIO)} | result
