"""A whole training by names and numbers: what the command line runs."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from dataflow import zoo
from hw.ratio import DENSE, Ratio
from training import methods
from training.backend import ExactBackend, FastBackend
from training.data import load_data
from training.loop import Options, Progress, check_fit, train
from training.model import Model
from training.optimiser import Sgd
from training.widen import widen


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Everything that the result depends on.

    Parameters
    ----------
    data, model, method, schedule : str
        Names in `training.data`, `dataflow.zoo`, `training.methods` and `training.schedule`.
    ratio : Ratio
        N kept of every M; without effect on the dense method.
    epochs, batch, learning_rate
        See `training.loop.Options`.
    momentum, weight_decay : float
        See `training.optimiser.Sgd`.
    seed : int
        Of the weights and the order of images, at least 0.
    exact : bool
        Whether products are the array's bit for bit, or BLAS.
    prune_first, prune_last : bool
        See `training.model.pruned_layers`.
    wide : bool
        Whether hidden widths grow as `training.widen` says.
    """

    data: str = "digits"
    model: str = "mlp"
    method: str = "bdwp"
    ratio: Ratio = field(default_factory=lambda: Ratio(2, 8))
    epochs: int = 25
    batch: int = 32
    learning_rate: float = 0.1
    schedule: str = "cosine"
    momentum: float = 0.9
    weight_decay: float = 1e-4
    seed: int = 0
    exact: bool = False
    prune_first: bool = False
    prune_last: bool = False
    wide: bool = False


def run(experiment: Experiment, progress: Callable[[Progress], None] = lambda where: None) -> tuple[Model, dict[str, Any]]:
    """Train; equal experiments give equal bits.

    Returns
    -------
    Model
        Trained.
    dict
        What metrics.json holds: ``test_accuracy``, ``train_loss`` and ``train_accuracy`` (one an epoch), the experiment's
        fields, and what became of them.

    Raises
    ------
    InputError
        Where a name is unknown, a number out of range, data and network do not fit, or training diverges.
    """
    method, network, data = methods.load(experiment.method), zoo.load(experiment.model), load_data(experiment.data)
    check_fit(network, data)
    ratio = experiment.ratio if method.prunes else DENSE
    network = widen(network, ratio) if experiment.wide else network
    optimiser = Sgd(momentum=experiment.momentum, weight_decay=experiment.weight_decay, pruned_decay=method.pruned_decay)
    options = Options(
        epochs=experiment.epochs,
        batch=experiment.batch,
        learning_rate=experiment.learning_rate,
        schedule=experiment.schedule,
    )
    weights_rng, order_rng = np.random.default_rng(experiment.seed).spawn(2)
    model = Model(
        network,
        ExactBackend() if experiment.exact else FastBackend(),
        weights_rng,
        method=method,
        ratio=ratio,
        prune_first=experiment.prune_first,
        prune_last=experiment.prune_last,
    )
    result = train(model, optimiser, data, options, order_rng, progress)
    pruned = [] if ratio.is_dense else [layer.name for layer in network.weighted() if layer.name in model.pruned]
    outcome = asdict(result) | {"pruned_layers": pruned, "loss_scale": optimiser.loss_scale.scale}
    sizes = {"train_images": len(data.train_labels), "test_images": len(data.test_labels)}
    return model, outcome | asdict(experiment) | {"ratio": str(ratio)} | sizes
