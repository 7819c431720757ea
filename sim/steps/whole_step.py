"""A whole training step on the accelerator's RTL, from the image in memory to the updated weights and their packed copies.

::

    image ─► forward program ─► logits ─► loss, on the host ─► backward program ─► updated weights
              │ all of memory after each of its commands,             │
              │ and its cycles                                        │ all tensors
              ▼                                                       ▼
             training.machine, dataflow.machine                      training.step
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflow.compile.assemble import Assembled, assemble, binary32
from dataflow.compile.memory import NEXT, Tensor
from dataflow.compile.updates import ONES, Rates, at_rates
from dataflow.ir.program import Dataflow, Product
from dataflow.lowering.lower import lower
from dataflow.machine.executor import Execution, execute
from dataflow.machine.timing import Memory as MemoryTiming
from dataflow.scheduling.pins import Choice
from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.isa.commands import Command
from hw.isa.encoding import encode as encode_program
from sim.rtl import sat
from sim.rtl.image import Bytes, decode, weights, write
from sim.rtl.image import encode as encode_tensor
from sim.rtl.written import Journal, Row
from sim.steps.difference import told_apart
from sim.steps.program import ProgramOnRtl, written_rows
from training.adamw import AdamW
from training.backend import ExactBackend
from training.layers.weighted import Weighted
from training.loss import cross_entropy, scaled_gradient
from training.machine.executor import Executor
from training.model import Model
from training.numbers import Array
from training.optimiser import Optimiser, Sgd
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
    correct : int
        Images that were classified right.
    """

    rows: list[Row]
    programs: tuple[ProgramOnRtl, ProgramOnRtl]
    loss: float
    correct: int

    @property
    def agrees(self) -> bool:
        """Whether no byte and no counter differs."""
        return not self.different and all(program.counted == program.predicted for program in self.programs)

    @property
    def different(self) -> int:
        """Bytes that are not the trainer's, or not the commands'."""
        return self._sum("bytes_different")

    @property
    def compared(self) -> int:
        """Bytes that were compared with either."""
        return self._sum("bytes_compared")

    def _sum(self, what: str) -> int:
        return sum(row[what] for rows in (self.rows, *(one.rows for one in self.programs)) for row in rows)


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


@dataclass(frozen=True)
class Played:
    """A program of a step, from which it can be played again.

    Parameters
    ----------
    name : str
        ``forward`` or ``backward``.
    memory : array of uint8
        Before it.
    commands : sequence of Command
        The program.
    """

    name: str
    memory: Bytes
    commands: Sequence[Command]


