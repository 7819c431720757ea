"""A product as commands: two loads, the tile loops, and what takes its sums."""

from collections.abc import Iterator
from dataclasses import dataclass

from dataflow.machine.memory import Memory
from dataflow.machine.walks import access
from dataflow.program import Dataflow, Loop, MatrixView, Product
from hw.commands import Command, Counter, Load, Pass, Sink, Source, Store, Walk
from hw.commands import Product as ProductCommand
from hw.config import AcceleratorConfig
from hw.errors import InputError

MOST_SHARES = 4
"""Of a buffer: more are of no use, since the loads of all but one of them are on their way already."""

FROM_SUMS, SHIFT_FACTOR, SCALE_FACTOR, NOTE_OVERFLOW = 1, 2, 4, 8
"""Bits of `hw.commands.Pass.options`."""

WIDEN, SCALE, SHIFT, RESIDUAL, NARROW, RELU, GATE = (1 << bit for bit in range(7))
"""Bits of `hw.commands.Pass.steps`."""


@dataclass(frozen=True, kw_only=True)
class Drain:
    """What is done with sums as they leave, and where they go.

    Parameters
    ----------
    steps, options, scale : int
        As in `hw.commands.Pass`.
    tensor : str
        Written through the product's output view.
    bias : str, optional
        Masters along the rows that are added.
    gate : str, optional
        Of the shape of `tensor`: where it is not above zero the result is zero.
    """

    steps: int
    tensor: str
    options: int = 0
    scale: int = 0
    bias: str | None = None
    gate: str | None = None


