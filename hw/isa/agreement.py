"""What the commands of a program must agree on (plain Python): the hardware stops where they do not, both executors refuse.

::

    LOAD.WEIGHTS ─────┐ where it places them, its blocks, lines and positions
    LOAD.ACTIVATIONS ─┴─► PRODUCT ─ tiles, their rows and columns ─► PASS over sums

A product's two loads stand in front of it, and behind the product before; its pass stands behind it, and before the next
product.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.isa.bits import PassOption
from hw.isa.commands import Command, Counter, Load, Pass, Product, Source, Sync, Walk
from hw.isa.reductions import PARTIAL_SUMS

OPERANDS = (Source.WEIGHTS, Source.ACTIVATIONS)

Region = tuple[int, int]
"""Words of a bank: the first one, and the one after the last."""


@dataclass(frozen=True)
class Space:
    """One space of a load's walk, as lines or as positions.

    Parameters
    ----------
    counter : int
        The `Counter` that it moves along with.
    size, tile : int
        Elements in all and in a tile, which are at most all.
    """

    counter: int
    size: int
    tile: int

    @classmethod
    def of(cls, walk: Walk, *, u: bool) -> "Space":
        """That of u, or of v."""
        if u:
            return cls(walk.u_counter, walk.u_size, min(walk.u_tile, walk.u_size))
        return cls(walk.v_counter, walk.v_size, min(walk.v_tile, walk.v_size))

    def moves(self, counter: Counter, count: int) -> bool:
        """Whether it moves along with a counter, or, where this counts to 1, with none."""
        return self.counter == counter or (count == 1 and self.counter == Counter.NONE)


@dataclass(frozen=True)
class Sums:
    """What a product gives, or what is left of it: tiles, and the result's rows and columns, in all and of a tile."""

    outer: int
    middle: int
    slot_rows: int
    rows: tuple[int, int]
    columns: tuple[int, int]

    def behind(self, step: Pass) -> "Sums | None":
        """What a pass leaves."""
        left, (columns, tile) = self.outer - step.outer, self.columns
        return replace(self, outer=left, columns=(columns - step.columns, tile)) if left else None


