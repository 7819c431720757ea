"""What each field of a command may be by itself (plain Python): one table, for the hardware, both executors and the docs.

What several fields, or several commands, must agree on is in `hw.isa.checks` and `hw.isa.agreement`.
"""

from collections.abc import Callable, Iterator
from typing import Any

from hw.config import AcceleratorConfig
from hw.isa.bits import PassOption, PassStep, UpdateCopy, union
from hw.isa.commands import Counter, Halt, Load, Loop, Pass, Product, Store, Sync, Update, Walk, layout
from hw.isa.functions import Function
from hw.isa.microarchitecture import HELD_WORDS
from hw.isa.operands import GRID_BITS, MOST_TAPS, is_skewed
from hw.isa.reductions import MOST_GROUPS, lanes_summed
from hw.ratio import MAX_KEPT

COUNT_BITS = 24
"""Width of the hardware's counters: of tiles, elements, rounds, shares, and words of a buffer."""

LARGEST = (1 << COUNT_BITS) - 1
"""Most of anything that is counted."""

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


SPARE, FLAG, COUNT, HALF, WORDS = (0, 0), (0, 1), (1, LARGEST), (1, 0xFFFF), (1, 0xFFFFFFFF)
GRID, MOVE, REACH = (1, (1 << GRID_BITS) - 1), (-(1 << GRID_BITS), (1 << GRID_BITS) - 1), (0, 255)

BOUNDS: dict[type, dict[str, Bound]] = {
    Halt: {},
    Sync: {},
    Loop: {"count": COUNT, "delta": None, "guard_0": None, "guard_1": None},
    Walk: {
        "base": None, "size_log2": (0, MOST_SIZE_LOG2), "boundary": HALF,
        "outer": COUNT, "middle": COUNT, "inner": COUNT, "u_counter": (0, max(Counter)), "v_counter": (0, max(Counter)),
        "lowest": FLAG, "run_guard": FLAG,
        "u_size": COUNT, "u_tile": COUNT, "v_size": COUNT, "v_tile": COUNT, "run_limit": None,
        "start_0": None, "limit_0": None, "start_1": None, "limit_1": None,
    },
    Load: {
        "across": FLAG, "group": _group, "shares": _positive(_buffer_words), "share_words": _buffer_words,
        "line_words": _buffer_words, "word_step": _buffer_words, "base": _buffer_words, "beside": FLAG,
        "spread": lambda config: (0, config.columns), "after": (0, MOST_AFTER), "spare": SPARE,
    },
    Store: {"after": (0, MOST_AFTER), "spare": SPARE},
    Product: {
        "outer": COUNT, "middle": COUNT, "inner": COUNT, "rounds": COUNT, "part_rounds": COUNT, "group_rounds": _group,
        "dense": FLAG, "n": _group, "m": _group, "slot_rows": _slots, "slot_columns": _slots,
        "weight_shares": _positive(_weight_words), "weight_share_words": _weight_words, "weight_line_words": _weight_words,
        "weight_base": _weight_words, "activation_shares": _positive(_activation_words),
        "activation_share_words": _activation_words, "activation_line_words": _activation_words,
        "activation_word_step": _activation_words, "activation_base": _activation_words, "weights_held": FLAG,
        "activations_held": FLAG, "vectors": _vectors, "taps_y": _taps, "taps_x": _taps, "tap_words": COUNT, "grid_y": GRID,
        "grid_x": GRID, "start_y": MOVE, "start_x": MOVE, "step_y": MOVE, "step_x": MOVE, "ahead": REACH, "behind": REACH,
    },
    Pass: {
        "words": WORDS, "steps": (0, union(PassStep)), "options": (0, union(PassOption)), "scale": None, "shift": None,
        "outer": COUNT, "middle": COUNT, "columns": COUNT, "column_tile": COUNT, "rows": COUNT, "row_tile": COUNT,
        "slot_rows": _slots, "groups": (0, MOST_GROUPS), "terms": COUNT, "results": (0, LARGEST),
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


def ranges(config: AcceleratorConfig, kind: type) -> dict[str, Range | None]:
    """Of all fields of a command, by their dotted names, in the order of their encoding."""
    return {field.name: field_range(config, *_home(kind, field.name)) for field in layout(kind)}


def out_of_range(config: AcceleratorConfig, command: Any) -> Iterator[str]:  # noqa: ANN401 (a command)
    """What is wrong with a command's fields, each by itself."""
    for name, found in ranges(config, type(command)).items():
        value = _value(command, name)
        if found and not found[0] <= value <= found[1]:
            yield f"{name} must be in {found[0]}..{found[1]}, not {value}"


def _home(kind: type, name: str) -> tuple[type, str]:
    """Of which part a field of a command is, and what that calls it."""
    *path, last = name.split(".")
    return (Loop if path[-1:] and path[-1].isdigit() else Walk if path else kind), last


def _value(part: Any, name: str) -> int:  # noqa: ANN401
    for step in name.split("."):
        part = part[int(step)] if step.isdigit() else getattr(part, step)
    return int(part)
