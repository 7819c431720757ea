"""How the buffers are shared between the parts of a product's operands, and which windows the array cuts itself."""

from dataclasses import dataclass
from math import lcm, prod

from dataflow.ir.program import Dataflow, Loop, MatrixView, Product, Stage
from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.isa.bounds import most_vectors
from hw.isa.operands import GRID_BITS, MOST_TAPS, is_skewed
from hw.ratio import Ratio

MOST_SHARES, MANY_SHARES = 4, 16
"""Of a buffer, where a share is a whole reduction, and where it is a part: more are of no use, as their loads are under way."""

EARLY_PARTS, EARLY_ROUNDS = 8, 64
"""Parts that a reduction has even if fewer would fit, each of some kept elements at least: the array begins with the first."""

MANY_PARTS = 16
"""Of a reduction: of so many, a sixteenth more, or a last one that is shorter, cost less than a hundredth."""

MANY_ROWS = 8
"""Of an image in a part: parts are then so long that a third more of them cost less than that."""


@dataclass(frozen=True)
class Window:
    """Activations as pixels of images, of which the array cuts windows itself.

    Parameters
    ----------
    lines : MatrixView
        The pixels, a row each, image by image; their channels are columns.
    taps, start, step, grid : (int, int)
        Of rows and columns: taps, the first one's place from a pixel on, what is between them, and the size of an image.
    """

    lines: MatrixView
    taps: tuple[int, int]
    start: tuple[int, int]
    step: tuple[int, int]
    grid: tuple[int, int]

    @classmethod
    def of(cls, config: AcceleratorConfig, product: Product, shape: tuple[int, ...]) -> "Window | None":
        """Those of a product whose columns are all pixels of some images, of a tensor of this shape; None of any other."""
        view = product.activations
        *taps, channels = view.columns or (Loop(1, 0),)
        axes = [loop.axis for loop in taps]
        spatial = list(range(len(shape) - 1 - len(taps), len(shape) - 1))
        pixels = [(loop.axis, loop.size, loop.step) for loop in view.rows]
        if product.dataflow is Dataflow.WEIGHT_STATIONARY or not is_skewed(config.columns):
            return None
        if not 1 <= len(taps) <= 2 or axes != spatial or channels.axis != len(shape) - 1:
            return None
        images = [loop.size for loop in view.rows[: spatial[0]]]
        if pixels != [(axis, size, 1) for axis, size in enumerate((*images, *shape[spatial[0] : -1]))]:
            return None
        sizes, steps = tuple(loop.size for loop in taps), tuple(loop.step for loop in taps)
        starts, grid = tuple(view.origin[axis] for axis in spatial), tuple(shape[axis] for axis in spatial)
        if prod(sizes) == 1 or max(sizes) > MOST_TAPS or max(grid) >= 1 << GRID_BITS:
            return None
        if len(taps) == 1:
            sizes, steps, starts, grid = (1, *sizes), (0, *steps), (0, *starts), (1, *grid)
        origin = tuple(0 if axis in spatial else place for axis, place in enumerate(view.origin))
        lines = MatrixView(view.region, origin, view.rows, (channels,))
        return cls(lines, (sizes[0], sizes[1]), (starts[0], starts[1]), (steps[0], steps[1]), (grid[0], grid[1]))

    def reach(self, lines: int) -> tuple[int, int]:
        """Shares of so many lines that windows reach behind a tile's own, and before it."""
        moves = [
            (self.start[0] + y * self.step[0]) * self.grid[1] + self.start[1] + x * self.step[1]
            for y in range(self.taps[0])
            for x in range(self.taps[1])
        ]
        return -(-max(0, *moves) // lines), -(-max(0, *(-move for move in moves)) // lines)


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
    part_rounds, part_words : int
        Kept elements, and words of activations, of a part of the reduction.
    group, group_rounds : int
        Elements of a buffer word that are used, and kept elements for which they serve: of several groups where these fit.
    weight_words, activation_words : (int, int)
        Words of a share, and of a line in it.
    weight_shares, activation_shares : int
        Shares of the buffers.
    weights_held, activations_held : bool
        Whether an operand stays while the loop that does not move it runs.
    word_step : int
        Words from one word of a line of activations to the next.
    ahead, behind : int
        Shares that windows reach behind a tile's own, and before it.
    """

    tiles_n: int
    tiles_m: int
    parts: int
    rows: int
    columns: int
    slots: tuple[int, int]
    vectors: int
    part_rounds: int
    part_words: int
    group: int
    group_rounds: int
    weight_words: tuple[int, int]
    activation_words: tuple[int, int]
    weight_shares: int
    activation_shares: int
    weights_held: bool
    activations_held: bool
    word_step: int = 1
    ahead: int = 0
    behind: int = 0

    @classmethod
    def of_window(cls, config: AcceleratorConfig, product: Product, window: Window) -> "Tiling | None":
        """The whole reduction in one part, pixels in a ring of shares; None where the buffers have no room for that.

        A word of activations holds what divides a pixel's channels, so that no word has parts of two taps.
        """
        taps = prod(window.taps)
        group, group_rounds = _word_of_tap(config, product, product.kept // taps)
        tap_words = product.kept // taps // group_rounds
        weight_line = -(-product.kept // config.max_group)
        for slot_rows, slot_columns in dict.fromkeys((product.interleave, (1, config.interleave_slots))):
            rows, columns = config.rows * slot_rows, config.columns * slot_columns
            tiles_m, tiles_n = -(-product.m // rows), -(-product.n // columns)
            if tiles_m * tiles_n * slot_rows * slot_columns > 2 * _slots_used(config, product):
                continue  # gathered columns cost less than ones that stay empty
            ahead, behind = window.reach(columns)
            weights = config.weight_buffer_words // (slot_rows * weight_line)
            most = config.activation_buffer_words // (slot_columns * tap_words)
            if weights < 2 or most < min(tiles_n, ahead + behind + 2) or slot_rows * columns > config.result_buffer_words:
                continue
            shares = min(tiles_n, most, ahead + behind + MOST_SHARES)
            weights_held = tiles_n > 1 and tiles_m <= weights
            return cls(
                tiles_n=tiles_n,
                tiles_m=tiles_m,
                parts=1,
                rows=rows,
                columns=columns,
                slots=(slot_rows, slot_columns),
                vectors=0,
                part_rounds=product.kept,
                part_words=tap_words,
                group=group,
                group_rounds=group_rounds,
                weight_words=(slot_rows * weight_line, weight_line),
                activation_words=(slot_columns, 1),
                weight_shares=tiles_m if weights_held else min(MOST_SHARES, weights),
                activation_shares=shares,
                weights_held=weights_held,
                activations_held=True,
                word_step=shares * slot_columns,
                ahead=ahead,
                behind=behind,
            )
        return None

    @classmethod
    def of(cls, config: AcceleratorConfig, product: Product, *, early: bool = True) -> "Tiling":
        """Parts that leave room for two shares; operands are held where a buffer has room for all that is.

        There are some parts even if fewer had room, so that the array begins `early`. Where weights stay, tiles are equal
        shares of the columns, as many as fit partial sums and half of each buffer.

        Raises
        ------
        InputError
            Where a buffer has no room for two shares of one group, or for a tile of sums; where weights cannot stay.
        """
        stationary = product.dataflow is Dataflow.WEIGHT_STATIONARY
        slot_rows, slot_columns = slots = (1, 1) if stationary else product.interleave
        vectors = _vectors(config, product) if stationary else 0
        rows, columns = config.rows * slot_rows, vectors or config.columns * slot_columns
        group, group_rounds = _word(config, product.ratio)
        # Kept elements for which a line has one word of activations, and lines of a bank.
        unit, lines = (max(group_rounds, config.columns), vectors) if stationary else (group_rounds, slot_columns)
        units = -(-product.kept // unit)
        room = config.weight_buffer_words // 2 // slot_rows, config.activation_buffer_words // 2 // lines
        most = min(room[0] * config.max_group // unit, room[1])
        _check_room(config, product, (slot_rows * -(-unit // config.max_group), lines, slot_rows * columns))
        if early and not stationary:
            most = min(most, max(-(-units // EARLY_PARTS), -(-EARLY_ROUNDS // unit)))
        part_units = _part_units(product, unit, units, most)
        parts = -(-units // part_units)
        tiles_m, tiles_n = -(-product.m // rows), -(-product.n // columns)
        weight_line = -(-part_units * unit // config.max_group)
        weight_words, activation_words = (slot_rows * weight_line, weight_line), (lines * part_units, part_units)
        weights = config.weight_buffer_words // weight_words[0]
        activations = config.activation_buffer_words // activation_words[0]
        shares = min(MOST_SHARES * parts, MANY_SHARES)
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
            part_words=part_units * unit // group_rounds,
            group=group,
            group_rounds=group_rounds,
            weight_words=weight_words,
            activation_words=activation_words,
            weight_shares=tiles_m * parts if weights_held else min(shares, weights),
            activation_shares=min(activations, parts * 2) if activations_held else min(shares, activations),
            weights_held=weights_held,
            activations_held=activations_held,
        )

    def weight_elements(self, product: Product) -> int:
        """How many are loaded."""
        return product.m * product.kept * (1 if self.weights_held else self.tiles_n)

    def activation_elements(self, product: Product) -> int:
        """How many are loaded."""
        return product.n * self.parts * self.part_words * self.group * (1 if self.activations_held else self.tiles_m)


def _check_room(config: AcceleratorConfig, product: Product, words: tuple[int, int, int]) -> None:
    """`InputError` unless there is room for two shares of so many words of weights and activations, and two tiles of sums."""
    width = config.storage_format.width
    bits = (
        config.rows * config.max_group * (width + config.index_bits),
        config.columns * config.max_group * width,
        32 * config.rows,
    )
    names = ("w2e_buffer_bytes", "n2s_buffer_bytes", "output_buffer_bytes")
    for name, word_bits, count in zip(names, bits, words, strict=True):
        least, given = -(-2 * count * word_bits // 8), getattr(config, name)
        if given < least:
            what = "two tiles of sums" if name == names[2] else "two shares of one group for a tile"
            where = f"{product.layer}, {product.stage}"
            raise InputError(f"{where}: {name} of {config.name} must be at least {least}, {what}, not {given}")


def _slots_used(config: AcceleratorConfig, product: Product) -> int:
    """Slots of all tiles where they are interleaved as the schedule has it."""
    rows, columns = product.interleave
    return -(-product.m // (config.rows * rows)) * -(-product.n // (config.columns * columns)) * rows * columns


def _part_units(product: Product, unit: int, units: int, most: int) -> int:
    """Units of a part, `most` at most: as few equal parts as that leaves, cut between images or their rows if that is as good.

    Parts that begin at the same pixel take the same cycles, which the machine then need not step one by one. Of parts of many
    rows an image has a whole number, even if they are some more.
    """
    parts = -(-units // most)
    equal = -(-units // parts)
    pixels = [loop.size for loop in product.activations.columns[1:]]
    if not pixels or product.stage is not Stage.WEIGHT_GRADIENT:
        return equal
    for inner in (prod(pixels), pixels[-1]):
        step = lcm(unit, inner) // unit
        whole = min(-(-equal // step), most // step) * step
        uneven = parts < MANY_PARTS and (whole - equal) * 64 > equal
        if whole and not uneven and -(-units // whole) <= parts + parts // MANY_PARTS:
            rows, of_image = whole * unit // inner, prod(pixels) // inner
            divisors = [count for count in range(1, rows + 1) if of_image % count == 0 and count * inner % unit == 0]
            if rows >= MANY_ROWS and of_image > rows and divisors and 4 * divisors[-1] >= 3 * rows:
                return divisors[-1] * inner // unit
            return whole
    return equal


def _word(config: AcceleratorConfig, ratio: Ratio) -> tuple[int, int]:
    """Elements of a word of activations that are used, and kept elements of them: several groups whose size divides a word."""
    if ratio.is_dense:
        return config.max_group, config.max_group
    groups = 1 if config.max_group % ratio.m or ratio.m & (ratio.m - 1) else config.max_group // ratio.m
    return groups * ratio.m, groups * ratio.n


def _word_of_tap(config: AcceleratorConfig, product: Product, kept: int) -> tuple[int, int]:
    """As `_word`, of the largest words that make up a tap's kept elements exactly."""
    if product.ratio.is_dense:
        size = max(size for size in range(1, config.max_group + 1) if kept % size == 0)
        return size, size
    groups = _word(config, product.ratio)[0] // product.ratio.m
    while kept // product.ratio.n % groups:
        groups //= 2
    return groups * product.ratio.m, groups * product.ratio.n


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


def cut(config: AcceleratorConfig, product: Product, shape: tuple[int, ...]) -> tuple[Window | None, Tiling]:
    """How a single product whose activations are in a tensor of this shape is cut, with windows where there can be."""
    window = Window.of(config, product, shape)
    tiling = Tiling.of_window(config, product, window) if window else None
    return (window, tiling) if tiling else (None, Tiling.of(config, product))
