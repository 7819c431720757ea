"""How a product is cut to fit the buffers, and what that makes of its traffic and its cycles.

Each operand buffer is split into equal shares: one is computed from while the others are loaded. An operand is read again for
every pass over the other one, unless its share holds it for longer::

    order             weights are read          activations are read
    keep weights      once                      once a block of weight rows that fits with its whole reduction
    keep activations  once a block of columns   once
    stream            once a tile column        once a tile row

and either of them only once where all of it fits. A block of activations is held as the rows of the tensor that it touches;
windows are cut from it on the chip, so that a pass over the activations moves each element once a block. Where no block fits
with its whole reduction, as in weight gradients, windows pass by one after the other. Tiles accumulate their whole reduction
inside the array, so that no partial sum goes to memory.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, prod

from dataflow.footprint import Blocks, accesses, blocks
from dataflow.program import Dataflow, MatrixView, Product, Region
from dataflow.timing import TileShape, tile
from hw.config import AcceleratorConfig
from hw.errors import InputError


@dataclass(frozen=True)
class Schedule:
    """A product's blocks, traffic and predicted cycles.

    Parameters
    ----------
    order : str
        ``"keep weights"``, ``"keep activations"`` or ``"stream"``.
    split : int
        Shares of each operand buffer.
    weight_reads, activation_reads : int
        How often each operand is read from memory.
    load_bytes : int
        Traffic of the whole product.
    first_bytes : int
        What must be there before the first step.
    count : int
        Products of a batch, one after the other.
    units : int
        Pieces that all of them are loaded and computed in: tiles, or parts of a tile's reduction.
    parts : int
        Pieces of a tile.
    tile_steps : int
        Steps of the array for a tile.
    flush_steps : int
        Steps that empty the array after each product of the batch.
    start_cycles, stall_cycles : int
        Predicted with a free memory channel: until the first operands are there, and how long the array waits after that.
    """

    order: str
    split: int
    weight_reads: int
    activation_reads: int
    load_bytes: int
    first_bytes: int
    count: int
    units: int
    parts: int
    tile_steps: int
    flush_steps: int
    start_cycles: int
    stall_cycles: int

    @property
    def steps(self) -> int:
        """Steps of the array for all products."""
        return self.units // self.parts * self.tile_steps + self.count * self.flush_steps

    @property
    def predicted_cycles(self) -> int:
        """From the first step to the last; what comes before may overlap with the product before."""
        return self.steps + self.stall_cycles

    @property
    def rank(self) -> tuple[int, int, int]:
        """Plans in order of preference: fewest cycles, then least traffic, which others wait for, then the earliest start."""
        return self.predicted_cycles, self.load_bytes, self.start_cycles


def schedule(config: AcceleratorConfig, product: Product, regions: Mapping[str, Region]) -> Schedule:
    """What follows from the dataflow, interleaving, loop order and buffer split that `product` carries.

    Raises
    ------
    InputError
        If a buffer is too small for the smallest block, or for the order.
    """
    plans = {plan.order: plan for plan in schedules(config, product, regions)}
    if product.order not in plans:
        raise InputError(
            f"{product.layer}, {product.stage}: {product.order!r} does not fit the buffers; allowed: {', '.join(plans)}"
        )
    return plans[product.order]


def schedules(config: AcceleratorConfig, product: Product, regions: Mapping[str, Region]) -> Iterator[Schedule]:
    """The product in every loop order that the shares of the buffers have room for."""
    fit = _Fit.of(config, product, regions)
    _check(config, product, fit.parts)
    for order in fit.orders():
        yield fit.plan(config, product, order)


@dataclass(frozen=True)
class _Order:
    """A loop order and how often it reads each operand."""

    order: str
    weight_reads: int
    activation_reads: int


@dataclass(frozen=True)
class _Fit:
    """A single product of a batch beside the shares of the buffers.

    Parameters
    ----------
    tiles : TileShape
        Its tiles.
    weights : int
        Bytes of the weights.
    gathered : int
        Bytes of the activations with every window by itself.
    block : Blocks or None
        The largest block of activations that a share of the buffer holds with the whole reduction, each element once.
    word : int
        Bytes of an activation.
    weight_share, activation_share : int
        Bytes of the shares.
    flush : int
        Steps in which nothing is computed between products.
    """

    tiles: TileShape
    weights: int
    gathered: int
    block: Blocks | None
    word: int
    weight_share: int
    activation_share: int
    flush: int

    @classmethod
    def of(cls, config: AcceleratorConfig, product: Product, regions: Mapping[str, Region]) -> "_Fit":
        """What `schedule` decides from."""
        tiles = tile(config, product.m, product.n, product.kept, product.interleave, product.dataflow)
        weights, gathered = (
            -(-_operand_bytes(config, product, regions, weights=west) // product.count) for west in (True, False)
        )
        word, share = config.storage_format.width // 8, config.n2s_buffer_bytes // product.split
        single = product.activations.single(0)
        block = largest_block(single, regions[single.region].shape, share // word, -(-product.n // tiles.tiles_n))
        stationary = product.dataflow is Dataflow.WEIGHT_STATIONARY
        flush = tiles.flush_steps + 1 if stationary else 0
        return cls(tiles, weights, gathered, block, word, config.w2e_buffer_bytes // product.split, share, flush)

    @property
    def tile_weights(self) -> int:
        """Bytes of a tile row's weights."""
        return -(-self.weights // self.tiles.tiles_m)

    @property
    def tile_activations(self) -> int:
        """Bytes of a tile column's activations."""
        return -(-self.activations // self.tiles.tiles_n)

    @property
    def activations(self) -> int:
        """Bytes of one pass over the activations: what blocks share once for each, and every window where none fits."""
        return max(1, self.block.total * self.word) if self.block else self.gathered

    @property
    def parts(self) -> int:
        """Pieces in which a tile is loaded."""
        return max(1, -(-self.tile_weights // self.weight_share), -(-self.tile_activations // self.activation_share))

    def plan(self, config: AcceleratorConfig, product: Product, order: _Order) -> Schedule:
        """The product in `order`."""
        traffic = order.weight_reads * self.weights + order.activation_reads * self.activations
        tiles = self.tiles.tiles_m * self.tiles.tiles_n
        tile_steps, pieces = self.tiles.steps // tiles, product.count * tiles * self.parts
        first_bytes = min((self.tile_weights + self.tile_activations) // self.parts, traffic)
        load_bytes = product.count * traffic
        first, load = (ceil(size / config.dram_bytes_per_cycle) for size in (first_bytes, load_bytes))
        # a piece waits for the array, for the memory channel, or for the share that the piece `split` before it frees
        turn = (config.dram_latency_cycles + load / pieces + tile_steps / self.parts) / product.split
        waits = max(0.0, load / pieces - tile_steps / self.parts, turn - tile_steps / self.parts)
        return Schedule(
            order=order.order,
            split=product.split,
            weight_reads=order.weight_reads,
            activation_reads=order.activation_reads,
            load_bytes=load_bytes,
            first_bytes=first_bytes,
            count=product.count,
            units=pieces,
            parts=self.parts,
            tile_steps=tile_steps,
            flush_steps=self.flush,
            start_cycles=config.dram_latency_cycles + first,
            stall_cycles=ceil(pieces * waits),
        )

    def orders(self) -> Iterator[_Order]:
        """All orders that fit."""
        rows, block = self.weight_share // self.tile_weights, self.block
        one_block = block is not None and block.count == 1
        if block is not None:  # a tile's weights that do not stay for a block pass by for every column of tiles
            passes = block.count if rows else self.tiles.tiles_n
            yield _Order("keep activations", 1 if self.weights <= self.weight_share else passes, 1)
        if rows:
            height = rows if block is not None else 1
            yield _Order("keep weights", 1, 1 if one_block else -(-self.tiles.tiles_m // height))
        whole_weights = self.weights <= self.weight_share
        yield _Order("stream", 1 if whole_weights else self.tiles.tiles_n, 1 if one_block else self.tiles.tiles_m)


@lru_cache(maxsize=4096)
def largest_block(view: MatrixView, shape: tuple[int, ...], elements: int, least: int) -> Blocks | None:
    """The largest block of the view's rows that is at most `elements` large and at least `least` rows long, if any."""
    for place, loop in enumerate(view.rows):
        if blocks(view, shape, place, 1).elements > elements:
            continue
        low, high = 1, loop.size
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if blocks(view, shape, place, middle).elements <= elements else (low, middle - 1)
        if place == len(view.rows) - 1 and low < loop.size:
            low = max(low // least * least, 1)
        found = blocks(view, shape, place, low)
        return found if found.rows >= min(least, prod(outer.size for outer in view.rows)) else None
    return None


def element_bits(config: AcceleratorConfig, product: Product, *, weights: bool) -> int:
    """Bits of an operand's element in memory; a packed weight carries its index."""
    index = product.ratio.index_bits if weights and not product.ratio.is_dense else 0
    return config.storage_format.width + index


def _operand_bytes(config: AcceleratorConfig, product: Product, regions: Mapping[str, Region], *, weights: bool) -> int:
    view = product.weights if weights else product.activations
    return max(1, -(-accesses(view, regions[view.region].shape) * element_bits(config, product, weights=weights) // 8))


def _check(config: AcceleratorConfig, product: Product, parts: int) -> None:
    """Both halves of every buffer must hold the least that a tile needs."""
    slot_rows, slot_columns = product.interleave
    outputs = 4 * config.rows * slot_rows * config.columns * slot_columns
    if 2 * outputs > config.output_buffer_bytes:
        raise InputError(
            f"output_buffer_bytes of {config.name} must be at least {2 * outputs}, two tiles of sums,"
            f" not {config.output_buffer_bytes}"
        )
    if parts > product.kept // product.ratio.n:
        raise InputError(
            f"w2e_buffer_bytes and n2s_buffer_bytes of {config.name} are too small for {product.layer}, {product.stage}:"
            f" one of {product.split} shares of each must hold one group of every row and column of a tile"
        )
