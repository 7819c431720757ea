"""What a step's commands do, counted without running them: steps, sums, buffer accesses, operations of the lanes."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hw.config import AcceleratorConfig
from hw.isa.bits import PassOption, PassStep
from hw.isa.commands import Command, Load, Pass, Product, Sink, Source, Store, Update, Walk


@dataclass(frozen=True)
class Plan:
    """How a layer's product runs.

    Parameters
    ----------
    order : str
        Which operand is loaded once: ``keep weights``, ``keep activations``, ``keep both``, or ``stream``.
    split : int
        Shares of the operand buffer that has fewer.
    """

    order: str
    split: int

    @classmethod
    def of(cls, product: Product) -> "Plan":
        """What its command says."""
        held = {(1, 0): "keep weights", (0, 1): "keep activations", (1, 1): "keep both"}
        order = held.get((product.weights_held, product.activations_held), "stream")
        return cls(order, min(product.weight_shares, product.activation_shares))


def counts(config: AcceleratorConfig, commands: Iterable[Command]) -> dict[str, int]:
    """By name, which says the unit.

    ==================================== ==================================================================================
    ``west_bits``, ``north_bits``        operands from the buffers to the array: a weight a row in each step, and what a
                                         column's word of activations comes to for each kept element
    ``link_bits``                        the same from element to element: of a row to the east, of a column to the south
    ``west_loaded_bytes``, ``north_…``   operands that loads write to the buffers
    ``sum_bytes``                        sums to the output buffer and out of it; partial sums there and back
    ``multiplications``, ``additions``   binary32, of lanes in passes
    ``updated``                          weights that updates take, padding of blocks among them
    ==================================== ==================================================================================
    """
    found: Counter[str] = Counter()
    width = config.storage_format.width
    for command in commands:
        if isinstance(command, Product):
            steps = array_steps(config, command)
            weight = width + (0 if command.dense else config.index_bits)
            group = command.group_rounds if command.dense else command.group_rounds // command.n * command.m
            activation = group * width / command.group_rounds
            found["west_bits"] += steps * config.rows * weight
            found["north_bits"] += round(steps * config.columns * activation)
            found["link_bits"] += round(steps * config.rows * config.columns * (weight + activation))
            if command.vectors:
                blocks = -(-command.rounds // config.columns) - 1
                found["sum_bytes"] += 8 * config.rows * command.vectors * command.outer * command.middle * blocks
        elif isinstance(command, Load) and command.source in (Source.WEIGHTS, Source.ACTIVATIONS):
            side = "west" if command.source is Source.WEIGHTS else "north"
            found[f"{side}_loaded_bytes"] += elements_of(command.walk) << command.walk.size_log2
        elif isinstance(command, Pass):
            found.update(_operations(command, command.words * config.vpu_lanes))
            if command.options & PassOption.FROM_SUMS:
                found["sum_bytes"] += 8 * command.columns * command.rows
        elif isinstance(command, Update):
            found["updated"] += command.words * config.wuve_lanes
    return dict(found)


def array_steps(config: AcceleratorConfig, product: Product) -> int:
    """Steps of the array in all tiles of a product."""
    tiles = product.outer * product.middle
    if product.vectors:
        blocks = -(-product.rounds // config.columns)
        return tiles * blocks * max(product.vectors, config.stationary_period_steps)
    return tiles * max(product.rounds, config.columns) * config.interleave_slots


def elements_of(walk: Walk) -> int:
    """Elements of all blocks of a walk, those outside among them."""
    counts = {1: walk.outer, 2: walk.middle, 3: walk.inner}
    size = 1
    for counter, length, tile in ((walk.u_counter, walk.u_size, walk.u_tile), (walk.v_counter, walk.v_size, walk.v_tile)):
        size *= min(length, tile * counts.pop(counter, 1))
    for count in counts.values():
        size *= count
    return size


@dataclass(frozen=True)
class Run:
    """A product of a program.

    Parameters
    ----------
    product : Product
        Its command.
    drains : tuple of int
        Which of the program's ``STORE.RESULTS`` take its sums, in order.
    bytes : int
        Of elements that it loads, and of those that go with its sums; outside ones of windows among them.
    """

    product: Product
    drains: tuple[int, ...]
    bytes: int


def runs(commands: Sequence[Command]) -> list[Run]:
    """The products of a program in their order."""
    made, products, operands = list[Run](), list[tuple[Product, int]](), 0
    stored = tiles = beside = 0
    drains, draining = list[int](), False
    for command in commands:
        size = elements_of(command.walk) << command.walk.size_log2 if isinstance(command, Load | Store) else 0
        if isinstance(command, Load) and command.source in (Source.WEIGHTS, Source.ACTIVATIONS):
            operands += size
        elif isinstance(command, Product):
            products.append((command, operands))
            operands = beside = 0
        elif isinstance(command, Load):
            beside += size
        elif isinstance(command, Pass):
            draining = bool(command.options & PassOption.FROM_SUMS)
            tiles += command.outer * command.middle if draining else 0
            beside = beside if draining else 0
        elif isinstance(command, Store) and command.sink is Sink.RESULTS:
            if draining:
                product, loaded = products[0]
                products[0] = product, loaded + beside + size
                drains.append(stored)
            if draining and tiles >= product.outer * product.middle:
                made.append(Run(product, tuple(drains), products.pop(0)[1]))
                tiles, drains = 0, []
            draining, beside, stored = False, 0, stored + 1
    return made


def _operations(step: Pass, elements: int) -> dict[str, int]:
    """Multiplications and additions of the lanes; a function is a parabola, two of each."""
    steps, function = step.steps, 2 if step.function else 0
    multiplications = bool(steps & PassStep.SCALE) + bool(steps & PassStep.MULTIPLY) + function
    additions = bool(steps & PassStep.SHIFT) + bool(steps & PassStep.RESIDUAL) + function
    additions += bool(step.groups and not step.options & PassOption.LARGEST)
    return {"multiplications": multiplications * elements, "additions": additions * elements}
