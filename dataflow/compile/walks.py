"""Matrix views as walks: the loops of a view, in bytes, with what keeps them inside their tensor."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from dataflow.compile.memory import Tensor
from dataflow.ir.program import MatrixView
from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.isa.bounds import LARGEST
from hw.isa.commands import LOOPS, NO_LIMIT, Counter, Loop, Walk

GUARDS = 2
"""Axes of a tensor that a walk can watch beside its run."""

MOST_GUARDED = 1 << 15
"""Of coordinates that a guard counts."""


@dataclass(frozen=True)
class Step:
    """A loop by what one iteration of it moves: bytes, and the two guarded coordinates."""

    count: int
    step: int
    guards: tuple[int, int] = (0, 0)


def loops(steps: Sequence[Step], *, run: bool) -> tuple[Loop, ...]:
    """Loops from steps, the innermost first; the first one is the run, whose way is not counted, where `run` is set."""
    made = []
    way = [0, 0, 0]
    for number, loop in enumerate(steps):
        if number or not run:
            moves = (loop.step, *loop.guards)
            delta, guard_0, guard_1 = (move - back for move, back in zip(moves, way, strict=True))
            way = [back + (loop.count - 1) * move for move, back in zip(moves, way, strict=True)]
            made.append(Loop(count=loop.count, delta=delta, guard_0=guard_0, guard_1=guard_1))
        else:
            made.append(Loop(count=loop.count))
    if len(made) > LOOPS:
        raise InputError(f"an access has {len(made)} loops; allowed: {LOOPS}")
    return (*made, *(Loop() for _ in range(LOOPS - len(made))))


@dataclass(frozen=True)
class Access:
    """A view of a tensor as two spaces, before it is cut into tiles.

    Parameters
    ----------
    walk : Walk
        With base, guards, run limit and loops; u and v whole.
    across : bool
        Whether the view's rows are u, so that the run goes along them, or its columns.
    """

    walk: Walk
    across: bool

    def of_columns(self, start: int, count: int) -> "Access":
        """So many columns of those that are even."""
        step = self.walk.v[0].delta
        walk = replace(
            self.walk, base=self.walk.base + start * step, v_size=count, v_tile=count, v=loops([Step(count, step)], run=False)
        )
        return Access(walk, self.across)

    @property
    def is_even(self) -> bool:
        """Whether each column is as far from the one before as the next: a loop without guards, and rows are u."""
        first, *others = self.walk.v
        return self.across and not any((first.guard_0, first.guard_1)) and all(loop.count == 1 for loop in others)

    def tiled(self, *, rows: tuple[Counter, int], columns: tuple[Counter, int], boundary: int, **more: Any) -> Walk:  # noqa: ANN401
        """The walk with rows and columns moving along with counters in tiles; `more` are other fields of it."""
        (u_counter, u_tile), (v_counter, v_tile) = (rows, columns) if self.across else (columns, rows)
        return replace(
            self.walk,
            u_counter=u_counter,
            u_tile=min(u_tile, self.walk.u_size),
            v_counter=v_counter,
            v_tile=min(v_tile, self.walk.v_size),
            boundary=boundary,
            **more,
        )


def access(config: AcceleratorConfig, view: MatrixView, tensor: Tensor, *, across: bool | None = None) -> Access:
    """The spaces of `view`.

    Parameters
    ----------
    view : MatrixView
        Single, without `each`.
    tensor : Tensor
        Where it reads or writes.
    across : bool, optional
        Which of rows and columns is u; by default where elements stand side by side.

    Raises
    ------
    InputError
        Where the view needs more loops or guards than a walk has.
    """
    rows, columns = ([loop for loop in side if loop.size > 1] for side in (view.rows, view.columns))
    last, strides = _last_axis(tensor, (*rows, *columns)), tensor.strides
    if across is None:
        across = _run_length(rows, last) > _run_length(columns, last)
    u, v = (rows, columns) if across else (columns, rows)
    run = u[-1:] if _run_length(u, last) else []
    watched = [axis for axis in range(len(tensor.shape)) if _leaves(view, tensor, axis)]
    limit = NO_LIMIT
    alone = run and view.origin[last] == 0 and sum(loop.axis == last for loop in (*rows, *columns)) == 1
    if last in watched and alone:
        watched.remove(last)
        limit = tensor.shape[last]
    if len(watched) > GUARDS:
        raise InputError(f"{view.region}: an access leaves its tensor along {len(watched)} axes; allowed: {GUARDS}")
    scale = dict.fromkeys(watched, 1)  # elements of the run that a place of each axis has
    inside = _guarded_run(view, tensor, u, watched, last) if run else None
    if inside is not None:
        run, scale[inside] = u[inside - last - 1 :], 1 if inside == last else tensor.shape[last]
        watched = [*(axis for axis in watched if axis != inside), inside]
    elif last in watched:
        run = []
    slots = [None] * (inside is not None and GUARDS - len(watched)) + watched

    def steps(side: Iterable) -> list[Step]:
        return [Step(loop.size, loop.step * strides[loop.axis], _moves(loop, slots, scale)) for loop in reversed(list(side))]

    first = Step(prod(loop.size for loop in run), tensor.element_bytes)
    outer = merged(steps(u[: len(u) - len(run)]))
    free = limit == NO_LIMIT and inside is None
    while outer and free and outer[0].step == first.count * first.step and not any(outer[0].guards):
        first = replace(first, count=first.count * outer.pop(0).count)
    guards = [(0, 0xFFFF)] * GUARDS
    for slot, axis in enumerate(slots):
        if axis is not None:
            guards[slot] = view.origin[axis] * scale[axis], tensor.shape[axis] * scale[axis]
    base = tensor.offset + sum(place * stride for place, stride in zip(view.origin, strides, strict=True))
    walk = Walk(
        base=base % (1 << config.address_bits),
        size_log2=tensor.element_bytes.bit_length() - 1,
        u_size=prod(loop.size for loop in u),
        u_tile=prod(loop.size for loop in u),
        v_size=prod(loop.size for loop in v),
        v_tile=prod(loop.size for loop in v),
        run_limit=limit,
        run_guard=int(inside is not None),
        start_0=guards[0][0],
        limit_0=guards[0][1],
        start_1=guards[1][0],
        limit_1=guards[1][1],
        u=loops([first, *outer], run=True),
        v=loops(merged(steps(v)), run=False),
    )
    return Access(walk, across)


def some_columns(config: AcceleratorConfig, view: MatrixView, tensor: Tensor, some: tuple[int, int]) -> Access | None:
    """Columns of a view whose rows are u: the first one, and how many; None where they are no loops of their own."""
    found = access(config, view, tensor, across=True)
    if found.is_even:
        return found.of_columns(*some)
    part = view.of_columns(*some)
    return access(config, part, tensor, across=True) if part else None


def in_words(base: int, element_bytes: int, lanes: int, u: Sequence[Step], v: Sequence[Step], **more: Any) -> Walk:  # noqa: ANN401
    """A walk of one block, all of both spaces, in words of lanes.

    Parameters
    ----------
    base : int
        Byte of the window.
    element_bytes, lanes : int
        Of an element; elements of u that make a word.
    u, v : sequence of Step
        The loops of each space, the innermost first; the first of u is the run.
    **more
        Other fields of the walk.
    """
    sizes = [prod(step.count for step in space) for space in (u, v)]
    return Walk(
        base=base,
        size_log2=element_bytes.bit_length() - 1,
        boundary=lanes,
        u_size=sizes[0],
        u_tile=sizes[0],
        v_size=sizes[1],
        v_tile=sizes[1],
        u=loops(u, run=True),
        v=loops(v, run=False),
        **more,
    )


def whole(tensor: Tensor, lanes: int) -> Walk:
    """All elements of a tensor in the order of its axes, in words of lanes.

    Elements that are more than can be counted are equal parts, each of which begins a word: so are those of every tensor of as
    many elements that stand one after the other.

    Raises
    ------
    InputError
        Where the tensor has more axes with steps of their own than a walk has loops, or more elements than it counts.
    """
    count = prod(tensor.shape)
    axes = zip(reversed(tensor.shape), reversed(tensor.strides), strict=True)
    steps = merged(Step(length, step) for length, step in axes if length > 1)
    size = tensor.element_bytes
    first = steps.pop(0) if steps and steps[0].step == size else Step(1, size)
    times = next(part for part in range(-(-count // LARGEST), count + 1) if count % part == 0)
    v: list[Step] = []
    if times > 1 and first.count == count:
        first, v = Step(count // times, size), [Step(times, count // times * size)]
    elif times > 1:
        raise InputError(f"{tensor.name}: more than {LARGEST:,} elements that do not stand one after the other")
    return in_words(tensor.offset, size, lanes, [first, *steps], v)


def by_rows(tensor: Tensor, lanes: int, repeated: int = 1) -> Walk:
    """The last axis of a tensor that stands as it is, row after row, each sample's rows `repeated` times."""
    size, length = tensor.element_bytes, tensor.shape[-1]
    samples, rows = tensor.shape[0], prod(tensor.shape[1:-1])
    steps = [Step(rows, length * size), Step(repeated, 0), Step(samples, rows * length * size)]
    return in_words(tensor.offset, size, lanes, [Step(length, size)], merged(step for step in steps if step.count > 1))


