"""A program as the units see it: a product with the work that is fused into its drain is one job."""

from collections.abc import Iterator
from dataclasses import dataclass

from dataflow.costs import Cost, update_cost, vector_cost
from dataflow.program import Product, Program, Stage, Vector
from dataflow.schedule import Schedule, schedule
from hw.config import AcceleratorConfig


@dataclass(frozen=True, eq=False)
class Job:
    """What one unit does in one go.

    Parameters
    ----------
    unit : str
        ``"array"``, ``"vector"`` or ``"update"``: whose queue it stands in.
    layer, stage
        Where it comes from.
    products : tuple of (Product, Schedule)
        For the array: the phases of one product.
    cost : Cost
        For the array: what its drain asks of the vector or update engine and of memory. Else of the unit itself.
    reads, writes : tuple of str
        Tensors that must be complete before it starts, and that are complete when it ends.
    """

    unit: str
    layer: str
    stage: Stage
    products: tuple[tuple[Product, Schedule], ...]
    cost: Cost
    reads: tuple[str, ...]
    writes: tuple[str, ...]


def jobs(config: AcceleratorConfig, program: Program) -> Iterator[Job]:
    """The program's jobs in order."""
    pending: list[Product] = []
    for command in program.commands:
        if isinstance(command, Product):
            pending.append(command)
        elif isinstance(command, Vector):
            cost = vector_cost(config, command)
            fused = tuple(pending) if command.fused else ()
            yield _job("vector", command.layer, command.stage, fused, cost, command.reads, command.writes, config, program)
            pending = [] if command.fused else pending
        else:
            cost, tensors = update_cost(config, command), (command.reads, command.writes)
            fused = () if command.writes else tuple(pending)
            yield _job("update", command.layer, Stage.WEIGHT_GRADIENT, fused, cost, *tensors, config, program)
            pending = pending if command.writes else []


def _job(
    unit: str,
    layer: str,
    stage: Stage,
    products: tuple[Product, ...],
    cost: Cost,
    reads: tuple[str, ...],
    writes: tuple[str, ...],
    config: AcceleratorConfig,
    program: Program,
) -> Job:
    operands = {view.region for product in products for view in (product.weights, product.activations)}
    tensors = tuple(program.aliases.get(name, name) for name in sorted(operands))
    return Job(
        unit="array" if products else unit,
        layer=layer,
        stage=stage,
        products=tuple((product, schedule(config, product, program.regions)) for product in products),
        cost=cost,
        reads=(*tensors, *reads),
        writes=writes,
    )
