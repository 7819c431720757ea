"""What fields of a command may be, beyond their widths (plain Python): the hardware stops at all else with `ILLEGAL_FIELD`."""

from collections.abc import Iterable, Iterator, Sequence

from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.isa.bits import PACKED_COPIES, PassOption, PassStep, UpdateCopy, union
from hw.isa.commands import Command, Counter, Halt, Load, Pass, Product, Sink, Source, Store, Sync, Update, Walk
from hw.isa.functions import Function
from hw.isa.microarchitecture import HELD_WORDS
from hw.isa.operands import GRID_BITS, MOST_TAPS, is_skewed
from hw.isa.reductions import MOST_GROUPS, PARTIAL_SUMS, lanes_summed
from hw.isa.reductions import MOST_PLACES as MOST_TERMS
from hw.ratio import MAX_KEPT, Ratio

COUNT_BITS = 24
"""Width of the hardware's counters: of tiles, elements, rounds, shares, and words of a buffer."""

LARGEST = (1 << COUNT_BITS) - 1
"""Most of anything that is counted."""

MOST_SIZE_LOG2 = 3
"""Elements have 8 bytes at most."""

MOST_PLACES = 127
"""Of an update's `unscale`, either way."""

MOST_AFTER = 0x7FFF
"""Stores that a command can come after."""


def check(config: AcceleratorConfig, command: Command) -> None:
    """Raise `InputError` where the accelerator would stop at a field of `command`: the field, what is allowed, what it is."""
    for problem in problems(config, command):
        raise InputError(f"{command.OPCODE.name}: {problem}")


def up_to_halt(commands: Sequence[Command]) -> Sequence[Command]:
    """What runs of a program: all up to its first HALT. `InputError` where there is none."""
    for number, command in enumerate(commands):
        if isinstance(command, Halt):
            return commands[: number + 1]
    raise InputError("a program ends with HALT; this one has none")


def check_order(commands: Iterable[Command]) -> None:
    """Raise `InputError` where a command would wait for ever: for stores that are not before it, or that may be skipped."""
    stores: list[Store] = []
    for number, command in enumerate(commands):
        if isinstance(command, Sync):
            stores.clear()
        if not isinstance(command, Load | Store):
            continue
        counted = next((place for place, store in enumerate(stores) if store.conditional), len(stores))
        if command.after > min(counted, MOST_AFTER):
            raise InputError(
                f"command {number}, {command.OPCODE.name}: after must be at most {min(counted, MOST_AFTER)}, the STORE.RESULTS "
                f"since the last SYNC that are not conditional, not {command.after}"
            )
        if isinstance(command, Store) and command.sink is Sink.RESULTS:
            stores.append(command)


def problems(config: AcceleratorConfig, command: Command) -> Iterator[str]:
    """What is wrong with a command's fields, one after the other."""
    if isinstance(command, Load | Store):
        yield from (f"walk.{problem}" for problem in _walk(command.walk))
    if isinstance(command, Load) and command.source in (Source.WEIGHTS, Source.ACTIVATIONS):
        yield from _within(command, 1, config.max_group, "group")
        yield from _within(command, 1, LARGEST, "shares")
        yield from _within(command, 0, LARGEST, "share_words", "line_words", "word_step", "base")
        yield from _within(command, 0, 1, "beside")
    elif isinstance(command, Product):
        yield from _product(config, command)
    elif isinstance(command, Pass):
        yield from _within(command, 1, 0xFFFFFFFF, "words")
        yield from _within(command, 0, union(PassStep), "steps")
        yield from _within(command, 0, union(PassOption), "options")
        if command.options & PassOption.FROM_SUMS:
            yield from _within(command, 1, LARGEST, "outer", "middle", "columns", "column_tile", "rows", "row_tile")
            yield from _within(command, 1, 0xFFFF, "slot_rows")
            yield from _tiles("outer", command.outer, "column", command.column_tile, command.columns)
            yield from _tiles("middle", command.middle, "row", command.row_tile, command.rows)
        yield from _within(command, 0, max(Function), "function")
        yield from _within(command, 1, 0xFFFF, "place_words", "place_columns", "place_rows")
        yield from _held(command)
        yield from _reductions(config, command)
    elif isinstance(command, Update):
        yield from _update(config, command)


def _held(command: Pass) -> Iterator[str]:
    by_row = command.options & PassOption.BY_ROW
    yield from _within(command, int(bool(by_row)), 1 if by_row else HELD_WORDS, "held")
    if command.held:
        yield from _within(command, 1, 0xFFFF, "held_block")
        yield from _within(command, 1, LARGEST, "columns", "column_tile")


