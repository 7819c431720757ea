"""Sections cut short: a few tiles of a product, the first words of a pass or an update, all else as it is.

::

    product     fewer tiles along columns, rows and the reduction; the last one of each is as long as it was
                with taps: whole rows of an image, or whole images; of a batch: whole products
    drains      of the tiles that are left, with what runs between them
    vector      the first words, as many as all walks can end with
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import lcm, prod
from typing import Any

from hw.config import AcceleratorConfig
from hw.isa.bits import PassOption
from hw.isa.checks import problems
from hw.isa.commands import Command, Counter, Load, Pass, Product, Source, Store, Update, Walk
from sim.validation.sections import Section
from training.machine.vector import words_of

LEVELS = {Counter.OUTER: "outer", Counter.MIDDLE: "middle", Counter.INNER: "inner"}


@dataclass(frozen=True)
class Limits:
    """How long a section may be.

    Parameters
    ----------
    tiles : (int, int, int)
        Along the columns of a product, its rows and its reduction.
    steps : int
        Of the array in a product: where the tiles have more, there are fewer, and of one alone fewer elements.
    words : int
        Of lanes in a pass or an update.
    """

    tiles: tuple[int, int, int]
    steps: int
    words: int


def cut(config: AcceleratorConfig, section: Section, limits: Limits) -> Section:
    """The section, or a short one of the same commands with smaller counts and sizes."""
    products = [command for operation in section.operations for command in operation if isinstance(command, Product)]
    if not products:
        return replace(section, operations=tuple(_first_words(config, one, limits.words) for one in section.operations))
    (product,) = products
    loads = {one.source: one for one in section.commands if isinstance(one, Load) and _begins(one)}
    kept = _Kept.of(config, product, loads, limits)
    made, left = list[tuple[Command, ...]](), kept.columns
    for operation in section.operations:
        begun = tuple(kept.begun(command) for command in operation if _begins(command))
        rest = tuple(command for command in operation if not _begins(command))
        drain = next((one for one in rest if isinstance(one, Pass) and one.options & PassOption.FROM_SUMS), None)
        if drain:
            columns = min(drain.columns, left)
            beside = rest[-1] if drain.options & PassOption.BESIDE else None
            rest, left = tuple(kept.drained(command, drain, columns, beside) for command in rest), left - columns
        else:
            rest = _first_words(config, rest, limits.words)
        made.append((*begun, *rest))
        if not left:
            break
    return replace(section, operations=tuple(made))


def _begins(command: Command) -> bool:
    """Whether a command is a product, or brings its operands."""
    operands = (Source.WEIGHTS, Source.ACTIVATIONS)
    return isinstance(command, Product) or (isinstance(command, Load) and command.source in operands)


Counts = dict[Counter, tuple[int, int | None]]
"""Of a walk: the most of each counter, and how long what moves along with it is; None: as the counts say."""


@dataclass(frozen=True)
class _Kept:
    """What of a product is kept.

    Parameters
    ----------
    product : Product
        With its new counts.
    columns : int
        Of the result.
    weights, activations : Counts
        Of the walks of its operands.
    lanes : int
        Of a word of its drain.
    """

    product: Product
    columns: int
    weights: Counts
    activations: Counts
    lanes: int

    @classmethod
    def of(cls, config: AcceleratorConfig, whole: Product, loads: Mapping[Source, Load], limits: Limits) -> "_Kept":
        outer, middle, inner = _tiles(whole, limits)
        weights, activations = loads[Source.WEIGHTS].walk, loads[Source.ACTIVATIONS].walk
        lines, tile = _along(activations, Counter.OUTER)
        columns, grid, rounds = _length(lines, tile, whole.outer, outer), whole.grid_y, whole.rounds
        of_weights: Counts = {Counter.OUTER: (outer, None), Counter.MIDDLE: (middle, None), Counter.INNER: (inner, None)}
        of_activations = dict(of_weights)
        if whole.cuts:
            rows = min(-(-outer * tile // whole.grid_x), lines // whole.grid_x)
            rows = rows if rows < grid else rows // grid * grid
            columns, grid = rows * whole.grid_x, min(rows, grid)
            of_weights[Counter.OUTER] = -(-columns // tile), None
        elif Counter.OUTER in (weights.u_counter, weights.v_counter):  # of a batch
            outer = max(1, outer // weights.middle) * weights.middle
            columns = outer * tile
            of_weights = {Counter.OUTER: (outer // weights.middle, None), Counter.INNER: (middle, None)}
        else:
            rounds = _length(whole.rounds, whole.part_rounds, whole.inner, inner)
            most = _most_rounds(config, whole, limits)
            if inner == 1 and most < rounds:
                rounds, group = most, loads[Source.ACTIVATIONS].group
                of_weights[Counter.INNER] = inner, rounds
                of_activations[Counter.INNER] = inner, rounds // whole.group_rounds * group
        outer = -(-columns // tile)
        product = replace(whole, outer=outer, middle=middle, inner=inner, rounds=rounds, grid_y=grid)
        of_activations[Counter.OUTER] = outer, columns
        return cls(product, columns, of_weights, of_activations, config.vpu_lanes)

    def begun(self, command: Command) -> Command:
        """The product, or a load of an operand."""
        if not isinstance(command, Load):
            return self.product
        counts = self.weights if command.source is Source.WEIGHTS else self.activations
        return replace(command, walk=_counted(command.walk, counts))

    def drained(self, command: Command, drain: Pass, columns: int, beside: Command | None) -> Command:
        """A command of a drain, of so many columns; `beside` stores their sums."""
        middle, outer = min(drain.middle, self.product.middle), -(-columns // drain.column_tile)
        rows = _length(drain.rows, drain.row_tile, drain.middle, middle)
        words = sum(-(-min(drain.row_tile, rows - row) // self.lanes) for row in range(0, rows, drain.row_tile))
        if command is beside and isinstance(command, Store):
            walk = first_of(command.walk, words)
            assert walk is not None  # the sums of all rows are one run
            return replace(command, walk=walk)
        if isinstance(command, Load | Store):
            return replace(
                command, walk=_counted(command.walk, {Counter.OUTER: (outer, columns), Counter.MIDDLE: (middle, rows)})
            )
        counts: dict[str, Any] = {"outer": outer, "middle": middle, "columns": columns, "rows": rows}
        if drain.held:
            counts["held"] = words
        if drain.options & PassOption.BESIDE:
            counts |= {"groups": words, "terms": columns, "results": words}
        return replace(drain, words=columns * words, **counts)


def _tiles(product: Product, limits: Limits) -> tuple[int, int, int]:
    """How many are kept."""
    counts = [min(pair) for pair in zip((product.outer, product.middle, product.inner), limits.tiles, strict=True)]
    steps = product.part_rounds * (product.vectors or product.slot_rows * product.slot_columns)
    for place in (2, 1, 0):
        if prod(counts) * steps > limits.steps:
            counts[place] = 1
    return counts[0], counts[1], counts[2]


def _most_rounds(config: AcceleratorConfig, product: Product, limits: Limits) -> int:
    """Kept elements of a reduction that is one part, whole words of activations and, where weights stay, whole blocks."""
    unit = lcm(product.group_rounds, config.columns) if product.vectors else product.group_rounds
    most = limits.steps // (product.vectors or product.slot_rows * product.slot_columns)
    return max(1, most // unit) * unit


def _along(walk: Walk, counter: Counter) -> tuple[int, int]:
    """Elements that move along with a counter, and those of a tile."""
    return (walk.u_size, walk.u_tile) if walk.u_counter == counter else (walk.v_size, walk.v_tile)


def _length(size: int, tile: int, count: int, kept: int) -> int:
    """Elements of so many of the tiles, the last one as long as it was."""
    return size - (count - kept) * tile


def _counted(walk: Walk, counts: Counts) -> Walk:
    """A walk with fewer counts."""
    changed: dict[str, Any] = {}
    for counter, (most, given) in counts.items():
        before = getattr(walk, LEVELS[counter])
        changed[LEVELS[counter]] = count = min(before, most)
        for space in "uv":
            if getattr(walk, f"{space}_counter") == counter:
                size, tile = getattr(walk, f"{space}_size"), getattr(walk, f"{space}_tile")
                length = min(size, given or _length(size, tile, before, count))
                changed |= {f"{space}_size": length, f"{space}_tile": min(tile, length)}
    return replace(walk, **changed)


def _first_words(config: AcceleratorConfig, operation: Sequence[Command], most: int) -> tuple[Command, ...]:
    """An operation of one pass or update, or as much of it as `most` words; all of it where its walks cannot end together."""
    works = [one for one in operation if isinstance(one, Pass | Update)]
    if len(works) == 1 and works[0].words > most:
        for words in range(most, 0, -1):
            if (made := _shortened(config, operation, works[0], words)) and not any(
                problem for one in made for problem in problems(config, one)
            ):
                return made
    return tuple(operation)


def _shortened(
    config: AcceleratorConfig, operation: Sequence[Command], work: Pass | Update, words: int
) -> tuple[Command, ...] | None:
    """So many words of it, if that is possible."""
    short = _work(work, words)
    if short is None:
        return None
    made, beside = list[Command](), isinstance(work, Pass) and work.options & PassOption.BESIDE
    for command in operation:
        if not isinstance(command, Load | Store):
            made.append(short)
            continue
        given, due = words_in(command.walk), (words, work.words)
        if isinstance(command, Load):
            due = words_of(config, short, command.source), words_of(config, work, command.source)
        elif isinstance(work, Pass) and isinstance(short, Pass) and work.groups and (not beside or command is operation[-1]):
            due = short.results, work.results
        walk = first_of(command.walk, given * due[0] // due[1])
        if walk is None or given * due[0] % due[1]:
            return None
        made.append(replace(command, walk=walk))
    return tuple(made)


def _work(work: Pass | Update, words: int) -> Pass | Update | None:
    """The pass or update of its first words: whole reductions, or some terms of the first one."""
    if isinstance(work, Update) or not work.groups:
        return replace(work, words=words)
    reductions, left = divmod(words, work.terms * work.groups)
    if reductions and not left:
        return replace(work, words=words, results=reductions * work.groups)
    if reductions or words % work.groups:
        return None
    return replace(work, words=words, terms=words // work.groups, results=work.groups)


def words_in(walk: Walk) -> int:
    """Words of lanes that a walk has."""
    counts = dict.fromkeys((Counter.NONE,), 1) | {counter: getattr(walk, name) for counter, name in LEVELS.items()}
    u = sum(-(-size // walk.boundary) for size in _parts(walk.u_size, walk.u_tile, counts[Counter(walk.u_counter)]))
    v = sum(_parts(walk.v_size, walk.v_tile, counts[Counter(walk.v_counter)]))
    moved = {Counter(walk.u_counter), Counter(walk.v_counter)}
    return u * v * prod(count for counter, count in counts.items() if counter not in moved)


def _parts(size: int, tile: int, count: int) -> Iterator[int]:
    """Elements of each tile."""
    return (min(tile, size - tile * number) for number in range(count))


def first_of(walk: Walk, words: int) -> Walk | None:
    """The first words of a walk, whole blocks, or whole rows of its first block, or some words of its first row; else None."""
    for counter, level in LEVELS.items():
        if words_in(walk) == words:
            return walk
        one = _leading(walk, counter, 1)
        if count := words // words_in(one):
            some = _leading(walk, counter, min(count, getattr(walk, level)))
            return some if words_in(some) == words else None
        walk = one
    rows, left = divmod(words, -(-walk.u_size // walk.boundary))
    if rows:
        return replace(walk, v_size=rows, v_tile=rows) if not left else None
    return replace(walk, v_size=1, v_tile=1, u_size=words * walk.boundary, u_tile=words * walk.boundary)


def _leading(walk: Walk, counter: Counter, count: int) -> Walk:
    """The first counts of a counter."""
    changed: dict[str, Any] = {LEVELS[counter]: count}
    for space in "uv":
        if getattr(walk, f"{space}_counter") == counter:
            changed[f"{space}_size"] = min(getattr(walk, f"{space}_size"), count * getattr(walk, f"{space}_tile"))
    return replace(walk, **changed)
