"""A training step as the accelerator's programs, with the memory that the host writes before it; and all of it in NumPy."""

from collections.abc import Callable, Mapping, Sequence
from math import log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflow.compile.assemble import Assembled, assemble
from dataflow.compile.by_channel import binary32
from dataflow.compile.memory import NEXT, Tensor
from dataflow.compile.updates import ONES, Rates
from dataflow.ir.program import Dataflow, Product
from dataflow.lowering.lower import lower
from dataflow.scheduling.pins import Choice
from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.isa.commands import Command
from sim.rtl.image import Bytes, decode, weights, write
from sim.rtl.image import encode as encode_tensor
from sim.rtl.written import Row
from training.adamw import AdamW
from training.backend import ExactBackend
from training.layers.weighted import Weighted
from training.loss import scaled_gradient
from training.machine.executor import Executor
from training.model import Model
from training.numbers import Array
from training.optimiser import Optimiser, Sgd
from training.step import training_step

Dataflows = Callable[[Product], Dataflow | None]
"""What stays in the array for a product; None for what the schedule chose."""


def as_scheduled(product: Product) -> None:
    """The schedule's choice."""


def assemble_step(
    config: AcceleratorConfig,
    model: Model,
    optimiser: Optimiser,
    learning_rate: float,
    batch: int,
    dataflows: Dataflows = as_scheduled,
    *,
    loss: bool = False,
    exchanged: bool = False,
) -> Assembled:
    """The programs of one training step of a model as it stands, `dataflows` saying what stays in the array for each product.

    With `loss` they have softmax cross-entropy between them, so that they can be one: `Assembled.step`. With `exchanged` they
    are those of the step after it, see `dataflow.compile.assemble.assemble`.

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
    return assemble(network, program, config, rates_of(optimiser, learning_rate), loss=loss, exchanged=exchanged)


def rates_of(optimiser: Optimiser, learning_rate: float) -> Rates:
    """The hyper-parameters of the optimiser's next step; `InputError` of one that the accelerator has not."""
    unscale = -int(log2(optimiser.loss_scale.scale))
    if isinstance(optimiser, AdamW):
        factors = optimiser.factors(float(np.float32(learning_rate)), optimiser.steps + 1)
        return Rates(
            unscale=unscale,
            weight_decay=binary32(factors.decay),
            momentum=binary32(optimiser.betas[0]),
            learning_rate=binary32(factors.rate),
            squares=binary32(optimiser.betas[1]),
            floor=binary32(factors.floor),
        )
    assert isinstance(optimiser, Sgd)
    return Rates(
        unscale=unscale,
        weight_decay=binary32(float(optimiser.weight_decay)),
        momentum=binary32(float(optimiser.momentum)),
        learning_rate=binary32(learning_rate),
    )


def initial_memory(
    config: AcceleratorConfig, assembled: Assembled, model: Model, optimiser: Optimiser, images: Array | None = None
) -> Bytes:
    """What the host writes before the first step: weights, their copies, what the optimiser remembers; images, if any."""
    storage, tensors = config.storage_format, assembled.memory.tensors
    _check_copies(model, tensors)
    held = {name: values for name, values in weights(model, optimiser).items() if name in tensors}
    if images is not None:
        held |= {assembled.memory[f"{_first(model)}.input"].name: model.backend.store(images)}
    if ONES in tensors:
        held[ONES] = np.ones(tensors[ONES].shape, np.float32)
    memory = np.zeros(assembled.memory.size_bytes, np.uint8)
    for name, values in held.items():
        write(memory, tensors[name], values, storage)
    return memory


def step_in_numpy(
    config: AcceleratorConfig,
    model: Model,
    optimiser: Optimiser,
    images: Array,
    labels: NDArray[np.integer],
    learning_rate: float,
    dataflows: Dataflows = as_scheduled,
) -> list[Row]:
    """A step by the accelerator's commands in NumPy, without the RTL: for each tensor that the trainer knows, a row."""
    model.set_backend(ExactBackend(config.storage_format))
    assembled = assemble_step(config, model, optimiser, learning_rate, len(labels), dataflows)
    machine = Executor(config, initial_memory(config, assembled, model, optimiser))

    def put(tensor: Tensor, values: Array) -> None:
        write(machine.memory, tensor, values, config.storage_format)

    def run(half: str, commands: Sequence[Command]) -> Bytes:
        machine.run(commands)
        return machine.memory

    as_host(model, optimiser, assembled, images, labels, put, run)
    capture: dict[str, Any] = {}
    training_step(model, optimiser, images, labels, learning_rate, capture)
    return tensor_rows(config, assembled, (model, optimiser), capture, machine.memory, overflow=machine.overflow)


def as_host(
    model: Model,
    optimiser: Optimiser,
    assembled: Assembled,
    images: Array,
    labels: NDArray[np.integer],
    put: Callable[[Tensor, Array], None],
    run: Callable[[str, Sequence[Command]], Bytes],
    smoothing: float = 0.0,
) -> Array:
    """The host's part of a step: `put` writes a tensor, `run` runs a half of it and gives the memory; the logits."""
    memory, last = assembled.memory, model.network.layers[-1].name
    put(memory[f"{_first(model)}.input"], model.backend.store(images))
    left = run("forward", assembled.forward)
    logits = decode(memory.tensors[f"{last}.output"], left, model.backend.storage)
    gradient = scaled_gradient(model.backend, logits, labels, optimiser.loss_scale.scale, smoothing)
    put(memory[f"{last}.output_gradient"], gradient)
    run("backward", assembled.backward)
    return logits


def tensor_rows(
    config: AcceleratorConfig,
    assembled: Assembled,
    trained: tuple[Model, Optimiser],
    capture: Mapping[str, Any],
    memory: Bytes,
    *,
    overflow: bool,
) -> list[Row]:
    """What a step has left in memory beside what the trainer has; after an overflow weights are where they were."""
    tensors = assembled.memory.tensors
    held = {name: values for name, values in weights(*trained).items() if name in tensors}
    if not overflow:
        held = {name + NEXT if name + NEXT in tensors else name: values for name, values in held.items()}
    expected = {name: (tensors[name], values) for name, values in held.items()}
    read = ("input", "output_gradient", *["weight_gradient"] * (ONES not in tensors))  # where AdamW puts directions
    for name, values in capture.items():
        if name.rpartition(".")[2] in read:
            tensor = assembled.memory[name]
            expected[name if tensor.steps else tensor.name] = tensor, values
    return [_compare(name, *pair, memory, config) for name, pair in expected.items()]


def _compare(name: str, tensor: Tensor, values: Any, memory: Bytes, config: AcceleratorConfig) -> Row:  # noqa: ANN401
    """A row of the comparison; what rows are padded with has no meaning."""
    shape = (*tensor.stored_shape, tensor.element_bytes)
    due = encode_tensor(tensor, values, config.storage_format).reshape(shape)[..., : tensor.shape[-1], :]
    axes = zip(np.indices(tensor.shape, sparse=True), tensor.strides, strict=True)
    first = tensor.offset + sum(axis * step for axis, step in axes)
    found = memory[np.asarray(first)[..., None] + np.arange(tensor.element_bytes)]
    return {"tensor": name, "bytes_compared": due.size, "bytes_different": int(np.count_nonzero(due != found))}


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
