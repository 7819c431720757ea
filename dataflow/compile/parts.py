"""Operations of the vector unit in parts, one behind the other, and how long they take."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import gcd
from typing import Any

from hw.config import AcceleratorConfig
from hw.isa.bits import PassOption
from hw.isa.bounds import LARGEST
from hw.isa.commands import NO_LIMIT, Command, Load, Loop, Pass, Sink, Source, Store, Update, Walk

LATENCY_CYCLES = 300
"""About what an operation takes from its first word read to its last one written, beside its words."""

WHOLE = PassOption.FROM_SUMS | PassOption.BESIDE | PassOption.PLACES | PassOption.AT_PLACE
"""Options of passes that are never cut."""


def cycles_of(config: AcceleratorConfig, commands: Sequence[Command]) -> int:
    """Cycles of an operation from memory to memory, estimated: of the lanes, or of the port that reads or that writes."""
    words = sum(command.words for command in commands if isinstance(command, Pass | Update))
    read = sum(_beats(command.walk, config.axi_data_bytes) for command in commands if isinstance(command, Load))
    written = sum(_beats(command.walk, config.axi_data_bytes) for command in commands if isinstance(command, Store))
    return int(LATENCY_CYCLES + max(words, read, written))


def _beats(walk: Walk, beat: int) -> float:
    """Beats of all elements side by side, or of each word by itself where the next one is elsewhere."""
    size, run = 1 << walk.size_log2, walk.u[0].count
    ways = [loop.delta for space in (walk.u[1:], walk.v) for loop in space if loop.count > 1]
    if not ways or ways[0] == run * size:
        return walk.u_size * walk.v_size * size / beat
    word = min(walk.boundary, run) * size
    apart = any(way % min(word, beat) for way in (walk.base, *ways))
    return walk.v_size * -(-walk.u_size // min(walk.boundary, run)) * (max(1, word / beat) + apart * word / beat)


def span(walk: Walk) -> tuple[int, int]:
    """Addresses of the first byte that a walk may touch, and behind the last one; too wide rather than too narrow.

    Where what moves a guard moves the address by as much for each step of it, what the guard leaves out is left out.
    """
    size, run = 1 << walk.size_log2, min(walk.u[0].count, walk.run_limit if walk.run_limit != NO_LIMIT else LARGEST)
    if not run:
        return walk.base, walk.base
    moves = [(run, [size, 0, int(walk.run_guard)])]
    for space in (walk.u[1:], walk.v):
        moves += [(loop.count, move) for loop, move in zip(space, _moves_of(space), strict=True) if loop.count > 1]
    first, last = _reach([(count, move[0]) for count, move in moves if not (move[1] or move[2])])
    for guard, start, limit in ((1, walk.start_0, walk.limit_0), (2, walk.start_1, walk.limit_1)):
        guarded = [(count, move[0], move[guard]) for count, move in moves if move[guard]]
        low, high = _reach([(count, address) for count, address, _ in guarded])
        ways = {Fraction(address, step) for _, address, step in guarded}
        if len(ways) == 1 and not any(move[1] and move[2] for _, move in moves):
            (way,) = ways
            before, behind = _reach([(count, step) for count, _, step in guarded])
            inside = max(before, -start), min(behind, limit - 1 - start)
            if inside[0] > inside[1]:
                return walk.base, walk.base
            low, high = sorted(int(way * place) for place in inside)
        first, last = first + low, last + high
    return walk.base + first, walk.base + last + size


def _reach(loops: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """How far loops of so many steps move back, and on."""
    ways = [(count - 1) * step for count, step in loops]
    return sum(min(way, 0) for way in ways), sum(max(way, 0) for way in ways)


def parts_of(commands: Sequence[Command]) -> int:
    """Into how many equal parts an operation can be cut, so that each is one of the same kind; 1 where it can not.

    Reductions of rows, or of images, have results of their own in each part; one over all that is read does not.
    """
    steps = [command for command in commands if isinstance(command, Pass)]
    stores = [command for command in commands if isinstance(command, Store)]
    walks = [command.walk for command in commands if isinstance(command, Load | Store) and _moves(command, steps)]
    if len(steps) != 1 or [store.sink for store in stores] != [Sink.RESULTS] or any(one.conditional for one in commands):
        return 1
    (step,) = steps
    if step.options & WHOLE:
        return 1
    if step.options & PassOption.BY_ROW and any(_is_short(command, step) for command in commands):
        return 1
    rows = step.words // step.held if step.held and not step.options & PassOption.BY_ROW else 0  # that use all held factors
    each = step.groups * (1 if step.options & PassOption.ACROSS else step.terms)  # words of as many reductions as are at once
    reduced = (step.results, step.words // each) if each else ()
    return gcd(*map(_outermost, walks), step.words, rows, *reduced)


def part_of(commands: Sequence[Command], start: int, count: int, of: int) -> list[Command]:
    """`count` of so many parts, from part `start` on."""
    steps = [command for command in commands if isinstance(command, Pass)]
    made: list[Command] = []
    for command in commands:
        if isinstance(command, Pass):
            results = command.results // of * count if command.groups else command.results
            made.append(replace(command, words=command.words // of * count, results=results))
        elif isinstance(command, Load | Store) and _moves(command, steps):
            made.append(replace(command, walk=_part(command.walk, start, count, of)))
        else:
            made.append(command)
    return made


def _moves(command: Command, steps: Sequence[Pass]) -> bool:
    """Whether a stream goes on with the words: not factors of channels, which are held."""
    if isinstance(command, Load) and command.source is Source.FACTORS:
        return any(not step.held or bool(step.options & PassOption.BY_ROW) for step in steps)
    return isinstance(command, Load | Store)


def _is_short(command: Command, step: Pass) -> bool:
    """Whether a stream has factors of rows that are not as many as its words have room for, or of one word of each kind.

    Of one word the outermost loop is that of kinds; of the last word of several, a part would have fewer rows than others.
    """
    if not isinstance(command, Load) or command.source is not Source.FACTORS:
        return False
    served = command.walk.boundary * step.held_block * (step.terms if step.options & PassOption.ACROSS else 1)
    return bool(step.words % served) or (not step.groups and _place(command.walk)[1] == 0)


def _outermost(walk: Walk) -> int:
    """Parts of the outermost loop of a walk of one block that begin a word each; 1 where it is not cut."""
    space, index = _place(walk)
    if walk.outer * walk.middle * walk.inner > 1:
        return 1
    count, word = int(getattr(walk, space)[index].count), int(walk.boundary)
    if space == "v":
        return count
    if index == 0 and (walk.run_limit != NO_LIMIT or walk.run_guard):
        return 1
    within = walk.u_size // count
    if within % word == 0:
        return count
    return 1 if word % within or count % (word // within) else count * within // word


def _place(walk: Walk) -> tuple[str, int]:
    """The space of a walk's outermost loop, and which of its loops that is."""
    space = "v" if walk.v_size > 1 else "u"
    return space, max((index for index, loop in enumerate(getattr(walk, space)) if loop.count > 1), default=0)


def _moves_of(loops: Sequence[Loop]) -> list[list[int]]:
    """Of each loop, what an iteration of it adds to address and guards: what it says, and the way of those within."""
    moves, way = [], [0, 0, 0]
    for loop in loops:
        deltas = (loop.delta, loop.guard_0, loop.guard_1)
        moves.append([delta + back for delta, back in zip(deltas, way, strict=True)])
        way = [back + (loop.count - 1) * move for back, move in zip(way, moves[-1], strict=True)]
    return moves


def _part(walk: Walk, start: int, count: int, of: int) -> Walk:
    space, index = _place(walk)
    loops, run = list(getattr(walk, space)), space == "u"
    each = loops[index].count // of
    moves = [[1 << walk.size_log2, 0, 0]] if run else []
    move = [*moves, *_moves_of(loops[int(run) :])][index]
    loops[index] = replace(loops[index], count=each * count)
    size = getattr(walk, f"{space}_size") // of * count
    first = start * each
    changes: dict[str, Any] = {space: tuple(loops), f"{space}_size": size, f"{space}_tile": size}
    return replace(
        walk,
        base=walk.base + first * move[0],
        start_0=walk.start_0 + first * move[1],
        start_1=walk.start_1 + first * move[2],
        **changes,
    )