def words_of(walk: Walk) -> int:
    """Words of lanes that the only block of a walk has."""
    return walk.v_size * -(-walk.u_size // walk.boundary)


def merged(steps: Iterable[Step]) -> list[Step]:
    """Neighbouring loops, the innermost first, as one where the outer goes on where the inner ends."""
    made: list[Step] = []
    for step in steps:
        if made and made[-1].count * made[-1].step == step.step and not any((*made[-1].guards, *step.guards)):
            made[-1] = replace(made[-1], count=made[-1].count * step.count)
        else:
            made.append(step)
    return made


def _leaves(view: MatrixView, tensor: Tensor, axis: int) -> bool:
    """Whether some coordinate along `axis` is outside the tensor."""
    moves = [(loop.size - 1) * loop.step for loop in (*view.rows, *view.columns) if loop.axis == axis]
    low = view.origin[axis] + sum(move for move in moves if move < 0)
    high = view.origin[axis] + sum(move for move in moves if move > 0)
    return low < 0 or high >= tensor.shape[axis]


def _moves(loop: Any, slots: Sequence[int | None], scale: Mapping[int, int]) -> tuple[int, int]:  # noqa: ANN401 (a view's loop)
    first, second = (
        loop.step * scale[loop.axis] if place < len(slots) and slots[place] == loop.axis else 0 for place in range(GUARDS)
    )
    return first, second


def _last_axis(tensor: Tensor, view: Sequence) -> int:
    """The last axis that has more than one place, in memory or in the view."""
    if tensor.steps:
        return tensor.steps.index(tensor.element_bytes)
    longer = [axis for axis, size in enumerate(tensor.stored_shape) if size > 1]
    return max((*longer, *(loop.axis for loop in view)), default=len(tensor.shape) - 1)


def _run_length(side: Sequence, last: int) -> int:
    """Elements that the innermost loop finds side by side."""
    return side[-1].size if side and (side[-1].axis, side[-1].step) == (last, 1) else 0


def _guarded_run(view: MatrixView, tensor: Tensor, u: Sequence, watched: Sequence[int], last: int) -> int | None:
    """The axis along which a run may leave the tensor: the last one, or that before it where it is of whole pixels."""
    if last in watched:
        axis = last
    elif len(u) > 1 and last - 1 in watched and (u[-2].axis, u[-2].step) == (last - 1, 1):
        axis = last - 1
        if tensor.steps or (u[-1].size, view.origin[last]) != (tensor.stored_shape[last], 0):
            return None
    else:
        return None
    reach = sum(loop.size * abs(loop.step) for loop in (*view.rows, *view.columns) if loop.axis == axis)
    most = (abs(view.origin[axis]) + reach + tensor.shape[axis]) * (1 if axis == last else tensor.shape[last])
    return axis if most < MOST_GUARDED else None
