"""What fields of a command may be, beyond their widths (plain Python): the hardware stops at all else with `ILLEGAL_FIELD`."""

from collections.abc import Iterable, Iterator, Sequence

from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.isa.bits import PACKED_COPIES, PassOption
from hw.isa.bounds import MOST_AFTER, MOST_SIZE_LOG2, most_slots, out_of_range
from hw.isa.commands import Command, Counter, Halt, Load, Pass, Product, Sink, Source, Store, Sync, Update, Walk
from hw.isa.microarchitecture import HELD_WORDS
from hw.isa.operands import loaded_boundaries
from hw.isa.reductions import MOST_GROUPS, MOST_PLACES, PARTIAL_SUMS, lanes_summed
from hw.ratio import Ratio


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
    counted, sure = 0, True  # stores that can be waited for; whether another one can
    for number, command in enumerate(commands):
        if isinstance(command, Sync):
            counted, sure = 0, True
        if not isinstance(command, Load | Store):
            continue
        if counted < command.after <= MOST_AFTER:  # beyond that it is no field that can be
            raise InputError(
                f"command {number}, {command.OPCODE.name}: after must be at most {counted}, the STORE.RESULTS "
                f"since the last SYNC that are not conditional, not {command.after}"
            )
        if isinstance(command, Store) and command.sink is Sink.RESULTS:
            sure &= not command.conditional
            counted += sure


def problems(config: AcceleratorConfig, command: Command) -> Iterator[str]:
    """What is wrong with a command's fields: with each by itself, then with those that must fit each other."""
    yield from out_of_range(config, command)
    if isinstance(command, Load | Store):
        yield from (f"walk.{problem}" for problem in _walk(command.walk))
        yield from _boundary(config, command)
    if isinstance(command, Load) and command.source in (Source.WEIGHTS, Source.ACTIVATIONS):
        yield from _shares(config, command)
    elif isinstance(command, Product):
        yield from _product(config, command)
    elif isinstance(command, Pass):
        if command.options & PassOption.FROM_SUMS:
            yield from _tiles("outer", command.outer, "column", command.column_tile, command.columns)
            yield from _tiles("middle", command.middle, "row", command.row_tile, command.rows)
        yield from _held(command)
        yield from _reductions(config, command)
    elif isinstance(command, Update):
        yield from _update(config, command)


def _held(command: Pass) -> Iterator[str]:
    by_row = command.options & PassOption.BY_ROW
    yield from _within(command, int(bool(by_row)), 1 if by_row else HELD_WORDS, "held")


def _reductions(config: AcceleratorConfig, command: Pass) -> Iterator[str]:
    across = bool(command.options & PassOption.ACROSS)
    if command.groups and command.options & PassOption.IN_TURN:
        yield from _within(command, PARTIAL_SUMS, MOST_GROUPS, "groups")
    if command.groups and command.options & PassOption.LARGEST:
        yield from _within(command, 1, MOST_PLACES, "terms")
    if across:
        yield from _within(command, config.vpu_lanes, config.vpu_lanes, "groups")
        yield from _within(command, 1, lanes_summed(config.vpu_lanes), "last_lanes")
        if command.options & (PassOption.IN_TURN | PassOption.PLACES):
            yield "options must not have in_turn or places beside across"
    beside = bool(command.options & PassOption.BESIDE)
    if beside:
        yield from _within(command, 1, MOST_GROUPS, "groups")
        if not command.goes_on:
            yield from _within(command, command.groups, command.groups, "results")
        elif command.terms % PARTIAL_SUMS:
            yield f"terms must be a multiple of {PARTIAL_SUMS} where the reduction goes on, not {command.terms}"
        yield from _within(command, 1, MOST_GROUPS, "held_block")
        if command.options & (PassOption.ACROSS | PassOption.IN_TURN | PassOption.PLACES):
            yield "options must not have across, in_turn or places beside beside"
    each = command.groups if across else 1  # words that a term of a result has
    results = command.groups if beside else command.results
    if command.groups and (command.words != results * command.terms * each or results * each % command.groups):
        yield (
            f"words must be those of {command.terms} terms for each of {results} results, of {command.groups} at once; "
            f"they are {command.words}"
        )


def _walk(walk: Walk) -> Iterator[str]:
    places = {"base": walk.base}
    for name, loops in (("u", walk.u), ("v", walk.v)):
        places |= {f"{name}.{number}.delta": loop.delta for number, loop in enumerate(loops)}
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


def word_lanes(config: AcceleratorConfig) -> list[int]:
    """How many lanes of a vector stream's words a walk may use: all, those of updates, those of partial results of rows."""
    return sorted({config.vpu_lanes, config.wuve_lanes, lanes_summed(config.vpu_lanes)})


