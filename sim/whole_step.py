"""A whole training step on the accelerator's RTL, from the image in memory to the updated weights and their packed copies."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflow.lower import lower
from dataflow.machine.assemble import ONES, Assembled, assemble, binary32
from dataflow.machine.memory import Tensor
from dataflow.machine.updates import Rates
from dataflow.pins import Choice
from dataflow.program import Dataflow
from hw.commands import Command, Halt, Sync
from hw.config import AcceleratorConfig
from hw.encoding import encode
from hw.errors import InputError
from sim import sat
from sim.image import Bytes, decode, weights, write
from sim.image import encode as encode_tensor
from training.backend import ExactBackend
from training.layers.weighted import Weighted
from training.loss import cross_entropy
from training.model import Model
from training.numbers import Array
from training.optimiser import Sgd
from training.step import training_step

Run = Callable[[AcceleratorConfig, Bytes, Sequence[bytes]], list[sat.Outcome]]


@dataclass(frozen=True)
class StepOnRtl:
    """What a step came to.

    Parameters
    ----------
    rows : list of dict
        For each tensor that the trainer knows: ``tensor``, ``bytes_compared``, ``bytes_different``.
    outcomes : list of Outcome
        Of the forward and the backward program.
    loss : float
        That the host computed.
    """

    rows: list[dict[str, Any]]
    outcomes: list[sat.Outcome]
    loss: float

    @property
    def different(self) -> int:
        """Bytes that are not the trainer's."""
        return sum(row["bytes_different"] for row in self.rows)


def assemble_step(config: AcceleratorConfig, model: Model, optimiser: Sgd, learning_rate: float, batch: int) -> Assembled:
    """The programs of one training step of a model as it stands.

    Raises
    ------
    InputError
        Where the accelerator cannot do what the model needs.
    """
    if optimiser.pruned_decay:
        raise InputError("the accelerator's updates have no decay of pruned weights; allowed: pruned_decay 0")
    network, method = model.network, model.method
    options: dict[str, Any] = {"batch": batch, "ratio": model.ratio, "sparse_stages": method.sparse_stages}
    options |= {"prune_first": model.prune_first, "prune_last": model.prune_last}
    products = lower(network, config, **options).products
    pins = {(product.layer, product.stage): Choice(dataflow=Dataflow.OUTPUT_STATIONARY) for product in products}
    program = lower(network, config, pins=pins, **options)
    rates = Rates(
        unscale=-int(log2(optimiser.loss_scale.scale)),
        weight_decay=binary32(float(optimiser.weight_decay)),
        momentum=binary32(float(optimiser.momentum)),
        learning_rate=binary32(learning_rate),
    )
    return assemble(network, program, config, rates)


def step_on_rtl(
    config: AcceleratorConfig,
    model: Model,
    optimiser: Sgd,
    images: Array,
    labels: NDArray[np.integer],
    learning_rate: float,
    run: Run = sat.run,
) -> StepOnRtl:
    """Train one step on the RTL and in NumPy, and compare all that both have.

    Parameters
    ----------
    config : AcceleratorConfig
        The accelerator.
    model, optimiser : Model, Sgd
        Both go on by this step.
    images, labels, learning_rate
        As in `training.step.training_step`.
    run : callable
        Runs programs on a memory.
    """
    model.set_backend(ExactBackend(config.storage_format))
    storage, assembled = config.storage_format, assemble_step(config, model, optimiser, learning_rate, len(labels))
    memory = np.zeros(assembled.memory.size_bytes, np.uint8)
    tensors = assembled.memory.tensors
    held = {name: values for name, values in weights(model, optimiser).items() if name in tensors}
    _check_copies(model, tensors)
    inputs = next(tensor for name, tensor in tensors.items() if name == assembled.memory[f"{_first(model)}.input"].name)
    held |= {inputs.name: model.backend.store(images), ONES: np.ones(tensors[ONES].shape, np.float32)}
    for name, values in held.items():
        write(memory, tensors[name], values, storage)

    forward = run(config, memory, [encode(assembled.forward)])[0]
    last = model.network.layers[-1].name
    logits = decode(tensors[f"{last}.output"], forward.memory, storage)
    loss, gradient = cross_entropy(logits, labels)
    scaled = model.backend.store(gradient * optimiser.loss_scale.scale)
    middle = forward.memory.copy()
    write(middle, assembled.memory[f"{last}.output_gradient"], scaled, storage)
    backward = run(config, middle, [encode(assembled.backward)])[0]

    capture: dict[str, Any] = {}
    training_step(model, optimiser, images, labels, learning_rate, capture)
    expected: dict[str, Any] = dict(weights(model, optimiser))
    for name, values in capture.items():
        kind = name.rpartition(".")[2]
        if kind in ("input", "output_gradient", "weight_gradient"):
            expected[assembled.memory[name].name] = values
    rows = [_compare(tensors[name], values, backward.memory, config) for name, values in expected.items() if name in tensors]
    return StepOnRtl(rows, [forward, backward], loss)


def _check_copies(model: Model, tensors: Mapping[str, Tensor]) -> None:
    """Dense copies are written as they are updated: a method that prunes them cannot go on from there."""
    for name, module in model.modules.items():
        if isinstance(module, Weighted) and f"{name}.weight" in tensors:
            stored = model.backend.store(module.weight.value)
            if not np.array_equal(module.dense.view(np.uint16), stored.view(np.uint16)):
                raise InputError(f"layer {name!r}: a dense product reads pruned weights, which the accelerator does not write")


def _first(model: Model) -> str:
    return next(iter(model.network.weighted())).name


def _compare(tensor: Tensor, values: Any, memory: Bytes, config: AcceleratorConfig) -> dict[str, Any]:  # noqa: ANN401
    """A row of the comparison; what rows are padded with has no meaning."""
    shape = (*tensor.stored_shape, tensor.element_bytes)
    due = encode_tensor(tensor, values, config.storage_format).reshape(shape)[..., : tensor.shape[-1], :]
    found = memory[tensor.offset : tensor.offset + tensor.size_bytes].reshape(shape)[..., : tensor.shape[-1], :]
    return {"tensor": tensor.name, "bytes_compared": due.size, "bytes_different": int(np.count_nonzero(due != found))}


def groups(commands: Sequence[Command]) -> list[tuple[Command, ...]]:
    """A program cut where it synchronises, each part a program of its own."""
    parts: list[tuple[Command, ...]] = []
    part: list[Command] = []
    for command in commands:
        if isinstance(command, Sync | Halt):
            if part:
                parts.append((*part, Halt()))
            part = []
        else:
            part.append(command)
    return parts
