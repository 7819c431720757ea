"""The offline scheduler's choice: of all ways to run a product, the one of fewest predicted cycles."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

from dataflow.interleave import splits, squarest
from dataflow.pins import SPLITS, Choice
from dataflow.program import Product, Region
from dataflow.schedule import Schedule, schedule, schedules
from dataflow.stages import Dataflow
from dataflow.techniques import Techniques
from dataflow.timing import tile
from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.isa.checks import weights_can_stay


def choose(
    config: AcceleratorConfig, product: Product, regions: Mapping[str, Region], pin: Choice, techniques: Techniques
) -> Product:
    """`product` with dataflow, interleaving, loop order and buffer split.

    What `pin` gives is kept, what `techniques` switch off is not chosen but taken as a machine without it has it. The rest is
    whatever has the best `Schedule.rank`; among equals the squarest tile.

    Raises
    ------
    InputError
        If the buffers have no room for any, or not for what is pinned.
    """
    if not techniques.schedule:
        plain = Choice(Dataflow.OUTPUT_STATIONARY, squarest(config) if techniques.interleave else (1, 1), "stream", SPLITS[0])
        pin = Choice(*(given or default for given, default in zip(_values(pin), _values(plain), strict=True)))
    elif not techniques.interleave:
        pin = replace(pin, dataflow=pin.dataflow or Dataflow.OUTPUT_STATIONARY, interleave=pin.interleave or (1, 1))
    best: tuple[tuple[int, int, int], Product] | None = None
    error: InputError | None = None
    for mapped in _mapped(config, product, pin):
        if best and _least_cycles(config, mapped) > best[0][0]:
            break
        for split in (pin.split,) if pin.split else SPLITS:
            try:
                plan = _best_order(config, replace(mapped, split=split), regions, pin)
            except InputError as refused:
                error = error or refused
                continue
            if best is None or plan.rank < best[0]:
                best = plan.rank, replace(mapped, split=split, order=plan.order)
            if not plan.stall_cycles:
                break
    if best is None:
        assert error is not None
        raise error
    return best[1]


def _values(choice: Choice) -> tuple[Any, ...]:
    return tuple(getattr(choice, field.name) for field in fields(choice))


def _best_order(config: AcceleratorConfig, product: Product, regions: Mapping[str, Region], pin: Choice) -> Schedule:
    if pin.order:
        return schedule(config, replace(product, order=pin.order), regions)
    return min(schedules(config, product, regions), key=lambda plan: plan.rank)


def _mapped(config: AcceleratorConfig, product: Product, pin: Choice) -> Iterator[Product]:
    """The product in every dataflow and interleaving that is not pinned otherwise, those of fewest steps first.

    The array alone can have any weights stay; where the units around it cannot, only a pin chooses that.
    """
    output = [
        replace(product, dataflow=Dataflow.OUTPUT_STATIONARY, interleave=split)
        for split in ((pin.interleave,) if pin.interleave else splits(config))
    ]
    weight = [replace(output[0], dataflow=Dataflow.WEIGHT_STATIONARY)]
    both = output + weight if weights_can_stay(config, product.ratio) else output
    allowed = {None: both, Dataflow.OUTPUT_STATIONARY: output, Dataflow.WEIGHT_STATIONARY: weight}

    def rank(mapped: Product) -> tuple[int, int]:
        rows, columns = mapped.interleave
        return _least_cycles(config, mapped), abs(config.rows * rows - config.columns * columns)

    yield from sorted(allowed[pin.dataflow], key=rank)


def _least_cycles(config: AcceleratorConfig, product: Product) -> int:
    """Cycles of the array, were operands always there."""
    tiles = tile(config, product.m, product.n, product.kept, product.interleave, product.dataflow)
    flush = tiles.flush_steps + 1 if product.dataflow is Dataflow.WEIGHT_STATIONARY else 0
    return product.count * (tiles.steps + flush)