def _boundary(config: AcceleratorConfig, command: Load | Store) -> Iterator[str]:
    """Where chunks end: at words of lanes; of operands at lines, or at words of the buffer."""
    allowed = word_lanes(config)
    if isinstance(command, Load) and command.source in (Source.WEIGHTS, Source.ACTIVATIONS):
        lines = config.rows if command.source is Source.WEIGHTS else config.columns
        allowed = loaded_boundaries(config, lines, command.across, command.group, command.spread)
    if command.walk.boundary not in allowed:
        yield f"walk.boundary must be {' or '.join(map(str, allowed))}, not {command.walk.boundary}"


def _shares(config: AcceleratorConfig, load: Load) -> Iterator[str]:
    words = config.weight_buffer_words if load.source is Source.WEIGHTS else config.activation_buffer_words
    end = load.base + load.shares * load.share_words
    if end > words:
        yield f"base + shares * share_words must be at most {words}, the words of a bank, not {end}"


def _product(config: AcceleratorConfig, product: Product) -> Iterator[str]:
    slots = most_slots(config)
    if not 1 <= product.slot_rows * product.slot_columns <= slots:
        yield f"slot_rows * slot_columns must be in 1..{slots}, not {product.slot_rows} * {product.slot_columns}"
    yield from _tiles("inner", product.inner, "part", product.part_rounds, product.rounds)
    if product.inner > 1 and product.part_rounds % max(product.group_rounds, 1):
        yield f"part_rounds must be a multiple of group_rounds, {product.group_rounds}, not {product.part_rounds}"
    if product.vectors:
        yield from _stationary(config, product)
    if product.cuts:
        yield from _within(product, 1, 1, "inner", "activations_held", "activation_line_words")
        yield from _within(product, 0, 0, "vectors")


def _stationary(config: AcceleratorConfig, product: Product) -> Iterator[str]:
    """What a product needs whose weights stay."""
    yield from _within(product, 1, 1, "slot_rows", "slot_columns")
    yield from _within(product, 2, config.most_counted, "activation_shares")
    if product.group_rounds & (product.group_rounds - 1):
        yield f"group_rounds must be a power of two where weights stay, not {product.group_rounds}"
    if product.inner > 1 and product.part_rounds % config.columns:
        yield f"part_rounds must be a multiple of the array's {config.columns} columns, not {product.part_rounds}"
    if product.outer * product.middle > config.most_counted:
        yield f"outer * middle must be at most {config.most_counted} where weights stay, not {product.outer} * {product.middle}"


def _update(config: AcceleratorConfig, update: Update) -> Iterator[str]:
    if update.moments:
        yield from _within(update, 0, 0, "copies")
    if not update.copies & PACKED_COPIES:
        return
    if update.m & (update.m - 1):
        yield f"m must be a power of two, not {update.m}"
    yield from _within(update, 1, update.m, "n")
    if update.words % config.turned_block_words:
        yield f"words must be a multiple of {config.turned_block_words}, a block of packed copies, not {update.words}"


def weights_can_stay(config: AcceleratorConfig, ratio: Ratio) -> bool:
    """Whether products of this ratio can run weight-stationary: a group divides a block of columns, or is divided by it."""
    kept = 1 if ratio.is_dense else ratio.n
    return config.columns & (config.columns - 1) == 0 and kept & (kept - 1) == 0


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
    lanes, updates = config.vpu_lanes, config.wuve_lanes
    if updates != config.sore_lanes:
        both = f"{updates} and {config.sore_lanes}"
        raise InputError(f"wuve_lanes and sore_lanes must be equal in the whole accelerator, not {both}")
    for which, width in {"vpu_lanes": lanes, "wuve_lanes": updates}.items():
        if width & (width - 1) or width < 2:
            raise InputError(f"{which} must be a power of two from 2 on in the whole accelerator, not {width}")
    if updates > lanes:
        raise InputError(f"wuve_lanes must be at most vpu_lanes in the whole accelerator, not {updates} and {lanes}")
    if config.rows % lanes:
        raise InputError(f"rows must be a multiple of vpu_lanes in the whole accelerator, not {config.rows} and {lanes}")
    least = 8 * config.rows * config.columns
    if config.output_buffer_bytes < least:
        given = config.output_buffer_bytes
        raise InputError(f"output_buffer_bytes of {config.name} must be at least {least}, two tiles of sums, not {given}")
    words = max(config.weight_buffer_words, config.activation_buffer_words, 2 * config.result_buffer_words)
    if words > config.most_counted:
        raise InputError(f"buffers of {config.name} may have {config.most_counted} words, as count_bits says, not {words}")
