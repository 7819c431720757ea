"""A walk, element by element, in plain Python: what hardware and executors must agree with."""

from collections.abc import Iterator
from dataclasses import dataclass

from hw.isa.commands import ADDRESS_BITS, NO_LIMIT, Counter, Loop, Walk


@dataclass(frozen=True)
class Element:
    """An element: its block, its position there, its byte address, and whether it is outside."""

    block: int
    u: int
    v: int
    address: int
    outside: bool


def offsets(loops: tuple[Loop, ...], index: int, *, run: bool) -> tuple[int, int, int, int]:
    """Digit of the first loop, bytes and guards of element `index` of a space, counted up one by one."""
    digits = [0] * len(loops)
    moved = [0, 0, 0]
    for _ in range(index):
        for number, loop in enumerate(loops):
            if digits[number] + 1 < loop.count:
                digits[number] += 1
                if number or not run:
                    moved = [a + b for a, b in zip(moved, (loop.delta, loop.guard_0, loop.guard_1), strict=True)]
                break
            digits[number] = 0
    return (digits[0], *moved)


def elements(walk: Walk) -> Iterator[Element]:
    """All elements in order."""
    size = 1 << walk.size_log2
    block = 0
    for outer in range(walk.outer):
        for middle in range(walk.middle):
            for inner in range(walk.inner):
                count = {Counter.NONE: 0, Counter.OUTER: outer, Counter.MIDDLE: middle, Counter.INNER: inner}
                u0, v0 = count[walk.u_counter] * walk.u_tile, count[walk.v_counter] * walk.v_tile
                for v in range(min(walk.v_tile, walk.v_size - v0)):
                    _, v_bytes, *v_guards = offsets(walk.v, v0 + v, run=False)
                    for u in range(min(walk.u_tile, walk.u_size - u0)):
                        digit, u_bytes, *u_guards = offsets(walk.u, u0 + u, run=True)
                        places = [s + a + b for s, a, b in zip((walk.start_0, walk.start_1), u_guards, v_guards, strict=True)]
                        places[1] += digit if walk.run_guard else 0
                        inside = all(0 <= p < limit for p, limit in zip(places, (walk.limit_0, walk.limit_1), strict=True))
                        address = (walk.base + u_bytes + v_bytes + digit * size) % (1 << ADDRESS_BITS)
                        beyond = walk.run_limit != NO_LIMIT and digit >= walk.run_limit
                        yield Element(block, u, v, address, not inside or beyond)
                block += 1
