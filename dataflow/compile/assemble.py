"""The commands of a training step, in two programs between which the host computes the loss."""

from collections.abc import Iterator
from dataclasses import dataclass

from dataflow.compile.buffers import place_loads
from dataflow.compile.by_row import operations_of
from dataflow.compile.dependences import Dependences
from dataflow.compile.emitter import Emitter, Origin
from dataflow.compile.in_place import is_in_place, updates_in_place
from dataflow.compile.loss import LossPasses
from dataflow.compile.memory import Memory
from dataflow.compile.pipelines import Held
from dataflow.compile.placement import Placement
from dataflow.compile.schedule import Schedule
from dataflow.compile.updates import Rates
from dataflow.compile.weight_gradients import WeightGradients
from dataflow.ir.program import Program, Stage, Update
from dataflow.network import Network
from hw.config import ADAMW, AcceleratorConfig
from hw.errors import InputError
from hw.isa.checks import check_sat
from hw.isa.commands import Command, Halt, Sink, Store, Sync


@dataclass(frozen=True)
class Assembled:
    """A training step for the accelerator.

    Parameters
    ----------
    forward, backward : tuple of Command
        The two programs; the host writes the gradient of the last layer's output between them.
    memory : Memory
        Where everything stands.
    origins : tuple of tuple of Origin
        Of each program, whose results each ``STORE.RESULTS`` writes.
    """

    forward: tuple[Command, ...]
    backward: tuple[Command, ...]
    memory: Memory
    origins: tuple[tuple[Origin, ...], tuple[Origin, ...]]

    @property
    def step(self) -> tuple[Command, ...]:
        """Both as one program, for a step whose gradient the accelerator computes itself."""
        return (*self.forward[:-1], Sync(), *self.backward)


def assemble(
    network: Network,
    program: Program,
    config: AcceleratorConfig,
    rates: Rates,
    *,
    loss: bool = False,
    exchanged: bool = False,
    parts: bool = True,
) -> Assembled:
    """`program`, a training step of `network`, in commands of the accelerator.

    Weights have two places. They are read in one and, updated, written in the other; the host goes on with the programs whose
    places are `exchanged`, unless a gradient was not finite. What normalisations and embeddings train is updated in its place
    when all gradients are known, or skipped. With `loss` the forward program ends with the gradient of softmax cross-entropy,
    see `dataflow.compile.loss`. Without `parts` each product is taken, and each pass given, at once, see
    `dataflow.compile.pipelines`.

    Raises
    ------
    InputError
        Where the accelerator cannot be built, cannot do what the program asks, or its buffers have no room.
    """
    check_sat(config)
    if rates.is_adamw and not config.adamw:
        raise InputError(f"{config.name} has no AdamW; a preset with {ADAMW} behind its name has, or a file with adamw = true")
    places = Placement(network, program, config, exchanged=exchanged, moments=rates.is_adamw)
    places.place()
    emitter = Emitter(config, places.memory)
    schedule = Schedule(places, emitter, WeightGradients(emitter, rates), parts)
    split = _behind_forward(program)
    forward, of_forward = _traced(emitter, _forward(schedule, split, loss=loss))
    emitter.dependences = Dependences()  # the host comes between
    backward, of_backward = _traced(emitter, _backward(schedule, split, rates))
    placed = [tuple(place_loads(config, (*part, Halt()))) for part in (forward, backward)]
    return Assembled(placed[0], placed[1], places.memory, (of_forward, of_backward))


def _behind_forward(program: Program) -> int:
    """The place of the first command that is not of the forward stage."""
    behind = (place for place, one in enumerate(program.commands) if isinstance(one, Update) or one.stage is not Stage.FORWARD)
    return next(behind, len(program.commands))


def _forward(schedule: Schedule, split: int, *, loss: bool) -> Iterator[Command]:
    places = schedule.places
    yield from schedule.section(places.program.commands[:split])
    if loss:
        last = places.network.layers[-1].name
        passes = LossPasses(places.memory, f"{last}.output", f"{last}.output_gradient", places.config.vpu_lanes)
        passes.place()
        origin = Origin(last, Stage.FORWARD, "vector")
        yield from schedule.given(Held(origin, one) for one in operations_of(places.config, passes.passes()))


def _backward(schedule: Schedule, split: int, rates: Rates) -> Iterator[Command]:
    places, commands = schedule.places, schedule.places.program.commands[split:]
    yield from schedule.section(commands)
    yield from schedule.gradients.finish()
    last = [one.layer for one in commands if isinstance(one, Update) and is_in_place(places, one.layer)]
    if last:
        yield from updates_in_place(places, schedule.emitter, rates, last)


def _traced(emitter: Emitter, commands: Iterator[Command]) -> tuple[list[Command], tuple[Origin, ...]]:
    """Commands, and the origin of each of their ``STORE.RESULTS``."""
    made, origins = [], []
    for command in commands:
        made.append(command)
        if isinstance(command, Store) and command.sink is Sink.RESULTS:
            origins.append(emitter.origin)
    return made, tuple(origins)