def _reductions(config: AcceleratorConfig, command: Pass) -> Iterator[str]:
    yield from _within(command, 0, MOST_GROUPS, "groups")
    if command.groups:
        if command.options & PassOption.IN_TURN:
            yield from _within(command, PARTIAL_SUMS, MOST_GROUPS, "groups")
        yield from _within(command, 1, MOST_TERMS if command.options & PassOption.LARGEST else 0xFFFFFFFF, "terms")
        yield from _within(command, 1, 0xFFFFFFFF, "results")
    if command.options & PassOption.ACROSS:
        yield from _within(command, config.vpu_lanes, config.vpu_lanes, "groups")
        yield from _within(command, 1, lanes_summed(config.vpu_lanes), "last_lanes")
        if command.options & (PassOption.IN_TURN | PassOption.PLACES):
            yield "options must not have in_turn or places beside across"
    if command.options & PassOption.BESIDE:
        yield from _within(command, 1, MOST_GROUPS, "groups")
        yield from _within(command, command.groups, command.groups, "results")
        yield from _within(command, 1, MOST_GROUPS, "held_block")
        yield from _within(command, 1, LARGEST, "column_tile")
        if command.options & (PassOption.ACROSS | PassOption.IN_TURN | PassOption.PLACES):
            yield "options must not have across, in_turn or places beside beside"


