"""What each field of a command may be by itself (plain Python): one table, for the hardware, both executors and the docs.

What several fields, or several commands, must agree on is in `hw.isa.checks` and `hw.isa.agreement`.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from hw.config import MOST_COUNT_BITS, AcceleratorConfig
from hw.isa.bits import PassOption, PassStep, UpdateCopy, union
from hw.isa.commands import ADDRESS_BITS, Counter, Halt, Load, Loop, Pass, Product, Store, Sync, Update, Walk, layout
from hw.isa.functions import Function
from hw.isa.microarchitecture import HELD_WORDS
from hw.isa.operands import GRID_BITS, MOST_TAPS, is_skewed
from hw.isa.reductions import MOST_GROUPS, lanes_summed
from hw.ratio import MAX_KEPT

LARGEST = (1 << MOST_COUNT_BITS) - 1
"""Most of anything that an accelerator counts."""

GUARD_BITS = 18
"""Width of what each space adds to a guarded coordinate: it goes round."""

MOST_SIZE_LOG2 = 3
"""Elements have 8 bytes at most."""

MOST_PLACES = 127
"""Of an update's `unscale`, either way."""

MOST_AFTER = 0x7FFF
"""Stores that a command can come after."""

Range = tuple[int, int]
"""Least and most of a field."""

Bound = Range | Callable[[AcceleratorConfig], Range] | None
"""A range; one that the accelerator says; or None: every pattern of the field's bits means something."""


