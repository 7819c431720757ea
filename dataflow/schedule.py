"""How a product is cut to fit the buffers, with the least memory traffic.

Half of each buffer is computed from while the other half is loaded. An operand is read again for every pass over the other
one, unless its half holds it for longer::

    order             weights are read          activations are read
    keep weights      once                      once a block of weight rows that fits with its whole reduction
    keep activations  once a block of columns   once
    stream            once a tile column        once a tile row

and either of them only once where all of it fits. Tiles accumulate their whole reduction inside the array, so that no partial
sum goes to memory.
"""

from dataclasses import dataclass

from dataflow.footprint import accesses
from dataflow.program import Product, Region
from dataflow.timing import tile
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


def schedule(config: AcceleratorConfig, product: Product, regions: dict[str, Region]) -> Schedule:
    """The order of least traffic for `product`.

    Raises
    ------
    InputError
        If a buffer is too small for the smallest block.
    """
    tiles = tile(config, product.m, product.n, product.kept, product.interleave)
    weights = -(-_operand_bytes(config, product, regions, weights=True) // product.count)
    activations = -(-_operand_bytes(config, product, regions, weights=False) // product.count)
    tile_weights, tile_activations = -(-weights // tiles.tiles_m), -(-activations // tiles.tiles_n)
    weight_half, activation_half = config.w2e_buffer_bytes // 2, config.n2s_buffer_bytes // 2
    rows, columns = weight_half // tile_weights, activation_half // tile_activations

    def once_or(times: int, size: int, half: int) -> int:
        return 1 if size <= half else times

    orders = []
    if columns:  # a block is more than a column wide only if a tile's weights stay for the whole block
        width = columns if rows else 1
        orders.append(("keep activations", once_or(-(-tiles.tiles_n // width), weights, weight_half), 1))
    if rows:
        height = rows if columns else 1
        orders.append(("keep weights", 1, once_or(-(-tiles.tiles_m // height), activations, activation_half)))
    stream = once_or(tiles.tiles_n, weights, weight_half), once_or(tiles.tiles_m, activations, activation_half)
    orders.append(("stream", *stream))
    order, weight_reads, activation_reads = min(orders, key=lambda o: o[1] * weights + o[2] * activations)
    parts = max(1, -(-tile_weights // weight_half), -(-tile_activations // activation_half))
    _check(config, product, parts)
    return Schedule(
        order=order,
        weight_reads=weight_reads,
        activation_reads=activation_reads,
        load_bytes=product.count * (weight_reads * weights + activation_reads * activations),
        first_bytes=(tile_weights + tile_activations) // parts,
        units=product.count * tiles.tiles_m * tiles.tiles_n * parts,
        steps=product.count * tiles.steps,
    )


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