class Agreement:
    """Follows a program, command by command.

    Parameters
    ----------
    config : AcceleratorConfig
        The accelerator.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self._loads: dict[Source, Load] = {}  # that no product has taken
        self._sums: Sums | None = None  # that no pass has taken
        self._before: dict[Source, Region] = {}  # where the operands of the product before may still be
        self._goes_on: Pass | None = None  # whose reduction has not ended
        self._watched = False  # an overflow may be noted at any time

    def follow(self, command: Command) -> None:
        """Go on by a command that is not skipped; `InputError` where it does not agree with those before."""
        for problem in self._problems(command):
            raise InputError(f"{command.OPCODE.name}: {problem}")
        if isinstance(command, Load) and command.source in OPERANDS:
            self._loads[command.source] = command
        elif isinstance(command, Product):
            self._take(command)
        elif isinstance(command, Pass):
            self._watched |= bool(command.options & PassOption.NOTE_OVERFLOW)
            if command.groups:
                self._goes_on = command if command.goes_on else None
            if command.options & PassOption.FROM_SUMS and self._sums:
                self._sums = self._sums.behind(command)
        elif isinstance(command, Sync):
            self._before, self._watched = {}, False

    def check_condition(self, command: Command) -> None:
        """`InputError` where it depends on timing whether a command is skipped."""
        if command.conditional and self._watched:
            raise InputError(f"{command.OPCODE.name}: a SYNC must be between a PASS with note_overflow and what is conditional")

    def _take(self, product: Product) -> None:
        weights, activations = (self._loads.pop(source) for source in OPERANDS)
        self._before = {load.source: region(load, product) for load in (weights, activations)}
        rows, columns = (_lines(load) for load in (weights, activations))
        self._sums = Sums(
            product.outer, product.middle, product.slot_rows, (rows.size, rows.tile), (columns.size, columns.tile)
        )

    def _problems(self, command: Command) -> Iterator[str]:
        if isinstance(command, Load) and command.source in self._loads:
            yield f"no PRODUCT takes the {command.source.name} that were loaded before"
        elif isinstance(command, Product):
            missing = [source.name for source in OPERANDS if source not in self._loads]
            if missing:
                yield f"no LOAD brings its {' and '.join(missing)}"
            elif self._sums:
                yield "no PASS takes the sums of the PRODUCT before"
            else:
                yield from self._product(command, *(self._loads[source] for source in OPERANDS))
        elif isinstance(command, Pass):
            if command.options & PassOption.FROM_SUMS:
                yield from _sums_problems(command, self._sums) if self._sums else ["no PRODUCT gives its sums"]
            if command.groups and self._goes_on:
                yield from _part_problems(command, self._goes_on)
        elif isinstance(command, Sync) or command.OPCODE.name == "HALT":
            if self._loads:
                yield f"no PRODUCT takes {' and '.join(source.name for source in self._loads)}"
            if self._sums:
                yield "no PASS takes the sums of a PRODUCT"
            if self._goes_on:
                yield "no PASS ends the reduction that goes on"

    def _product(self, product: Product, weights: Load, activations: Load) -> Iterator[str]:
        config = self.config
        for rule in (_places, _blocks, _positions, _lines_of_tiles, _room_in_shares, _held):
            yield from rule(config, product, weights, activations)
        if product.cuts:
            yield from _ring(config, product, activations)
        for load in (weights, activations):
            (first, end), before = region(load, product), self._before.get(load.source)
            if load.beside and before and first < before[1] and before[0] < end:
                there = f"those from {before[0]} to {before[1]}"
                yield f"{load.source.name} from word {first} to {end} of a bank are not beside {there}"


def region(load: Load, product: Product) -> Region:
    """Words of each bank that a load of a product takes up."""
    if load.source is Source.ACTIVATIONS and product.cuts:
        return load.base, load.base + product.tap_words * load.word_step
    return load.base, load.base + load.shares * load.share_words


Rule = Callable[[AcceleratorConfig, Product, Load, Load], Iterator[str]]


def _lines(load: Load) -> Space:
    return Space.of(load.walk, u=bool(load.across))


def _equal(what: str, load: Load, **due: tuple[int, int]) -> Iterator[str]:
    """What a load has, and what the product has."""
    for name, (has, wants) in due.items():
        if has != wants:
            yield f"{load.source.name} are loaded with {name} {has}; the product {what} {wants}"


def _places(config: AcceleratorConfig, product: Product, weights: Load, activations: Load) -> Iterator[str]:
    """Each operand is read where it was loaded to."""
    spread = min(product.group_rounds, config.columns) if product.vectors else 0
    for load, side, step, group, spread_ in (
        (weights, "weight", 1, config.max_group, 0),
        (activations, "activation", product.activation_word_step, activations.group, spread),
    ):
        layout = {name: getattr(product, f"{side}_{name}") for name in ("base", "shares", "share_words", "line_words")}
        layout |= {"word_step": step, "group": group, "spread": spread_}
        yield from _equal("reads", load, **{name: (getattr(load, name), due) for name, due in layout.items()})


def _turns(weights: Load) -> bool:
    """Whether weights are those of several products, one behind the other: see `hw.isa.commands.Product`."""
    return Space.of(weights.walk, u=not weights.across).counter == Counter.OUTER


def _blocks(config: AcceleratorConfig, product: Product, weights: Load, activations: Load) -> Iterator[str]:
    """There are as many blocks as the product takes."""
    north = product.outer, 1 if product.activations_held else product.middle, product.inner
    west = 1 if product.weights_held else product.outer, product.middle, product.inner
    if _turns(weights):
        walk = weights.walk
        has = {"outer * middle": (walk.outer * walk.middle, product.outer), "inner": (walk.inner, product.middle)}
        yield from _equal("takes blocks of", weights, **has)
        if product.weights_held or product.inner > 1:
            yield "WEIGHTS of several products are loaded for each of its tiles, whole; the product holds them or has parts"
    for load, due in ((activations, north),) if _turns(weights) else ((weights, west), (activations, north)):
        counts = zip(("outer", "middle", "inner"), due, strict=True)
        yield from _equal("takes blocks of", load, **{name: (getattr(load.walk, name), count) for name, count in counts})


def _positions(config: AcceleratorConfig, product: Product, weights: Load, activations: Load) -> Iterator[str]:
    """Blocks have the positions of the product's parts: of activations a group for so many rounds."""
    for load, rounds, group in ((weights, 1, 1), (activations, product.group_rounds, activations.group)):
        space = Space.of(load.walk, u=not load.across)
        whole = space.size * rounds == product.rounds * group
        parts = product.inner == 1 or space.tile * rounds == product.part_rounds * group
        if product.cuts and load is activations:
            whole = space.size == product.tap_words * group
            whole = whole and product.rounds == product.taps_y * product.taps_x * product.tap_words * rounds
        whole = whole and (product.inner > 1 or space.tile == space.size)
        moves = space.moves(Counter.INNER, product.inner)
        if load is weights and _turns(weights):
            whole, moves = space.size == product.rounds * load.walk.outer and space.tile == product.rounds, True
        if not (whole and parts and moves):
            yield (
                f"{load.source.name} are loaded with {space.size} positions in blocks of {space.tile}, which are not the "
                f"product's {product.rounds} rounds in parts of {product.part_rounds}"
            )