@dataclass(frozen=True)
class Tiling:
    """How a product is cut so that its operands fit the buffers.

    Parameters
    ----------
    tiles_n, tiles_m, parts : int
        Counts of the outer, middle and inner loop.
    rows, columns : int
        Of a tile.
    part_rounds, part_groups : int
        Kept elements, and groups of activations, of a part of the reduction.
    group_rounds : int
        Kept elements of a group.
    weight_shares, activation_shares : int
        Shares of the buffers.
    weights_held, activations_held : bool
        Whether an operand stays while the loop that does not move it runs.
    """

    tiles_n: int
    tiles_m: int
    parts: int
    rows: int
    columns: int
    part_rounds: int
    part_groups: int
    group_rounds: int
    weight_shares: int
    activation_shares: int
    weights_held: bool
    activations_held: bool

    @classmethod
    def of(cls, config: AcceleratorConfig, product: Product) -> "Tiling":
        """The fewest parts that leave room for two shares; operands are held where a buffer has room for all that is.

        Raises
        ------
        InputError
            Where a buffer has no room for two shares of one group, or for a tile of sums.
        """
        if product.dataflow is not Dataflow.OUTPUT_STATIONARY:
            raise InputError(
                f"{product.layer}, {product.stage}: dataflow must be os for the accelerator, not {product.dataflow}"
            )
        slot_rows, slot_columns = product.interleave
        rows, columns = config.rows * slot_rows, config.columns * slot_columns
        group_rounds = config.max_group if product.ratio.is_dense else product.ratio.n
        groups = -(-product.kept // group_rounds)
        room = config.weight_buffer_words // 2 // slot_rows, config.activation_buffer_words // 2 // slot_columns
        most = min(room[0] * config.max_group // group_rounds, room[1])
        if most < 1 or slot_rows * columns > config.result_buffer_words:
            raise InputError(f"{product.layer}, {product.stage}: the buffers of {config.name} have no room for a tile")
        parts = -(-groups // most)
        part_groups = -(-groups // parts)
        parts = -(-groups // part_groups)
        tiles_m, tiles_n = -(-product.m // rows), -(-product.n // columns)
        weights = config.weight_buffer_words // (slot_rows * -(-part_groups * group_rounds // config.max_group))
        activations = config.activation_buffer_words // (slot_columns * part_groups)
        weights_held = tiles_n > 1 and tiles_m * parts <= weights
        activations_held = tiles_m > 1 and parts <= activations
        return cls(
            tiles_n=tiles_n,
            tiles_m=tiles_m,
            parts=parts,
            rows=rows,
            columns=columns,
            part_rounds=part_groups * group_rounds,
            part_groups=part_groups,
            group_rounds=group_rounds,
            weight_shares=tiles_m * parts if weights_held else min(MOST_SHARES, weights),
            activation_shares=min(activations, parts * 2) if activations_held else min(MOST_SHARES, activations),
            weights_held=weights_held,
            activations_held=activations_held,
        )


def emit(config: AcceleratorConfig, memory: Memory, product: Product, drain: Drain) -> Iterator[Command]:
    """The commands of a product and of its drain."""
    for single in product.singles():
        yield from _emit(config, memory, single, drain)


def _emit(config: AcceleratorConfig, memory: Memory, product: Product, drain: Drain) -> Iterator[Command]:
    tiling = Tiling.of(config, product)
    slot_rows, slot_columns = product.interleave
    weight_line = -(-tiling.part_rounds // config.max_group)
    yield _load(
        memory, product.weights, Source.WEIGHTS, tiling,
        lines=(Counter.MIDDLE, tiling.rows, config.rows), part=tiling.part_rounds, group=config.max_group,
        shares=tiling.weight_shares, share_words=slot_rows * weight_line, line_words=weight_line, held=tiling.weights_held,
    )  # fmt: skip
    group = config.max_group if product.ratio.is_dense else product.ratio.m
    yield _load(
        memory, product.activations, Source.ACTIVATIONS, tiling,
        lines=(Counter.OUTER, tiling.columns, config.columns), part=tiling.part_groups * group, group=group,
        shares=tiling.activation_shares, share_words=slot_columns * tiling.part_groups, line_words=tiling.part_groups,
        held=tiling.activations_held,
    )  # fmt: skip
    yield ProductCommand(
        outer=tiling.tiles_n,
        middle=tiling.tiles_m,
        inner=tiling.parts,
        rounds=product.kept,
        part_rounds=tiling.part_rounds,
        group_rounds=tiling.group_rounds,
        dense=int(product.ratio.is_dense),
        slot_rows=slot_rows,
        slot_columns=slot_columns,
        weight_shares=tiling.weight_shares,
        weight_share_words=slot_rows * weight_line,
        weight_line_words=weight_line,
        activation_shares=tiling.activation_shares,
        activation_share_words=slot_columns * tiling.part_groups,
        activation_line_words=tiling.part_groups,
        weights_held=int(tiling.weights_held),
        activations_held=int(tiling.activations_held),
    )
    yield from _drain(config, memory, product, tiling, drain)


def _load(
    memory: Memory,
    view: MatrixView,
    source: Source,
    tiling: Tiling,
    *,
    lines: tuple[Counter, int, int],
    part: int,
    group: int,
    shares: int,
    share_words: int,
    line_words: int,
    held: bool,
) -> Load:
    """One operand: lines move with `lines`' counter in tiles of its second number, its third are the array's."""
    counter, tile, height = lines
    found = access(view, memory[view.region])
    walk = found.tiled(
        rows=(counter, tile),
        columns=(Counter.INNER, part),
        boundary=height if found.across else group,
        # What is held is loaded once for all counts of the loop that does not move it.
        outer=1 if held and source is Source.WEIGHTS else tiling.tiles_n,
        middle=1 if held and source is Source.ACTIVATIONS else tiling.tiles_m,
        inner=tiling.parts,
    )
    return Load(
        source=source,
        walk=walk,
        across=int(found.across),
        group=group,
        shares=shares,
        share_words=share_words,
        line_words=line_words,
    )


def _drain(config: AcceleratorConfig, memory: Memory, product: Product, tiling: Tiling, drain: Drain) -> Iterator[Command]:
    lanes, view = config.vpu_lanes, product.output

    def walk(tensor: str, seen: MatrixView) -> Walk:
        return access(seen, memory[tensor], across=True).tiled(
            rows=(Counter.MIDDLE, tiling.rows),
            columns=(Counter.OUTER, tiling.columns),
            boundary=lanes,
            outer=tiling.tiles_n,
            middle=tiling.tiles_m,
        )

    if drain.bias:
        along = MatrixView(drain.bias, view.origin[-1:], (Loop(product.m, 0),), (Loop(product.n, 0, 0),))
        yield Load(source=Source.FACTORS, walk=walk(drain.bias, along))
    if drain.gate:
        yield Load(source=Source.GATE, walk=walk(drain.gate, view))
    chunks = sum(-(-min(tiling.rows, product.m - row) // lanes) for row in range(0, product.m, tiling.rows))
    yield Pass(
        words=product.n * chunks,
        steps=drain.steps,
        options=drain.options | FROM_SUMS | (SHIFT_FACTOR if drain.bias else 0),
        scale=drain.scale,
        outer=tiling.tiles_n,
        middle=tiling.tiles_m,
        columns=product.n,
        column_tile=tiling.columns,
        rows=product.m,
        row_tile=tiling.rows,
        slot_rows=product.interleave[0],
    )
    yield Store(sink=Sink.RESULTS, walk=walk(drain.tensor, view))
