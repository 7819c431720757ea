"""A whole training by names and numbers: what the command line runs."""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from dataflow import importers, zoo
from dataflow.network import Linear, Network
from hw.errors import InputError
from hw.formats import parse_format
from hw.ratio import DENSE, Ratio, Ratios
from training import methods
from training.adamw import AdamW
from training.backend import ExactBackend, FastBackend
from training.data import RANDOM, Data, load_data, random_data
from training.exchange.files import load_into
from training.identity import contents, read_files
from training.journal import Journal
from training.layers.dropout import with_dropout
from training.loop import Options, Progress, check_fit, train
from training.loss_scale import LossScale
from training.methods.method import Method
from training.model import Model
from training.optimiser import Optimiser, Sgd
from training.readers.form import Form
from training.step import Stepper, training_step
from training.widen import widen

SMALL_MACS = 500_000_000
"""Multiply-accumulates of a forward pass below which one core is faster than two."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Everything that the result depends on.

    Parameters
    ----------
    data, model, method, schedule : str
        Names in `training.data`, `dataflow.importers`, `training.methods` and `training.schedule`.
    init : str
        A file whose weights the training starts from; see `training.exchange.files.load_into`. An ONNX file as `model` has its
        own.
    image_size, normalise, augment
        Of the data; see `training.readers.form.Form`.
    settings : tuple of (str, str)
        Constants of the method in place of the published ones; see `training.methods.load`.
    ratio : Ratio or LayerRatios
        N kept of every M; without effect on the dense method.
    epochs, batch, learning_rate, warm_up, label_smoothing
        See `training.loop.Options`.
    optimiser : str
        ``sgd`` or ``adamw``.
    storage : str
        Name in `hw.formats.FORMATS` of weights, activations and gradients between products.
    dropout : float
        Share of the classifier's inputs that training drops.
    momentum, weight_decay : float
        See `training.optimiser.Sgd`.
    seed : int
        Of the weights and the order of images, at least 0.
    exact : bool
        Whether products are the array's bit for bit, or BLAS.
    prune_first, prune_last : bool
        See `dataflow.pruning.pruned_layers`.
    wide : bool
        Whether hidden widths grow as `training.widen` says.
    """

    data: str = "digits"
    model: str = "mlp"
    method: str = "bdwp"
    ratio: Ratios = field(default_factory=lambda: Ratio(2, 8))
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
    optimiser: str = "sgd"
    storage: str = "binary16"
    warm_up: float = 0.0
    label_smoothing: float = 0.0
    dropout: float = 0.0
    init: str = ""
    image_size: int = 0
    normalise: str = ""
    augment: bool = False
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def form(self) -> Form:
        """What is asked of the data."""
        return Form(self.image_size, self.normalise, self.augment)

    @property
    def identity(self) -> dict[str, Any]:
        """The fields as JSON holds them; `training.identity` says what its names stand for."""
        return asdict(self) | {"ratio": str(self.ratio), "settings": dict(self.settings)}

    def load_method(self) -> Method:
        """The method with its constants."""
        return methods.load(self.method, dict(self.settings))