def _walk(walk: Walk) -> Iterator[str]:
    yield from _within(walk, 0, MOST_SIZE_LOG2, "size_log2")
    yield from _within(walk, 1, 0xFFFF, "boundary")
    yield from _within(walk, 1, LARGEST, "outer", "middle", "inner", "u_size", "u_tile", "v_size", "v_tile")
    yield from _within(walk, 0, max(Counter), "u_counter", "v_counter")
    yield from _within(walk, 0, 1, "lowest", "run_guard")
    places = {"base": walk.base}
    for name, loops in (("u", walk.u), ("v", walk.v)):
        for number, loop in enumerate(loops):
            yield from (f"{name}.{number}.{problem}" for problem in _within(loop, 1, LARGEST, "count"))
            places[f"{name}.{number}.delta"] = loop.delta
    size = 1 << (walk.size_log2 & MOST_SIZE_LOG2)
    yield from (f"{name} must be a multiple of {size}, not {place}" for name, place in places.items() if place % size)
    counts = {Counter.OUTER: walk.outer, Counter.MIDDLE: walk.middle, Counter.INNER: walk.inner}
    for name, counter, length, tile in (
        ("u", walk.u_counter, walk.u_size, walk.u_tile),
        ("v", walk.v_counter, walk.v_size, walk.v_tile),
    ):
        most = -(-length // max(tile, 1))
        if counts.get(Counter(counter & 3), 1) > most:
            yield f"{Counter(counter & 3).name.lower()} must be at most {most}, the tiles of {name}"


def _product(config: AcceleratorConfig, product: Product) -> Iterator[str]:
    yield from _within(product, 1, LARGEST, "outer", "middle", "inner", "rounds", "part_rounds")
    yield from _within(product, 1, LARGEST, "weight_shares", "activation_shares")
    yield from _within(product, 1, config.max_group, "group_rounds", "n", "m")
    words = (f"{side}_{part}_words" for side in ("weight", "activation") for part in ("share", "line"))
    yield from _within(product, 0, LARGEST, *words, "activation_word_step", "weight_base", "activation_base")
    slots = most_slots(config)
    if not 1 <= product.slot_rows * product.slot_columns <= slots:
        yield f"slot_rows * slot_columns must be in 1..{slots}, not {product.slot_rows} * {product.slot_columns}"
    yield from _tiles("inner", product.inner, "part", product.part_rounds, product.rounds)
    if product.inner > 1 and product.part_rounds % max(product.group_rounds, 1):
        yield f"part_rounds must be a multiple of group_rounds, {product.group_rounds}, not {product.part_rounds}"
    if product.vectors:
        yield from _stationary(config, product)
    if product.cuts:
        yield from _window(config, product)


def _window(config: AcceleratorConfig, product: Product) -> Iterator[str]:
    """What a product with taps needs."""
    limit = 1 << GRID_BITS
    if not is_skewed(config.columns):
        taps = f"{product.taps_y} and {product.taps_x}"
        yield f"taps_y and taps_x must be 1 where the array's columns are no power of two, not {taps}"
    yield from _within(product, 1, MOST_TAPS, "taps_y", "taps_x")
    yield from _within(product, 1, limit - 1, "grid_y", "grid_x")
    yield from _within(product, -limit, limit - 1, "start_y", "start_x", "step_y", "step_x")
    yield from _within(product, 0, 255, "ahead", "behind")
    yield from _within(product, 1, LARGEST, "tap_words")
    yield from _within(product, 1, 1, "inner", "activations_held", "activation_line_words")
    yield from _within(product, 0, 0, "vectors")


def _stationary(config: AcceleratorConfig, product: Product) -> Iterator[str]:
    """What a product needs whose weights stay."""
    if config.columns & (config.columns - 1):
        yield f"vectors must be 0 where the array's columns are no power of two, not {product.vectors}"
    yield from _within(product, 0, most_vectors(config), "vectors")
    yield from _within(product, 1, 1, "slot_rows", "slot_columns")
    yield from _within(product, 2, LARGEST, "activation_shares")
    if product.group_rounds & (product.group_rounds - 1):
        yield f"group_rounds must be a power of two where weights stay, not {product.group_rounds}"
    if product.inner > 1 and product.part_rounds % config.columns:
        yield f"part_rounds must be a multiple of the array's {config.columns} columns, not {product.part_rounds}"
    if product.outer * product.middle > LARGEST:
        yield f"outer * middle must be at most {LARGEST} where weights stay, not {product.outer} * {product.middle}"


def _update(config: AcceleratorConfig, update: Update) -> Iterator[str]:
    yield from _within(update, 1, 0xFFFFFFFF, "words")
    yield from _within(update, 0, union(UpdateCopy), "copies")
    yield from _within(update, -MOST_PLACES - 1, MOST_PLACES, "unscale")
    if update.moments and not config.adamw:
        yield f"moments must be 0, as {config.name} has no AdamW, not {update.moments}"
    yield from _within(update, 0, 1, "moments")
    if update.moments:
        yield from _within(update, 0, 0, "copies")
    if not update.copies & PACKED_COPIES:
        return
    if update.m & (update.m - 1) or not 1 <= update.m <= config.max_group:
        yield f"m must be a power of two up to {config.max_group}, not {update.m}"
    yield from _within(update, 1, min(MAX_KEPT, update.m), "n")
    if update.words % config.turned_block_words:
        yield f"words must be a multiple of {config.turned_block_words}, a block of packed copies, not {update.words}"


def most_slots(config: AcceleratorConfig) -> int:
    """Interleave slots of a tile: those of an element, as far as half of the output buffer has room for their sums."""
    return min(config.interleave_slots, config.result_buffer_words // config.columns)


def weights_can_stay(config: AcceleratorConfig, ratio: Ratio) -> bool:
    """Whether products of this ratio can run weight-stationary: a group divides a block of columns, or is divided by it."""
    kept = 1 if ratio.is_dense else ratio.n
    return config.columns & (config.columns - 1) == 0 and kept & (kept - 1) == 0


def most_vectors(config: AcceleratorConfig) -> int:
    """Columns of a tile whose weights stay: their sums wait side by side between blocks, and in half of the output buffer."""
    return min(config.partial_sum_words, config.result_buffer_words)


def _within(part: object, least: int, most: int, *names: str) -> Iterator[str]:
    for name in names:
        if not least <= getattr(part, name) <= most:
            yield f"{name} must be in {least}..{most}, not {getattr(part, name)}"


def _tiles(name: str, count: int, what: str, tile: int, size: int) -> Iterator[str]:
    """Tiles that do not begin behind the end, and reach it."""
    due = -(-size // max(tile, 1))
    if count != due:
        yield f"{name} must be {due}, as {what}s of {tile} make {size}; it is {count}"


def check_sat(config: AcceleratorConfig) -> None:
    """Raise `InputError` unless the units of this configuration fit together."""
    lanes = (config.vpu_lanes, config.wuve_lanes, config.sore_lanes)
    if len(set(lanes)) > 1:
        raise InputError(f"vpu_lanes, wuve_lanes and sore_lanes must be equal in the whole accelerator, not {lanes}")
    if lanes[0] & (lanes[0] - 1) or lanes[0] < 2:
        raise InputError(f"vpu_lanes must be a power of two from 2 on in the whole accelerator, not {lanes[0]}")
    if config.rows % lanes[0]:
        raise InputError(f"rows must be a multiple of vpu_lanes in the whole accelerator, not {config.rows} and {lanes[0]}")
    least = 8 * config.rows * config.columns
    if config.output_buffer_bytes < least:
        given = config.output_buffer_bytes
        raise InputError(f"output_buffer_bytes of {config.name} must be at least {least}, two tiles of sums, not {given}")