def _lines_of_tiles(config: AcceleratorConfig, product: Product, weights: Load, activations: Load) -> Iterator[str]:
    """Blocks have at most as many lines as a tile."""
    columns = product.vectors or config.columns * product.slot_columns
    for load, counter, count, most in (
        (weights, Counter.INNER if _turns(weights) else Counter.MIDDLE, product.middle, config.rows * product.slot_rows),
        (activations, Counter.OUTER, product.outer, columns),
    ):
        space = _lines(load)
        if not space.moves(counter, count) or space.tile > most:
            yield f"{load.source.name} must be loaded in at most {most} lines for each {counter.name.lower()} count"
        if product.cuts and load is activations and count > 1 and space.tile != most:
            yield f"{load.source.name} of a product with taps must be loaded in {most} lines, not {space.tile}"


def _room_in_shares(config: AcceleratorConfig, product: Product, weights: Load, activations: Load) -> Iterator[str]:
    """No two words stand in one place."""
    rounds, stays = min(product.part_rounds, product.rounds), product.vectors
    per_word = max(product.group_rounds, config.columns) if stays else product.group_rounds
    for load, lines, per_word_ in (
        (weights, product.slot_rows, config.max_group),
        (activations, stays or product.slot_columns, per_word),
    ):
        if product.cuts and load is activations:
            continue
        if load.line_words * per_word_ < rounds:
            yield f"{load.source.name} have lines of {load.line_words} words; {rounds} rounds take more"
        if load.word_step != 1 or lines * load.line_words > load.share_words:
            yield f"{load.source.name} have shares of {load.share_words} words, too few for {lines} lines of {load.line_words}"


def _held(config: AcceleratorConfig, product: Product, weights: Load, activations: Load) -> Iterator[str]:
    """What is held is in the buffer as a whole."""
    blocks = product.middle * product.inner
    if product.weights_held and product.outer > 1 and blocks > product.weight_shares:
        yield f"weight_shares must be at least {blocks} where weights are held, not {product.weight_shares}"
    shares, due = product.activation_shares, product.inner
    if product.cuts:
        due = min(product.outer, 1 + product.ahead + product.behind)
    elif not product.activations_held or product.middle == 1:
        return
    if shares < due:
        yield f"activation_shares must be at least {due} where activations are held, not {shares}"


def _ring(config: AcceleratorConfig, product: Product, load: Load) -> Iterator[str]:
    """Of a product with taps: shares side by side in a ring, and windows within those that are there."""
    lines, ring = config.columns * product.slot_columns, product.activation_shares * product.activation_share_words
    if (product.activation_share_words, product.activation_word_step) != (product.slot_columns, ring):
        yield f"a product with taps has a ring of {product.activation_word_step} lines of a bank, not {ring}"
    end = load.base + product.tap_words * load.word_step
    if end > config.activation_buffer_words:
        yield f"the ring ends at word {end} of a bank, which has {config.activation_buffer_words}"
    if _lines(load).size % (product.grid_y * product.grid_x):
        yield f"{_lines(load).size} pixels are no whole images of {product.grid_y} by {product.grid_x}"
    low, high = reach(product)
    if product.ahead < product.outer - 1 and product.ahead * lines < high:
        yield f"ahead must be at least {min(-(-high // lines), product.outer - 1)}, not {product.ahead}"
    if product.behind < product.outer - 1 and product.behind * lines < -low:
        yield f"behind must be at least {min(-(low // lines), product.outer - 1)}, not {product.behind}"


def reach(product: Product) -> tuple[int, int]:
    """The least and the most lines from a column's own pixel to that of a tap."""
    rows = [(product.start_y + y * product.step_y) * product.grid_x for y in (0, product.taps_y - 1)]
    columns = [product.start_x + x * product.step_x for x in (0, product.taps_x - 1)]
    return min(rows) + min(columns), max(rows) + max(columns)


def _part_problems(step: Pass, before: Pass) -> Iterator[str]:
    """A reduction that goes on has other terms of the same words."""
    if not step.options & PassOption.BESIDE:
        yield "a reduction goes on beside results; without them it does not"
    elif step.groups != before.groups:
        yield f"a reduction of {before.groups} words a term goes on beside results; it has {step.groups}"
    elif step.terms < PARTIAL_SUMS:
        yield f"terms must be at least {PARTIAL_SUMS} where a reduction goes on, not {step.terms}"


def _sums_problems(step: Pass, sums: Sums) -> Iterator[str]:
    """A pass takes all tiles that are left, or some outer counts of them, whose columns are whole tiles."""
    columns, tile = sums.columns
    if step.outer < sums.outer:
        columns = step.outer * tile
    given: dict[str, tuple[Any, Any]] = {
        "outer": (max(step.outer, sums.outer), sums.outer),
        "middle": (step.middle, sums.middle),
        "slot_rows": (step.slot_rows, sums.slot_rows),
        "rows": ((step.rows, min(step.row_tile, step.rows)), sums.rows),
        "columns": ((step.columns, min(step.column_tile, step.columns)), (columns, min(tile, columns))),
    }
    for name, (takes, gives) in given.items():
        if takes != gives:
            yield f"it takes {name} {takes}; the product gives {gives}"
