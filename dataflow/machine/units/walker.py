"""The walker: chunks of a walk, one a cycle."""

from collections.abc import Iterator
from typing import NamedTuple

from dataflow.machine.units.clock import Clock, Fifo, Unit
from hw.isa.commands import LOOPS, Counter, Loop, Walk

WORD = 1 << 32


class Chunk(NamedTuple):
    """As in `hw.walker.chunk_layout`, of what has a cycle's worth of meaning; the request that comes with it, or None."""

    outside: bool
    end_of_beat: bool
    end_of_word: bool
    end_of_block: bool
    last: bool
    request: tuple[int, int] | None


class Space:
    """One of a walk's two spaces: digits of its loops, what they add up to, where its tile began and where it ended."""

    def __init__(self, loops: tuple[Loop, ...], counter: int, size: int, tile: int, *, run: bool) -> None:
        self.loops, self.counter, self.size, self.tile, self.run = loops, counter, size, tile, run
        self.restart()

    def restart(self) -> None:
        """To the first element of all."""
        self.done = 0
        self.start = ((0,) * LOOPS, 0, 0, 0)
        self.begin()

    def begin(self) -> None:
        """To the start of the tile."""
        digits, self.offset, self.guard_0, self.guard_1 = self.start
        self.digits = list(digits)
        self.length = min(self.tile, self.size - self.done)

    def advance(self, count: int) -> None:
        """So many elements on, within the innermost loop."""
        step = count
        for number, loop in enumerate(self.loops):
            self.digits[number] += step
            if self.digits[number] != loop.count:
                if number or not self.run:
                    self.offset += loop.delta
                    self.guard_0 += loop.guard_0
                    self.guard_1 += loop.guard_1
                return
            self.digits[number], step = 0, 1

    def next_tile(self, outer_up: bool, middle_up: bool, inner_up: bool) -> None:
        """At the end of a block, with the counters that do not start again."""
        up = {Counter.OUTER: outer_up, Counter.MIDDLE: middle_up, Counter.INNER: inner_up}
        again = {Counter.OUTER: False, Counter.MIDDLE: outer_up, Counter.INNER: outer_up or middle_up}
        if self.counter != Counter.NONE and again[Counter(self.counter)]:
            self.restart()
        elif self.counter != Counter.NONE and up[Counter(self.counter)]:
            self.done += self.length
            self.start = (tuple(self.digits), self.offset, self.guard_0, self.guard_1)
        self.begin()


def chunks(walk: Walk, beat_bytes: int, most: int) -> Iterator[Chunk]:
    """The chunks of a walk, of at most `most` elements, as `hw.walker.Walker` cuts them."""
    u = Space(walk.u, walk.u_counter, walk.u_size, walk.u_tile, run=True)
    v = Space(walk.v, walk.v_counter, walk.v_size, walk.v_tile, run=False)
    blocks = walk.outer * walk.middle * walk.inner
    for block in range(1, blocks + 1):
        last_block = block == blocks
        for row in range(v.length):
            u.begin()
            yield from _row(walk, u, v, beat_bytes, most, row == v.length - 1, last_block)
            v.advance(1)
        inner_up = bool(block % walk.inner)
        outer_up = not block % (walk.inner * walk.middle)
        for space in (u, v):
            space.next_tile(outer_up, not inner_up and not outer_up, inner_up)


def _row(walk: Walk, u: Space, v: Space, beat_bytes: int, most: int, last_row: bool, last_block: bool) -> Iterator[Chunk]:
    """Those of u, for one element of v."""
    size, run, limit, boundary = walk.size_log2, walk.u[0].count, walk.run_limit, walk.boundary
    position, in_word, length = 0, 0, u.length
    base, guard_0, guard_1 = walk.base + v.offset, walk.start_0 + v.guard_0, walk.start_1 + v.guard_1
    while position < length:
        digit = u.digits[0]
        address = (base + u.offset + (digit << size)) % WORD
        together = min(run - digit, length - position)
        inside = digit < limit and 0 <= guard_0 + u.guard_0 < walk.limit_0 and 0 <= guard_1 + u.guard_1 < walk.limit_1
        if digit < limit:
            together = min(together, limit - digit)
        offset = address % beat_bytes
        count = min(together, boundary - in_word, (beat_bytes - offset) >> size, most)
        ends = position + count == length
        begins = digit == 0 or position == 0 or digit == limit
        end_of_word = ends or in_word + count == boundary
        end_of_block = ends and last_row
        yield Chunk(
            not inside,
            count == together or offset + (count << size) >= beat_bytes,
            end_of_word,
            end_of_block,
            end_of_block and last_block,
            (address, together << size) if begins and inside else None,
        )
        position += count
        in_word = 0 if end_of_word else in_word + count
        u.advance(count)


class Walker(Unit):
    """Puts a walk's chunks and requests into their FIFOs.

    Parameters
    ----------
    clock, beat_bytes, max_elements
        Time, and as of `hw.walker.Walker`.
    i, o, requests : Fifo
        Walks in; chunks and (address, bytes) out.
    """

    def __init__(self, clock: Clock, beat_bytes: int, max_elements: int, i: Fifo, o: Fifo, requests: Fifo) -> None:
        super().__init__(clock)
        self.beat_bytes, self.max_elements, self.i, self.o, self.requests = beat_bytes, max_elements, i, o, requests
        i.sink = o.source = requests.source = self
        self._chunks: Iterator[Chunk] = iter(())
        self._chunk: Chunk | None = None
        self._free_at = 0

    @property
    def idle(self) -> bool:
        """No walk is inside."""
        return self._chunk is None and self.clock.now >= self._free_at

    def step(self) -> None:
        if self._chunk:
            self._offer(self._chunk)
        elif self.i.valid and self.idle:
            self._chunks = chunks(self.i.take(), self.beat_bytes, self.max_elements)
            self._chunk = next(self._chunks)
            self.wake(2)
            self._free_at = self.clock.now + 2  # checked first

    def _offer(self, chunk: Chunk) -> None:
        if self.clock.now < self._free_at or not self.o.ready or (chunk.request and not self.requests.ready):
            return
        self.o.put(chunk)
        if chunk.request:
            self.requests.put(chunk.request)
        self._chunk = next(self._chunks, None)
        if not self._chunk:
            self._free_at = self.clock.now + 1
        self.wake()