def run(
    experiment: Experiment,
    progress: Callable[[Progress], None] = lambda where: None,
    journal: Journal | None = None,
    step: Stepper = training_step,
    until: float = 1.0,
) -> tuple[Model, dict[str, Any]]:
    """Train, `step` by step, up to an accuracy; equal experiments give equal bits.

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
    options = Options(
        epochs=experiment.epochs,
        batch=experiment.batch,
        learning_rate=experiment.learning_rate,
        schedule=experiment.schedule,
        warm_up=experiment.warm_up,
        label_smoothing=experiment.label_smoothing,
        until=until,
    )
    network, _ = load_network(experiment.model)
    data = load_for(network, experiment.data, experiment.form, experiment.seed)
    if zoo.is_narrow(experiment.model) and experiment.data != RANDOM:
        network = fitted(network, data)
    check_fit(network, data)
    content = contents(network, data, read_files(experiment.model, experiment.init, experiment.method))
    if journal:
        journal.identity = journal.identity | content
    weights_rng, order_rng = np.random.default_rng(experiment.seed).spawn(2)
    optimiser = build_optimiser(experiment)
    model = build_model(experiment, weights_rng, network)
    result = train(model, optimiser, data, options, order_rng, progress, journal, step)
    pruned = [name for name, site in model.sites.items() if not site.ratio.is_dense]
    outcome = asdict(result) | {"pruned_layers": pruned, "loss_scale": optimiser.loss_scale.scale}
    used: dict[str, Any] = {"train_images": len(data.train_labels), "test_images": len(data.test_labels)}
    used |= {"normalisation": asdict(data.normalise) if data.normalise else None}
    return model, outcome | experiment.identity | content | {"ratio": str(model.ratio)} | used


def build_model(experiment: Experiment, rng: np.random.Generator, network: Network | None = None) -> Model:
    """The experiment's network, or one that was made of it, with fresh weights."""
    method = experiment.load_method()
    ratio = experiment.ratio if method.prunes else DENSE
    loaded, weights = load_network(experiment.model)
    network = network or loaded
    if weights and experiment.wide:
        raise InputError(f"{experiment.model}: a network with weights of its own cannot be made wider")
    if experiment.wide:
        if not isinstance(ratio, Ratio):
            raise InputError(f"--wide needs one ratio for all layers, not {ratio}")
        network = widen(network, ratio, prune_first=experiment.prune_first, prune_last=experiment.prune_last)
    network = with_dropout(network, experiment.dropout)
    storage = parse_format(experiment.storage)
    model = Model(
        network,
        ExactBackend(storage) if experiment.exact else FastBackend(storage, threads=worth_threads(network, experiment.batch)),
        rng,
        method=method,
        ratio=ratio,
        prune_first=experiment.prune_first,
        prune_last=experiment.prune_last,
    )
    if weights:
        model.restore(model.state() | weights)
        model.prepare()
    if experiment.init:
        load_into(model, Path(experiment.init))
    return model


def load_for(network: Network, data: str, form: Form, seed: int) -> Data:
    """A data set, or images and labels of the network's shape that are drawn from a seed."""
    if data == RANDOM:
        return random_data(network.input_shape, network.shapes[network.layers[-1].name][-1], seed)
    return load_data(data, form)


def load_network(name: str) -> tuple[Network, dict[str, Any]]:
    """A network by name or of a file, and the weights that an ONNX file brings."""
    if name.endswith(".onnx"):
        from training.exchange.onnx_read import read_trainable  # importing onnx takes longer than a small training

        return read_trainable(Path(name))
    return importers.load(name).network, {}


def fitted(network: Network, data: Data) -> Network:
    """A narrow network of the zoo with the data's images as input, and a class for each of theirs."""
    *layers, last = network.layers
    assert isinstance(last, Linear), "classifiers of the zoo"
    classes = int(data.train_labels.max()) + 1
    return replace(network, input_shape=data.train_images.shape[1:], layers=(*layers, replace(last, out_features=classes)))


def build_optimiser(experiment: Experiment, loss_scale: LossScale | None = None) -> Optimiser:
    """The experiment's optimiser; `InputError` names the allowed ones."""
    decay, pruned_decay = experiment.weight_decay, experiment.load_method().pruned_decay
    if experiment.optimiser == "sgd":
        return Sgd(momentum=experiment.momentum, weight_decay=decay, pruned_decay=pruned_decay, loss_scale=loss_scale)
    if experiment.optimiser == "adamw":
        return AdamW(weight_decay=decay, pruned_decay=pruned_decay, loss_scale=loss_scale)
    raise InputError(f"unknown optimiser {experiment.optimiser!r}; allowed: sgd, adamw")


def worth_threads(network: Network, batch: int) -> int:
    """One for small products, which lose more by waiting than they win; else one a core."""
    return 1 if network.forward_macs * batch < SMALL_MACS else os.cpu_count() or 1
