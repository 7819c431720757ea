"""The offline scheduler's choice: what stays in the array, and which outputs share an element's accumulator.

Of all ways that the buffers have room for, the one with the fewest cycles in which the array computes, or the memory ports
bring its operands, as `dataflow.compile.products` cuts them; then the one that reads least; then the one of the widest tiles.
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from math import ceil, lcm, prod
from typing import Any

from dataflow.ir.program import Loop, Product, Region
from dataflow.ir.stages import Dataflow
from dataflow.ir.techniques import Techniques
from dataflow.machine.timing import Memory
from dataflow.scheduling.interleave import splits, squarest
from dataflow.scheduling.pins import Choice
from dataflow.scheduling.tilings import cut
from dataflow.scheduling.timing import tile
from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.isa.checks import weights_can_stay
from hw.isa.commands import Source
from hw.isa.operands import chunk_words


def choose(
    config: AcceleratorConfig, product: Product, regions: Mapping[str, Region], pin: Choice, techniques: Techniques
) -> Product:
    """`product` with dataflow and interleaving.

    What `pin` gives is kept, what `techniques` switch off is not chosen but taken as a machine without it has it.

    Raises
    ------
    InputError
        If the buffers have no room for any, or not for what is pinned.
    """
    if not techniques.schedule:
        plain = Choice(Dataflow.OUTPUT_STATIONARY, squarest(config) if techniques.interleave else (1, 1))
        pin = Choice(*(given or default for given, default in zip(_values(pin), _values(plain), strict=True)))
    elif not techniques.interleave:
        pin = replace(pin, dataflow=pin.dataflow or Dataflow.OUTPUT_STATIONARY, interleave=pin.interleave or (1, 1))
    best: tuple[tuple[int, int, int], Product] | None = None
    errors: list[tuple[bool, int, InputError]] = []
    for least, mapped in _mapped(config, product, pin):
        if best and least > best[0][0]:
            break
        try:
            beats, columns = _beats(config, mapped, regions)
        except InputError as refused:
            errors.append((mapped.dataflow is Dataflow.WEIGHT_STATIONARY, prod(mapped.interleave), refused))
            continue
        rank = max(least, beats), beats, -columns
        if best is None or rank < best[0]:
            best = rank, mapped
    if best is None:  # what asks for least says what is missing
        raise min(errors, key=lambda one: one[:2])[2]
    return best[1]


def _values(choice: Choice) -> tuple[Any, ...]:
    return tuple(getattr(choice, field.name) for field in fields(choice))


def _mapped(config: AcceleratorConfig, product: Product, pin: Choice) -> list[tuple[int, Product]]:
    """The product in every dataflow and interleaving that is not pinned otherwise, with its least cycles, fewest first.

    The array alone can have any weights stay; where the units around it cannot, only a pin chooses that.
    """
    output = [
        replace(product, dataflow=Dataflow.OUTPUT_STATIONARY, interleave=split)
        for split in ((pin.interleave,) if pin.interleave else splits(config))
    ]
    weight = [replace(output[0], dataflow=Dataflow.WEIGHT_STATIONARY)]
    both = output + weight if weights_can_stay(config, product.ratio) else output
    allowed = {None: both, Dataflow.OUTPUT_STATIONARY: output, Dataflow.WEIGHT_STATIONARY: weight}

    def squareness(mapped: Product) -> int:
        rows, columns = mapped.interleave
        return abs(config.rows * rows - config.columns * columns)

    made = ((_least_cycles(config, mapped), mapped) for mapped in allowed[pin.dataflow])
    return sorted(made, key=lambda pair: (pair[0], squareness(pair[1])))


def _least_cycles(config: AcceleratorConfig, product: Product) -> int:
    """Cycles of the array, were operands always there."""
    tiles = tile(config, product.m, product.n, product.kept, product.interleave, product.dataflow)
    flush = tiles.flush_steps + 1 if product.dataflow is Dataflow.WEIGHT_STATIONARY else 0
    return product.count * (tiles.steps + flush)


def _beats(config: AcceleratorConfig, product: Product, regions: Mapping[str, Region]) -> tuple[int, int]:
    """Cycles in which the busier port brings operands, of which a beat holds what stands side by side; columns of a tile."""
    single = next(product.singles())
    _, tiling = cut(config, single, regions[single.activations.region].shape)
    loaded = (
        (Source.WEIGHTS, single.weights, tiling.weight_elements(single)),
        (Source.ACTIVATIONS, single.activations, tiling.activation_elements(single)),
    )
    ports = [0.0] * config.dram_channels
    for source, view, count in loaded:
        size = config.storage_format.width // 8 * (2 if source is Source.WEIGHTS and not product.ratio.is_dense else 1)
        group, lines = (config.max_group, config.rows) if source is Source.WEIGHTS else (tiling.group, config.columns)
        vectors = bool(tiling.vectors) and source is Source.ACTIVATIONS  # of which a chunk is one line
        sides = (view.columns,) if vectors else (view.rows, view.columns)
        run = _run(sides, regions[view.region].shape)
        chunk = group * (1 if vectors or group < config.max_group else chunk_words(config, lines))
        ports[source % len(ports)] += product.count * beats_of(count, run, chunk, config.axi_data_bytes // size)
    return ceil(max(ports)) * Memory.of(config).interval_cycles, tiling.columns


def beats_of(count: int, run: int, chunk: int, beat: int) -> float:
    """Beats of `beat` elements, where `run` stand side by side.

    Runs of whole beats fill them, and equal parts of a beat have one each. Others begin anywhere, and are cut where a chunk
    ends: a piece lies in one beat, and in one more for as many of its elements but the first as can be the last of a beat.
    """
    if run % beat == 0 or beat % run == 0:
        return -(-count // min(run, beat))
    pieces = count / run + count / chunk - count / lcm(run, chunk)
    return pieces + (count - pieces) / beat


def _run(sides: Iterable[tuple[Loop, ...]], shape: tuple[int, ...]) -> int:
    """Elements of some sides of a view that stand side by side: along the last axis of its tensor, or of whole pixels."""
    longest, last = 1, len(shape) - 1
    for *others, end in filter(None, sides):
        if (end.axis, end.step) != (last, 1):
            continue
        pixels = (
            others[-1].size if end.size == shape[last] and others and (others[-1].axis, others[-1].step) == (last - 1, 1) else 1
        )
        longest = max(longest, end.size * pixels)
    return longest
