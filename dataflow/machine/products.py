"""A product as commands: two loads, the tile loops, and what takes its sums."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from dataflow.machine.memory import Memory
from dataflow.machine.walks import access
from dataflow.program import Dataflow, Loop, MatrixView, Product
from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.isa.bits import PassOption
from hw.isa.checks import most_vectors
from hw.isa.commands import Command, Counter, Load, Pass, Sink, Source, Store, Walk
from hw.isa.commands import Product as ProductCommand
from hw.isa.microarchitecture import HELD_WORDS

MOST_SHARES = 4
"""Of a buffer: more are of no use, since the loads of all but one of them are on their way already."""


@dataclass(frozen=True, kw_only=True)
class Drain:
    """What is done with sums as they leave, and where they go.

    Parameters
    ----------
    steps, options : int
        As in `hw.isa.commands.Pass`.
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
    slots : (int, int)
        Interleave slots on rows and columns.
    vectors : int
        `columns` where weights stay, else 0.
    part_rounds, part_groups : int
        Kept elements, and groups of activations, of a part of the reduction.
    group_rounds : int
        Kept elements of a group.
    weight_words, activation_words : (int, int)
        Words of a share, and of a line in it.
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
    slots: tuple[int, int]
    vectors: int
    part_rounds: int
    part_groups: int
    group_rounds: int
    weight_words: tuple[int, int]
    activation_words: tuple[int, int]
    weight_shares: int
    activation_shares: int
    weights_held: bool
    activations_held: bool

    @classmethod
    def of(cls, config: AcceleratorConfig, product: Product) -> "Tiling":
        """The fewest parts that leave room for two shares; operands are held where a buffer has room for all that is.

        Where weights stay, tiles are equal shares of the columns, as many as fit partial sums and half of each buffer.

        Raises
        ------
        InputError
            Where a buffer has no room for two shares of one group, or for a tile of sums; where weights cannot stay.
        """
        stationary = product.dataflow is Dataflow.WEIGHT_STATIONARY
        slot_rows, slot_columns = slots = (1, 1) if stationary else product.interleave
        vectors = _vectors(config, product) if stationary else 0
        rows, columns = config.rows * slot_rows, vectors or config.columns * slot_columns
        group_rounds = config.max_group if product.ratio.is_dense else product.ratio.n
        # Kept elements for which a line has one word of activations, and lines of a bank.
        unit, lines = (max(group_rounds, config.columns), vectors) if stationary else (group_rounds, slot_columns)
        units = -(-product.kept // unit)
        room = config.weight_buffer_words // 2 // slot_rows, config.activation_buffer_words // 2 // lines
        most = min(room[0] * config.max_group // unit, room[1])
        if most < 1 or slot_rows * columns > config.result_buffer_words:
            raise InputError(f"{product.layer}, {product.stage}: the buffers of {config.name} have no room for a tile")
        parts = -(-units // most)
        part_units = -(-units // parts)
        parts = -(-units // part_units)
        tiles_m, tiles_n = -(-product.m // rows), -(-product.n // columns)
        weight_line = -(-part_units * unit // config.max_group)
        weight_words, activation_words = (slot_rows * weight_line, weight_line), (lines * part_units, part_units)
        weights = config.weight_buffer_words // weight_words[0]
        activations = config.activation_buffer_words // activation_words[0]
        weights_held = tiles_n > 1 and tiles_m * parts <= weights
        activations_held = tiles_m > 1 and parts <= activations
        return cls(
            tiles_n=tiles_n,
            tiles_m=tiles_m,
            parts=parts,
            rows=rows,
            columns=columns,
            slots=slots,
            vectors=vectors,
            part_rounds=part_units * unit,
            part_groups=part_units * unit // group_rounds,
            group_rounds=group_rounds,
            weight_words=weight_words,
            activation_words=activation_words,
            weight_shares=tiles_m * parts if weights_held else min(MOST_SHARES, weights),
            activation_shares=min(activations, parts * 2) if activations_held else min(MOST_SHARES, activations),
            weights_held=weights_held,
            activations_held=activations_held,
        )


def _vectors(config: AcceleratorConfig, product: Product) -> int:
    """Columns of a tile where weights stay."""
    if config.columns & (config.columns - 1):
        raise InputError(
            f"{product.layer}, {product.stage}: dataflow must be os on an accelerator whose columns are no power of two, "
            f"not {product.dataflow} (columns = {config.columns})"
        )
    if not product.ratio.is_dense and product.ratio.n & (product.ratio.n - 1):
        raise InputError(
            f"{product.layer}, {product.stage}: dataflow must be os for a ratio whose N is no power of two, "
            f"not {product.dataflow} ({product.ratio})"
        )
    most = min(most_vectors(config), config.activation_buffer_words // 2)
    return -(-product.n // max(1, -(-product.n // max(1, most))))


def emit(config: AcceleratorConfig, memory: Memory, product: Product, drain: Drain) -> Iterator[Command]:
    """The commands of a product and of its drain."""
    for single in product.singles():
        yield from _emit(config, memory, single, drain)


def _emit(config: AcceleratorConfig, memory: Memory, product: Product, drain: Drain) -> Iterator[Command]:
    tiling = Tiling.of(config, product)
    slot_rows, slot_columns = tiling.slots
    yield _load(
        memory, product.weights, Source.WEIGHTS, tiling,
        lines=(Counter.MIDDLE, tiling.rows, config.rows), part=tiling.part_rounds, group=config.max_group,
        shares=tiling.weight_shares, words=tiling.weight_words, held=tiling.weights_held,
    )  # fmt: skip
    group = config.max_group if product.ratio.is_dense else product.ratio.m
    yield _load(
        memory, product.activations, Source.ACTIVATIONS, tiling,
        lines=(Counter.OUTER, tiling.columns, 1 if tiling.vectors else config.columns), part=tiling.part_groups * group,
        group=group, shares=tiling.activation_shares, words=tiling.activation_words, held=tiling.activations_held,
        spread=min(tiling.group_rounds, config.columns) if tiling.vectors else 0,
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
        weight_share_words=tiling.weight_words[0],
        weight_line_words=tiling.weight_words[1],
        activation_shares=tiling.activation_shares,
        activation_share_words=tiling.activation_words[0],
        activation_line_words=tiling.activation_words[1],
        weights_held=int(tiling.weights_held),
        activations_held=int(tiling.activations_held),
        vectors=tiling.vectors,
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
    words: tuple[int, int],
    held: bool,
    spread: int = 0,
) -> Load:
    """One operand: lines move with `lines`' counter in tiles of its second number, its third are those of a chunk."""
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
        share_words=words[0],
        line_words=words[1],
        spread=spread,
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

    chunks = sum(-(-min(tiling.rows, product.m - row) // lanes) for row in range(0, product.m, tiling.rows))
    held = chunks if drain.bias and chunks <= HELD_WORDS else 0
    if drain.bias:
        times = 1 if held else product.n
        along = MatrixView(drain.bias, view.origin[-1:], (Loop(product.m, 0),), (Loop(times, 0, 0),))
        once: dict[str, Any] = {"outer": 1, "v_size": 1, "v_tile": 1, "v_counter": Counter.NONE} if held else {}
        yield Load(source=Source.FACTORS, walk=replace(walk(drain.bias, along), **once))
    if drain.gate:
        yield Load(source=Source.GATE, walk=walk(drain.gate, view))
    yield Pass(
        words=product.n * chunks,
        steps=drain.steps,
        options=drain.options | PassOption.FROM_SUMS | (PassOption.SHIFT_FACTOR if drain.bias else 0),
        outer=tiling.tiles_n,
        middle=tiling.tiles_m,
        columns=product.n,
        column_tile=tiling.columns,
        rows=product.m,
        row_tile=tiling.rows,
        slot_rows=tiling.slots[0],
        held=held,
        held_block=-(-tiling.rows // lanes),
    )
    yield Store(sink=Sink.RESULTS, walk=walk(drain.tensor, view))
