"""A whole training step on the accelerator's RTL, from the image in memory to the updated weights and their packed copies.

::

    image ─► forward program ─► logits ─► loss, on the host ─► backward program ─► updated weights
              │ all of memory after each of its commands,             │
              │ and its cycles                                        │ all tensors
              ▼                                                       ▼
             training.machine, dataflow.machine                      training.step
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflow.lower import lower
from dataflow.machine.assemble import Assembled, assemble, binary32
from dataflow.machine.memory import Tensor
from dataflow.machine.units.port import Memory as MemoryTiming
from dataflow.machine.updates import Rates
from dataflow.pins import Choice
from dataflow.program import Dataflow, Product
from hw.config import AcceleratorConfig
from hw.errors import InputError
from sim import sat
from sim.image import Bytes, decode, weights, write
from sim.image import encode as encode_tensor
from sim.program import ProgramOnRtl, Row, run_program
from training.backend import ExactBackend
from training.layers.weighted import Weighted
from training.loss import cross_entropy
from training.model import Model
from training.numbers import Array
from training.optimiser import Sgd
from training.step import training_step

Dataflows = Callable[[Product], Dataflow | None]
"""What stays in the array for a product; None for what the schedule chose."""


def as_scheduled(product: Product) -> None:
    """The schedule's choice."""


@dataclass(frozen=True)
class StepOnRtl:
    """What a step came to.

    Parameters
    ----------
    rows : list of Row
        For each ``tensor`` that the trainer knows.
    programs : (ProgramOnRtl, ProgramOnRtl)
        Forward and backward.
    loss : float
        That the host computed.
    """

    rows: list[Row]
    programs: tuple[ProgramOnRtl, ProgramOnRtl]
    loss: float

    @property
    def different(self) -> int:
        """Bytes that are not the trainer's, or not the commands'."""
        return sum(row["bytes_different"] for rows in (self.rows, *(one.rows for one in self.programs)) for row in rows)


def assemble_step(
    config: AcceleratorConfig,
    model: Model,
    optimiser: Sgd,
    learning_rate: float,
    batch: int,
    dataflows: Dataflows = as_scheduled,
) -> Assembled:
    """The programs of one training step of a model as it stands, `dataflows` saying what stays in the array for each product.

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
    program = lower(network, config, **options)
    chosen = {(product.layer, product.stage): dataflows(product) for product in program.products}
    if any(chosen.values()):
        pins = {name: Choice(dataflow=dataflow) for name, dataflow in chosen.items() if dataflow}
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
    timing: MemoryTiming = sat.DEFAULT_TIMING,
    dataflows: Dataflows = as_scheduled,
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
    timing : MemoryTiming
        Of the memory behind the accelerator.
    dataflows : Dataflows
        What stays in the array for each product.
    """
    model.set_backend(ExactBackend(config.storage_format))
    storage = config.storage_format
    assembled = assemble_step(config, model, optimiser, learning_rate, len(labels), dataflows)
    tensors = assembled.memory.tensors
    memory = initial_memory(config, assembled, model, optimiser, images)

    forward = run_program(config, memory, assembled.forward, timing)
    last = model.network.layers[-1].name
    logits = decode(tensors[f"{last}.output"], forward.outcome.memory, storage)
    loss, gradient = cross_entropy(logits, labels)
    scaled = model.backend.store(gradient * optimiser.loss_scale.scale)
    middle = forward.outcome.memory.copy()
    write(middle, assembled.memory[f"{last}.output_gradient"], scaled, storage)
    backward = run_program(config, middle, assembled.backward, timing)

    capture: dict[str, Any] = {}
    training_step(model, optimiser, images, labels, learning_rate, capture)
    expected: dict[str, Any] = dict(weights(model, optimiser))
    for name, values in capture.items():
        kind = name.rpartition(".")[2]
        if kind in ("input", "output_gradient", "weight_gradient"):
            expected[assembled.memory[name].name] = values
    left = backward.outcome.memory
    rows = [_compare(tensors[name], values, left, config) for name, values in expected.items() if name in tensors]
    return StepOnRtl(rows, (forward, backward), loss)


def initial_memory(config: AcceleratorConfig, assembled: Assembled, model: Model, optimiser: Sgd, images: Array) -> Bytes:
    """What the host writes before a step: weights and their copies, velocities, images."""
    storage, tensors = config.storage_format, assembled.memory.tensors
    _check_copies(model, tensors)
    held = {name: values for name, values in weights(model, optimiser).items() if name in tensors}
    inputs = assembled.memory[f"{_first(model)}.input"]
    held |= {inputs.name: model.backend.store(images)}
    memory = np.zeros(assembled.memory.size_bytes, np.uint8)
    for name, values in held.items():
        write(memory, tensors[name], values, storage)
    return memory


def step_summary(step: StepOnRtl) -> dict[str, Any]:
    """A step as JSON: loss, comparisons of tensors, and for each program its registers, its parts, and what was predicted."""
    programs = [
        {
            "name": name,
            "registers": program.outcome.registers,
            "commands": program.rows,
            "counted": program.counted,
            "predicted": program.predicted,
        }
        for name, program in zip(("forward", "backward"), step.programs, strict=True)
    ]
    return {
        "loss": step.loss,
        "bytes_compared": sum(row["bytes_compared"] for row in step.rows),
        "bytes_different": step.different,
        "counters_equal": all(program["counted"] == program["predicted"] for program in programs),
        "tensors": step.rows,
        "programs": programs,
    }


def _check_copies(model: Model, tensors: Mapping[str, Tensor]) -> None:
    """Refuse what the program would have to read otherwise than the trainer does.

    Dense copies are written as they are updated: a method that prunes them cannot go on from there. Groups of channels that
    are no whole groups of M are dense on the accelerator.
    """
    for name, module in model.modules.items():
        if not isinstance(module, Weighted):
            continue
        stored = model.backend.store(module.weight.value)
        if f"{name}.weight" in tensors and not np.array_equal(module.dense.view(np.uint16), stored.view(np.uint16)):
            raise InputError(f"layer {name!r}: a dense product reads pruned weights, which the accelerator does not write")
        read = module.stored().keys() - {f"{name}.weight"}
        if not module.needs_input_gradient:
            read -= {f"{name}.weight_backward"}
        if read - tensors.keys():
            raise InputError(
                f"layer {name!r}: its groups of channels are no whole groups of {model.ratio}, which the accelerator cannot"
                f" read packed; set prune=False for it"
            )


def _first(model: Model) -> str:
    return next(iter(model.network.weighted())).name


def _compare(tensor: Tensor, values: Any, memory: Bytes, config: AcceleratorConfig) -> Row:  # noqa: ANN401
    """A row of the comparison; what rows are padded with has no meaning."""
    shape = (*tensor.stored_shape, tensor.element_bytes)
    due = encode_tensor(tensor, values, config.storage_format).reshape(shape)[..., : tensor.shape[-1], :]
    found = memory[tensor.offset : tensor.offset + tensor.size_bytes].reshape(shape)[..., : tensor.shape[-1], :]
    return {"tensor": tensor.name, "bytes_compared": due.size, "bytes_different": int(np.count_nonzero(due != found))}
