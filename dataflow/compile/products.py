"""A product as commands: two loads and the tile loops."""

from dataclasses import dataclass, replace
from typing import Any

from dataflow.compile.memory import Memory
from dataflow.compile.walks import access
from dataflow.ir.program import Dataflow, Loop, MatrixView, Product
from dataflow.scheduling.tilings import MOST_SHARES, Tiling, Window, cut
from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.isa.commands import Command, Counter, Load, Source
from hw.isa.commands import Product as ProductCommand
from hw.isa.microarchitecture import RESULT_TILES
from hw.isa.operands import chunk_words


@dataclass(frozen=True)
class Begun:
    """A product without its drain.

    Parameters
    ----------
    commands : tuple of Command
        Its loads, and itself.
    tiling : Tiling
        How it is cut.
    output : MatrixView
        What its drain writes through.
    """

    commands: tuple[Command, ...]
    tiling: Tiling
    output: MatrixView

    @property
    def cuts(self) -> bool:
        """Whether the array cuts windows itself."""
        return any(isinstance(command, ProductCommand) and command.cuts for command in self.commands)


def begin_batch(config: AcceleratorConfig, memory: Memory, product: Product) -> Begun:
    """The operands of a dense product of two activations, `turned`, the same for any number of samples and heads.

    ::

        outer: each product of the batch, and its tiles of columns      middle: tiles of rows
        weights       lines move along with the inner count, positions, of all products, with the outer one
        activations   lines, of all products, move along with the outer count, whole tiles of each

    Columns of the last tile of a product that are beyond its own read as zeros and are not written.

    Raises
    ------
    InputError
        Where the buffers have no room for all of the reduction.
    """
    single = replace(next(product.singles()), dataflow=Dataflow.OUTPUT_STATIONARY)
    tiling = Tiling.of(config, single, early=False)
    if tiling.parts > 1:
        raise InputError(f"{product.layer}, {product.stage}: the buffers of {config.name} have no room for {product.k} terms")
    count, tiles = product.count, -(-single.n // tiling.columns)
    tiling = replace(tiling, tiles_n=count * tiles, columns=-(-single.n // tiles), weights_held=False)
    tiling = replace(tiling, weight_shares=min(MOST_SHARES, config.weight_buffer_words // tiling.weight_words[0]))
    weights, activations, output = product.weights, product.activations, product.output
    weights = replace(weights, each=(), columns=(*weights.each, *weights.columns))
    activations = replace(activations, each=(), rows=(*activations.each, *_padded(activations.rows, tiles, tiling.columns)))
    output = replace(output, each=(), columns=(*output.each, *_padded(output.columns, tiles, tiling.columns)))
    load = _load(
        config,
        memory, weights, Source.WEIGHTS, tiling,
        lines=(Counter.INNER, tiling.rows, config.rows), part=single.k, group=config.max_group, shares=tiling.weight_shares,
        words=tiling.weight_words, held=False, pieces=chunk_words(config, config.rows), positions=Counter.OUTER,
    )  # fmt: skip
    load = replace(load, walk=replace(load.walk, outer=count, middle=tiles, inner=tiling.tiles_m))
    return Begun((load, _activations(config, memory, activations, tiling), _command(single, tiling, None)), tiling, output)


def turned(product: Product) -> Product:
    """A dense product whose rows are what stands side by side in its output, so that a word of it is written at once."""
    last = len(product.output.origin) - 1
    if product.output.rows[-1].axis == last:
        return product
    turned = replace(product.output, rows=product.output.columns, columns=product.output.rows)
    rows, columns = product.interleave
    return replace(product, weights=product.activations, activations=product.weights, output=turned, interleave=(columns, rows))


def _padded(loops: tuple[Loop, ...], tiles: int, tile: int) -> tuple[Loop, ...]:
    """One loop as long as so many tiles."""
    (loop,) = loops
    return (replace(loop, size=tiles * tile),)


def begin(config: AcceleratorConfig, memory: Memory, product: Product) -> Begun:
    """The operands of a single product, windows of which the array cuts itself where it can."""
    window, tiling = cut(config, product, memory[product.activations.region].shape)
    load = _load(
        config,
        memory, product.weights, Source.WEIGHTS, tiling,
        lines=(Counter.MIDDLE, tiling.rows, config.rows), part=tiling.part_rounds, group=config.max_group,
        shares=tiling.weight_shares, words=tiling.weight_words, held=tiling.weights_held,
        pieces=chunk_words(config, config.rows),
    )  # fmt: skip
    activations = _activations(config, memory, window.lines if window else product.activations, tiling)
    return Begun((load, activations, _command(product, tiling, window)), tiling, product.output)


def product_cycles(config: AcceleratorConfig, product: Product, begun: Begun) -> tuple[float, float]:
    """Of the array, or of the port that brings operands, estimated: for all tiles, and for those that fit the output buffer."""
    tiling = begun.tiling
    tiles = tiling.tiles_n * tiling.tiles_m
    computed = tiles * product.kept * tiling.rows * tiling.columns / config.macs_per_cycle
    read = sum(
        walk.outer * walk.middle * walk.inner * (walk.u_tile * walk.v_tile << walk.size_log2)
        for walk in (load.walk for load in begun.commands if isinstance(load, Load))
    )
    cycles = max(computed, read / config.axi_data_bytes)
    room = min(RESULT_TILES, 2 * config.result_buffer_words // (tiling.vectors or tiling.slots[0] * tiling.columns))
    return cycles, cycles * room / tiles


def _activations(config: AcceleratorConfig, memory: Memory, view: MatrixView, tiling: Tiling) -> Load:
    return _load(
        config,
        memory, view, Source.ACTIVATIONS, tiling,
        lines=(Counter.OUTER, tiling.columns, 1 if tiling.vectors else config.columns), part=tiling.part_words * tiling.group,
        group=tiling.group, shares=tiling.activation_shares, words=tiling.activation_words, held=tiling.activations_held,
        pieces=1 if tiling.vectors or tiling.group < config.max_group else chunk_words(config, config.columns),
        spread=min(tiling.group_rounds, config.columns) if tiling.vectors else 0,
    )  # fmt: skip


def _command(product: Product, tiling: Tiling, window: Window | None) -> ProductCommand:
    return ProductCommand(
        outer=tiling.tiles_n,
        middle=tiling.tiles_m,
        inner=tiling.parts,
        rounds=product.kept,
        part_rounds=tiling.part_rounds,
        group_rounds=tiling.group_rounds,
        dense=int(product.ratio.is_dense),
        n=tiling.group_rounds if product.ratio.is_dense else product.ratio.n,
        m=tiling.group if product.ratio.is_dense else product.ratio.m,
        slot_rows=tiling.slots[0],
        slot_columns=tiling.slots[1],
        weight_shares=tiling.weight_shares,
        weight_share_words=tiling.weight_words[0],
        weight_line_words=tiling.weight_words[1],
        activation_shares=tiling.activation_shares,
        activation_share_words=tiling.activation_words[0],
        activation_line_words=tiling.activation_words[1],
        weights_held=int(tiling.weights_held),
        activations_held=int(tiling.activations_held),
        vectors=tiling.vectors,
        activation_word_step=tiling.word_step,
        **_taps(window, tiling),
    )


def _taps(window: Window | None, tiling: Tiling) -> dict[str, Any]:
    """The fields of a product that say where its windows are."""
    if not window:
        return {}
    pairs = {"taps": window.taps, "start": window.start, "step": window.step, "grid": window.grid}
    fields = {f"{name}_{axis}": value for name, pair in pairs.items() for axis, value in zip("yx", pair, strict=True)}
    return fields | {"tap_words": tiling.part_words, "ahead": tiling.ahead, "behind": tiling.behind}


def _load(
    config: AcceleratorConfig,
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
    pieces: int,
    spread: int = 0,
    positions: Counter = Counter.INNER,
) -> Load:
    """One operand: lines move with `lines`' counter in tiles of its second number, its third are those of a chunk."""
    counter, tile, height = lines
    found = access(config, view, memory[view.region])
    walk = found.tiled(
        rows=(counter, tile),
        columns=(positions, part),
        boundary=height if found.across else pieces * group,
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
        word_step=tiling.word_step if source is Source.ACTIVATIONS else 1,
        spread=spread,
    )