class StepsOnRtl:
    """Training steps of a model on the RTL, one after the other, beside the trainer and both models of the accelerator.

    Weights, velocities and packed copies stay in the accelerator's memory from step to step, and go from one place to the
    other; the host writes images and the gradient of the loss.

    Parameters
    ----------
    config : AcceleratorConfig
        The accelerator.
    model, optimiser : Model, Optimiser
        They go on by each step.
    batch : int
        The most images of a step.
    timing : Memory
        Of the memory behind the accelerator.
    dataflows : Dataflows
        What stays in the array for each product.

    Attributes
    ----------
    difference : str
        What the RTL had otherwise than the NumPy executor or the machine first; empty where nothing was.
    played : list of Played
        The programs of the last step.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        model: Model,
        optimiser: Optimiser,
        batch: int,
        *,
        timing: MemoryTiming = sat.DEFAULT_TIMING,
        dataflows: Dataflows = as_scheduled,
    ) -> None:
        model.set_backend(ExactBackend(config.storage_format))
        self.config, self.model, self.optimiser = config, model, optimiser
        self.timing, self.dataflows = timing, dataflows
        self._assembled: dict[tuple[int, bool], Assembled] = {}
        self._predicted: dict[tuple[int, bool, str, bool], Execution] = {}
        self._exchanged = False  # whether the places are
        first = self._of(batch)
        longest = max(len(encode_program(commands)) for commands in (first.forward, first.backward))
        self.device = sat.Device(config, first.memory.size_bytes, longest, timing=timing, journal=True)
        self.played: list[Played] = []
        self._machine: Journal | None = None
        self._batch = 0
        self.difference = ""

    def __enter__(self) -> "StepsOnRtl":
        self.device.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        self.device.__exit__(*raised)

    def step(self, images: Array, labels: NDArray[np.integer], learning_rate: float, smoothing: float = 0.0) -> StepOnRtl:
        """Train on a batch, see `training.step.training_step`, on the RTL and in NumPy; compare all that both have."""
        batch, self.played = len(labels), []
        assembled, done = self._of(batch), list[ProgramOnRtl]()
        self._settle(batch, assembled)
        rates, capture = rates_of(self.optimiser, learning_rate), dict[str, Any]()

        def run(half: str, commands: Sequence[Command]) -> Bytes:
            done.append(self._run(half, batch, at_rates(commands, rates)))
            return done[-1].outcome.memory

        logits = _as_host(self.model, self.optimiser, assembled, images, labels, self._write, run, smoothing)
        loss, _ = cross_entropy(logits, labels, smoothing)
        training_step(self.model, self.optimiser, images, labels, learning_rate, capture, smoothing)
        forward, backward = done
        overflow, memory = backward.outcome.overflow, backward.outcome.memory
        self._exchanged ^= not overflow
        rows = _tensor_rows(self.config, assembled, (self.model, self.optimiser), capture, memory, overflow=overflow)
        return StepOnRtl(rows, (forward, backward), loss, int((logits.argmax(axis=1) == labels).sum()))

    def programs(self, batch: int) -> tuple[Sequence[Command], Sequence[Command]]:
        """Forward and backward, for so many images."""
        return self._of(batch).forward, self._of(batch).backward

    def _of(self, batch: int) -> Assembled:
        """The programs for so many images; their rates are those of no step."""
        key = batch, self._exchanged
        if key not in self._assembled:
            found = assemble_step(
                self.config, self.model, self.optimiser, 1.0, batch, self.dataflows, exchanged=self._exchanged
            )
            self._assembled[key] = found
        return self._assembled[key]

    def _settle(self, batch: int, assembled: Assembled) -> None:
        """Have the model in memory where the programs for so many images look for it."""
        if batch == self._batch:
            return
        before = self.device.read() if self._machine else None
        memory = initial_memory(self.config, assembled, self.model, self.optimiser)
        if before is not None:  # what the accelerator has trained so far, from where it was
            known = self._of(self._batch).memory.tensors
            for name in weights(self.model, self.optimiser).keys() & known.keys():
                old, new = known[name], assembled.memory.tensors[name]
                memory[new.offset : new.offset + new.size_bytes] = before[old.offset : old.offset + old.size_bytes]
        self.device.write(0, memory)
        self._machine, self._batch = Journal(Executor(self.config, memory)), batch

    def _write(self, tensor: Tensor, values: Array) -> None:
        """Put a tensor into both memories."""
        assert self._machine is not None
        memory, place = self._machine.machine.memory, slice(tensor.offset, tensor.offset + tensor.size_bytes)
        write(memory, tensor, values, self.config.storage_format)
        self.device.write(tensor.offset, memory[place])

    def _run(self, half: str, batch: int, commands: Sequence[Command]) -> ProgramOnRtl:
        """A program on the RTL, beside both models."""
        assert self._machine is not None
        self.played.append(Played(half, self._machine.machine.memory.copy(), commands))
        self.device.begin(encode_program(commands))
        self._machine.run(commands)
        overflow = self._machine.machine.overflow
        known = batch, self._exchanged, half, overflow
        if known not in self._predicted:
            found = execute(self.config, commands, self.timing, self.device.programs_at, overflow=overflow)
            self._predicted[known] = found
        outcome = self.device.outcome()
        rows = written_rows(self._machine, outcome)
        done = ProgramOnRtl(outcome, self._predicted[known], rows, self._machine.first)
        tensors = self._of(batch).memory.tensors
        self.difference = self.difference or told_apart(
            half, done, tensors, self._machine.machine.memory, self.config.storage_format
        )
        return done


def step_on_rtl(
    config: AcceleratorConfig,
    model: Model,
    optimiser: Optimiser,
    images: Array,
    labels: NDArray[np.integer],
    learning_rate: float,
    timing: MemoryTiming = sat.DEFAULT_TIMING,
    dataflows: Dataflows = as_scheduled,
) -> StepOnRtl:
    """A single step of `StepsOnRtl`."""
    with StepsOnRtl(config, model, optimiser, len(labels), timing=timing, dataflows=dataflows) as steps:
        return steps.step(images, labels, learning_rate)


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

    _as_host(model, optimiser, assembled, images, labels, put, run)
    capture: dict[str, Any] = {}
    training_step(model, optimiser, images, labels, learning_rate, capture)
    return _tensor_rows(config, assembled, (model, optimiser), capture, machine.memory, overflow=machine.overflow)


def _as_host(
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


def _tensor_rows(
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


def _compare(name: str, tensor: Tensor, values: Any, memory: Bytes, config: AcceleratorConfig) -> Row:  # noqa: ANN401
    """A row of the comparison; what rows are padded with has no meaning."""
    shape = (*tensor.stored_shape, tensor.element_bytes)
    due = encode_tensor(tensor, values, config.storage_format).reshape(shape)[..., : tensor.shape[-1], :]
    axes = zip(np.indices(tensor.shape, sparse=True), tensor.strides, strict=True)
    first = tensor.offset + sum(axis * step for axis, step in axes)
    found = memory[np.asarray(first)[..., None] + np.arange(tensor.element_bytes)]
    return {"tensor": name, "bytes_compared": due.size, "bytes_different": int(np.count_nonzero(due != found))}