def most_slots(config: AcceleratorConfig) -> int:
    """Interleave slots of a tile: those of an element, as far as half of the output buffer has room for their sums."""
    return min(config.interleave_slots, config.result_buffer_words // config.columns)


def most_vectors(config: AcceleratorConfig) -> int:
    """Columns of a tile whose weights stay: their sums wait side by side between blocks, and in half of the output buffer."""
    return min(config.partial_sum_words, config.result_buffer_words)


def _buffer_words(config: AcceleratorConfig) -> Range:
    return 0, max(config.weight_buffer_words, config.activation_buffer_words)


def _weight_words(config: AcceleratorConfig) -> Range:
    return 0, config.weight_buffer_words


def _activation_words(config: AcceleratorConfig) -> Range:
    return 0, config.activation_buffer_words


def _positive(bound: Callable[[AcceleratorConfig], Range]) -> Callable[[AcceleratorConfig], Range]:
    return lambda config: (1, bound(config)[1])


def _group(config: AcceleratorConfig) -> Range:
    return 1, config.max_group


def _slots(config: AcceleratorConfig) -> Range:
    return 1, most_slots(config)


def _vectors(config: AcceleratorConfig) -> Range:
    """Weights stay only where columns are a power of two."""
    return 0, most_vectors(config) if is_skewed(config.columns) else 0


def _taps(config: AcceleratorConfig) -> Range:
    """Windows are cut from a ring only where columns are a power of two."""
    return 1, MOST_TAPS if is_skewed(config.columns) else 1


def _kept(config: AcceleratorConfig) -> Range:
    return 1, min(MAX_KEPT, config.max_group)


def _count(config: AcceleratorConfig) -> Range:
    return 1, config.most_counted


def _results(config: AcceleratorConfig) -> Range:
    return 0, config.most_counted


def _address(config: AcceleratorConfig) -> Range:
    return 0, (1 << config.address_bits) - 1


def _delta(config: AcceleratorConfig) -> Range:
    """From the end of the window to its beginning, and back."""
    most = 1 << min(config.address_bits, ADDRESS_BITS - 1)
    return -most, most - 1


SPARE, FLAG, HALF, WORDS = (0, 0), (0, 1), (1, 0xFFFF), (1, 0xFFFFFFFF)
GRID, MOVE, REACH = (1, (1 << GRID_BITS) - 1), (-(1 << GRID_BITS), (1 << GRID_BITS) - 1), (0, 255)

SAID: dict[Any, str] = {
    _count: "1 to 2^`count_bits` - 1",
    _results: "0 to 2^`count_bits` - 1",
    _address: "0 to 2^`address_bits` - 1",
    _delta: "-2^`address_bits` to 2^`address_bits` - 1",
}
"""Ranges of the accelerator's own, by the fields of its configuration."""

BOUNDS: dict[type, dict[str, Bound]] = {
    Halt: {},
    Sync: {},
    Loop: {"count": _count, "delta": _delta, "guard_0": None, "guard_1": None},
    Walk: {
        "base": _address, "size_log2": (0, MOST_SIZE_LOG2), "boundary": HALF,
        "outer": _count, "middle": _count, "inner": _count, "u_counter": (0, max(Counter)), "v_counter": (0, max(Counter)),
        "lowest": FLAG, "run_guard": FLAG,
        "u_size": _count, "u_tile": _count, "v_size": _count, "v_tile": _count, "run_limit": None,
        "start_0": None, "limit_0": None, "start_1": None, "limit_1": None,
    },
    Load: {
        "across": FLAG, "group": _group, "shares": _positive(_buffer_words), "share_words": _buffer_words,
        "line_words": _buffer_words, "word_step": _buffer_words, "base": _buffer_words, "beside": FLAG,
        "spread": lambda config: (0, config.columns), "after": (0, MOST_AFTER), "spare": SPARE,
    },
    Store: {"after": (0, MOST_AFTER), "spare": SPARE},
    Product: {
        "outer": _count, "middle": _count, "inner": _count, "rounds": _count, "part_rounds": _count, "group_rounds": _group,
        "dense": FLAG, "n": _group, "m": _group, "slot_rows": _slots, "slot_columns": _slots,
        "weight_shares": _positive(_weight_words), "weight_share_words": _weight_words, "weight_line_words": _weight_words,
        "weight_base": _weight_words, "activation_shares": _positive(_activation_words),
        "activation_share_words": _activation_words, "activation_line_words": _activation_words,
        "activation_word_step": _activation_words, "activation_base": _activation_words, "weights_held": FLAG,
        "activations_held": FLAG, "vectors": _vectors, "taps_y": _taps, "taps_x": _taps, "tap_words": _count, "grid_y": GRID,
        "grid_x": GRID, "start_y": MOVE, "start_x": MOVE, "step_y": MOVE, "step_x": MOVE, "ahead": REACH, "behind": REACH,
    },
    Pass: {
        "words": WORDS, "steps": (0, union(PassStep)), "options": (0, union(PassOption)), "scale": None, "shift": None,
        "outer": _count, "middle": _count, "columns": _count, "column_tile": _count, "rows": _count, "row_tile": _count,
        "slot_rows": _slots, "groups": (0, MOST_GROUPS), "terms": _count, "results": _results,
        "function": (0, max(Function)), "place": None, "place_words": HALF, "place_columns": HALF, "place_step": None,
        "place_rows": HALF, "place_row_step": None, "held": (0, HELD_WORDS), "held_block": HALF,
        "last_lanes": lambda config: (0, lanes_summed(config.vpu_lanes)),
    },
    Update: {
        "words": WORDS, "unscale": (-MOST_PLACES - 1, MOST_PLACES), "copies": (0, union(UpdateCopy)), "weight_decay": None,
        "momentum": None, "learning_rate": None, "n": _kept, "m": _group,
        "moments": lambda config: (0, int(config.adamw)), "spare": SPARE,
    },
}  # fmt: skip
"""Of each command, and of the parts of one, every field."""


def field_range(config: AcceleratorConfig, kind: type, name: str) -> Range | None:
    """What a field of a command, or of a part of one, may be; None where it may be anything.

    Raises
    ------
    LookupError
        Where the table says nothing of the field: whoever adds one says what it may be.
    """
    if name not in BOUNDS.get(kind, {}):
        raise LookupError(f"hw.isa.bounds.BOUNDS says nothing of {kind.__name__}.{name}: give its range, or None for any bits")
    bound = BOUNDS[kind][name]
    return bound(config) if callable(bound) else bound


@cache
def ranges(config: AcceleratorConfig, kind: type) -> dict[str, Range | None]:
    """Of all fields of a command, by their dotted names, in the order of their encoding."""
    return {field.name: field_range(config, *_home(kind, field.name)) for field in layout(kind)}


def out_of_range(config: AcceleratorConfig, command: Any) -> Iterator[str]:  # noqa: ANN401 (a command)
    """What is wrong with a command's fields, each by itself."""
    kind: type = type(command)
    for name, found in ranges(config, kind).items():
        value = _value(command, name)
        if found and not found[0] <= value <= found[1]:
            yield f"{name} must be in {found[0]}..{found[1]}, not {value}"


def _home(kind: type, name: str) -> tuple[type, str]:
    """Of which part a field of a command is, and what that calls it."""
    *path, last = name.split(".")
    return (Loop if path[-1:] and path[-1].isdigit() else Walk if path else kind), last


def _value(part: Any, name: str) -> int:  # noqa: ANN401
    for step in _way(name):
        part = part[step] if isinstance(step, int) else getattr(part, step)
    return int(part)


@cache
def _way(name: str) -> tuple[int | str, ...]:
    return tuple(int(step) if step.isdigit() else step for step in name.split("."))
