"""How a product is cut to fit the buffers, with the least memory traffic.

Half of each buffer is computed from while the other half is loaded. An operand is read again for every pass over the other
one, unless its half holds it for longer::

    order             weights are read          activations are read
    keep weights      once                      once a block of weight rows that fits with its whole reduction
    keep activations  once a block of columns   once
    stream            once a tile column        once a tile row

and either of them only once where all of it fits. A block of activations is held as the rows of the tensor that it touches;
windows are cut from it on the chip, so that a pass over the activations moves each element once a block. Where no block fits
with its whole reduction, as in weight gradients, windows pass by one after the other. Tiles accumulate their whole reduction
inside the array, so that no partial sum goes to memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from dataflow.footprint import Blocks, accesses, blocks
from dataflow.program import Dataflow, MatrixView, Product, Region
from dataflow.timing import TileShape, tile
from hw.config import AcceleratorConfig
from hw.errors import InputError


@dataclass(frozen=True)
class Schedule:
    """A product's blocks and traffic.

    Parameters
    ----------
    order : str
        ``"keep weights"``, ``"keep activations"`` or ``"stream"``.
    weight_reads, activation_reads : int
        How often each operand is read from memory.
    load_bytes : int
        Traffic of the whole product.
    first_bytes : int
        What must be there before the first step.
    units : int
        Equal pieces that the product is loaded and computed in: tiles, or parts of a tile's reduction.
    steps : int
        Steps of the array.
    """

    order: str
    weight_reads: int
    activation_reads: int
    load_bytes: int
    first_bytes: int
    units: int
    steps: int


def schedule(config: AcceleratorConfig, product: Product, regions: dict[str, Region], order: str | None = None) -> Schedule:
    """The order of least traffic for `product`, or the one that is given.

    Raises
    ------
    InputError
        If a buffer is too small for the smallest block, or for the order that is given.
    """
    fit = _Fit.of(config, product, regions)
    orders = {found.order: found for found in fit.orders()}
    if order is not None and order not in orders:
        raise InputError(f"{product.layer}, {product.stage}: {order!r} does not fit the buffers; allowed: {', '.join(orders)}")
    best = orders[order] if order else min(orders.values(), key=fit.traffic)
    parts = fit.parts
    _check(config, product, parts)
    return Schedule(
        order=best.order,
        weight_reads=best.weight_reads,
        activation_reads=best.activation_reads,
        load_bytes=product.count * fit.traffic(best),
        first_bytes=(fit.tile_weights + fit.tile_activations) // parts,
        units=product.count * fit.tiles.tiles_m * fit.tiles.tiles_n * parts,
        steps=product.count * (fit.tiles.steps + fit.flush),
    )


@dataclass(frozen=True)
class _Order:
    """A loop order and how often it reads each operand."""

    order: str
    weight_reads: int
    activation_reads: int


@dataclass(frozen=True)
class _Fit:
    """A single product of a batch beside the halves of the buffers.

    Parameters
    ----------
    tiles : TileShape
        Its tiles.
    weights : int
        Bytes of the weights.
    gathered : int
        Bytes of the activations with every window by itself.
    block : Blocks or None
        The largest block of activations that a half of the buffer holds with the whole reduction, each element once.
    word : int
        Bytes of an activation.
    weight_half, activation_half : int
        Bytes of the halves.
    flush : int
        Steps in which nothing is computed between products.
    """

    tiles: TileShape
    weights: int
    gathered: int
    block: Blocks | None
    word: int
    weight_half: int
    activation_half: int
    flush: int

    @classmethod
    def of(cls, config: AcceleratorConfig, product: Product, regions: dict[str, Region]) -> "_Fit":
        """What `schedule` decides from."""
        tiles = tile(config, product.m, product.n, product.kept, product.interleave, product.dataflow)
        weights, gathered = (
            -(-_operand_bytes(config, product, regions, weights=west) // product.count) for west in (True, False)
        )
        word, half = config.storage_format.width // 8, config.n2s_buffer_bytes // 2
        single = product.activations.single(0)
        block = largest_block(single, regions[single.region].shape, half // word, -(-product.n // tiles.tiles_n))
        stationary = product.dataflow is Dataflow.WEIGHT_STATIONARY
        flush = tiles.flush_steps + 1 if stationary else 0
        return cls(tiles, weights, gathered, block, word, config.w2e_buffer_bytes // 2, half, flush)

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
        return max(1, -(-self.tile_weights // self.weight_half), -(-self.tile_activations // self.activation_half))

    def traffic(self, order: _Order) -> int:
        """Bytes that the product loads."""
        return order.weight_reads * self.weights + order.activation_reads * self.activations

    def orders(self) -> Iterator[_Order]:
        """All orders that fit."""
        rows, block = self.weight_half // self.tile_weights, self.block
        one_block = block is not None and block.count == 1
        if block is not None:  # a tile's weights that do not stay for a block pass by for every column of tiles
            passes = block.count if rows else self.tiles.tiles_n
            yield _Order("keep activations", 1 if self.weights <= self.weight_half else passes, 1)
        if rows:
            height = rows if block is not None else 1
            yield _Order("keep weights", 1, 1 if one_block else -(-self.tiles.tiles_m // height))
        whole_weights = self.weights <= self.weight_half
        yield _Order("stream", 1 if whole_weights else self.tiles.tiles_n, 1 if one_block else self.tiles.tiles_m)


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


def _operand_bytes(config: AcceleratorConfig, product: Product, regions: dict[str, Region], *, weights: bool) -> int:
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
            " half of each must hold one group of every row and column of a tile"
        )
