"""The walker: chunks of a walk, one a cycle."""

from math import lcm, prod
from typing import Any, Final, NamedTuple

import numpy as np

from dataflow.machine.units.clock import LANDMARK, ROW, Clock, Fifo, Unit
from dataflow.machine.units.rows import Numbers, Rows
from dataflow.machine.units.state import State
from hw.config import AcceleratorConfig
from hw.isa.bounds import GUARD_BITS
from hw.isa.commands import LOOPS, NO_LIMIT, Counter, Loop, Walk
from hw.isa.microarchitecture import PAGE_BYTES

ENDLESS = 1 << 40
"""No run is as long."""

OUTSIDE: Final = 1
END_OF_BEAT: Final = 2
END_OF_WORD: Final = 4
END_OF_BLOCK: Final = 8
LAST: Final = 16
ASKS: Final = 32
"""Bits of a chunk: those of `hw.walker.chunk_layout` that have to do with time, and whether a request comes with it."""

SEGMENT_ELEMENTS = 4096
"""A row that is longer, and the only one of its space, is looked at in pieces of whole pages."""


class Request(NamedTuple):
    """Beats to be read or written; in which beat of a page they begin, or 0 where they do not cross one."""

    place: int
    beats: int


Row = tuple[tuple[int, ...], tuple[Request | None, ...]]
"""Chunks, and the request of each."""


class Space:
    """One of a walk's two spaces: where its elements are, and which of them a block has."""

    def __init__(self, walk: Walk, loops: tuple[Loop, ...], counter: int, size: int, tile: int, *, run: bool) -> None:
        self.loops, self.counter, self.tile, self.run = loops, Counter(counter), tile, run
        counts = {Counter.NONE: 1, Counter.OUTER: walk.outer, Counter.MIDDLE: walk.middle, Counter.INNER: walk.inner}
        self.tiles = counts[self.counter]
        self.tile = min(size, tile) if self.counter == Counter.NONE else tile
        self.size = min(size, self.tiles * self.tile)
        self.ways = [prod(loop.count for loop in loops[:number]) for number in range(LOOPS + 1)]
        self.moves = {
            name: [
                (getattr(loop, name), self.ways[number], self.ways[number + 1])
                for number, loop in enumerate(loops)
                if getattr(loop, name) and (number or not run)
            ]
            for name in ("delta", "guard_0", "guard_1")
        }

    def digit(self, elements: Any, number: int) -> Any:  # noqa: ANN401 (a number, or an array of them)
        """Of a loop."""
        return elements // self.ways[number] % self.loops[number].count

    def moved(self, elements: Any, name: str) -> Any:  # noqa: ANN401 (a number, or an array of them)
        """What the loops, but for a run, have moved an address or a guard by."""
        total: Any = 0
        for step, inside, around in self.moves[name]:
            total = total + step * (elements // inside - elements // around)
        return total

    def reach(self, name: str) -> int:
        """How far apart two values of a guard can be; where it may go round, too far for any limit."""
        total = way = 0
        for number, loop in enumerate(self.loops):
            if number or not self.run:
                move = getattr(loop, name) + way
                way += (loop.count - 1) * move
                total += (loop.count - 1) * abs(move)
        return total * -(-self.size // self.ways[LOOPS])

    def lengths(self, tiles: Numbers) -> Numbers:
        """Elements of tiles."""
        return np.minimum(self.tile, self.size - tiles * self.tile)


def _around(guard: Numbers) -> Numbers:
    """In as many bits as the hardware has for what a space adds."""
    half = 1 << GUARD_BITS - 1
    return (guard + half) % (2 * half) - half


class WalkRows(Rows):
    """The rows of a walk, block after block: the chunks of u for one element of v, of at most `most` elements each.

    Where u is long and whole in each block, a row is a piece of it. Words are of one stream whatever block they are of: without
    `ends`, rows that end a block are like others, but for the last of all.
    """

    def __init__(self, walk: Walk, config: AcceleratorConfig, most: int, *, ends: bool = True) -> None:
        self.walk, self.beat_bytes, self.most, self.ends = walk, config.axi_data_bytes, most, ends
        self.window = 1 << config.address_bits
        self.u = Space(walk, walk.u, walk.u_counter, walk.u_size, walk.u_tile, run=True)
        self.v = Space(walk, walk.v, walk.v_counter, walk.v_size, walk.v_tile, run=False)
        self.blocks = walk.outer * walk.middle * walk.inner
        piece = lcm(walk.boundary, PAGE_BYTES >> walk.size_log2)
        self.piece = self.u.tile if self.u.tiles > 1 or self.u.tile <= max(SEGMENT_ELEMENTS, piece) else piece
        self.pieces = -(-self.u.size // self.piece) if self.u.tiles == 1 else 1
        self.limit = ENDLESS if walk.run_limit == NO_LIMIT else walk.run_limit
        self.guarded = [
            (walk.start_0, walk.limit_0, "guard_0", self.u.reach("guard_0")),
            (walk.start_1, walk.limit_1, "guard_1", self.u.reach("guard_1") + walk.run_guard * walk.u[0].count),
        ]
        self.others = prod(loop.count for loop in walk.u[1:]) > 1
        per_block = {Counter.NONE: self.blocks * self.v.size, Counter.OUTER: walk.middle * walk.inner * self.v.size,
                     Counter.MIDDLE: walk.outer * walk.inner * self.v.size,
                     Counter.INNER: walk.outer * walk.middle * self.v.size}  # fmt: skip
        super().__init__(per_block[self.v.counter] * self.pieces)

    def _places(self, numbers: Numbers) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        """Block, element of v, whether it is the block's last, and piece of u."""
        walk, v = self.walk, self.v
        rows, piece = np.divmod(numbers, self.pieces)
        # Blocks in which v stays at one tile follow each other: those of all counters inside its own.
        inside = {
            Counter.NONE: self.blocks,
            Counter.OUTER: walk.middle * walk.inner,
            Counter.MIDDLE: walk.inner,
            Counter.INNER: 1,
        }
        together = inside[v.counter]
        again, rest = np.divmod(rows, together * v.size)
        tile = np.minimum(rest // (together * v.tile), v.tiles - 1)
        rest = rest - tile * (together * v.tile)
        length = v.lengths(tile)
        block, row = np.divmod(rest, length)
        return (again * v.tiles + tile) * together + block, tile * v.tile + row, row == length - 1, piece

    def _starts(self, numbers: Numbers) -> tuple[Numbers, ...]:
        """Block, v, last of the block, first element of u, how many there are from it on, and the piece."""
        walk, u = self.walk, self.u
        block, v, last_row, piece = self._places(numbers)
        counts = {Counter.NONE: block * 0, Counter.OUTER: block // (walk.middle * walk.inner),
                  Counter.MIDDLE: block // walk.inner % walk.middle, Counter.INNER: block % walk.inner}  # fmt: skip
        tile = counts[u.counter]
        return block, v, last_row, tile * u.tile + piece * self.piece, u.lengths(tile) - piece * self.piece, piece

    def _place(self, v: Any, element: Any) -> tuple[Any, list[Any]]:  # noqa: ANN401 (numbers, or arrays of them)
        """Address and guards of an element."""
        walk = self.walk
        digit = self.u.digit(element, 0) << walk.size_log2
        address = (walk.base + self.v.moved(v, "delta") + self.u.moved(element, "delta") + digit) % self.window
        moved = ((start, self.v.moved(v, name), self.u.moved(element, name)) for start, _, name, _ in self.guarded)
        return address, [start + _around(of_v) + _around(of_u) for start, of_v, of_u in moved]

    def last_byte(self) -> int:
        """Of all elements that are inside; -1 where none is."""
        walk, last = self.walk, -1
        for number in range(self.total):
            _, v, _, start, left, _ = (int(values[0]) for values in self._starts(np.array([number], np.int64)))
            elements = start + np.arange(min(left, self.piece))
            address, guards = self._place(np.full_like(elements, v), elements)
            inside = self.u.digit(elements, 0) < walk.run_limit
            for guard, (_, limit, _, _) in zip(guards, self.guarded, strict=True):
                inside &= (guard >= 0) & (guard < limit)
            last = max(last, int(address[inside].max(initial=-1)))
        return last + (1 << walk.size_log2) - 1 if last >= 0 else -1

    def columns(self, numbers: Numbers) -> list[Numbers]:
        walk, u = self.walk, self.u
        block, v, last_row, element, left, piece = self._starts(numbers)
        last_block = block == self.blocks - 1
        address, guards = self._place(v, element)
        run, digit = walk.u[0].count, u.digit(element, 0)
        length = np.minimum(left, self.piece)
        alone = (length <= run - digit) if self.others or self.limit < run else np.ones_like(v, bool)
        alone &= self.limit >= run and not walk.run_guard
        # In one run: whether it is asked for, how much, and where in a page if it does not end in it.
        asked = np.where((digit == 0) | (piece == 0), np.minimum(run - digit, left), 0)
        crosses = (address % PAGE_BYTES) + (asked << walk.size_log2) > PAGE_BYTES
        place = np.where(alone & ~crosses, address % self.beat_bytes, address % PAGE_BYTES)
        columns = [
            last_row & (last_block | self.ends), last_row & last_block, left <= self.piece, length, place,
            np.where(alone, asked, -1 - (piece == 0)), *(np.where(alone, 0, u.digit(element, n)) for n in range(LOOPS)),
            np.where(alone, 0, left),
        ]  # fmt: skip
        for guard, (_, limit, _, reach) in zip(guards, self.guarded, strict=True):
            within = (guard >= reach) & (guard + reach < limit)
            inside = np.where((guard >= 0) & (guard < limit), 1 << 20, 1 << 21)
            columns.append(np.where(within, 1 << 20, np.where(alone, inside, guard)))
            columns.append(
                numbers if reach >> GUARD_BITS - 1 else np.zeros_like(numbers)
            )  # it may go round: none is like another
        return [np.asarray(column, np.int64) for column in columns]

    def make(self, number: int) -> Row:
        """Its chunks, as `hw.walker.Walker` cuts them, and their requests."""
        walk, u, most = self.walk, self.u, self.most
        block, v, last_row, start, left, piece = (int(values[0]) for values in self._starts(np.array([number], np.int64)))
        size, run, boundary = walk.size_log2, walk.u[0].count, walk.boundary
        end = min(left, self.piece)
        chunks: list[int] = []
        requests: list[Request | None] = []
        position, inside, address = 0, False, 0
        digit, in_word, again, first, limit = 0, 0, True, 0, self.limit
        while position < end:
            if again:  # a run, or where it begins
                address, guards = self._place(v, start + position)
                digit = u.digit(start + position, 0)
                within = [0 <= guard < bound for guard, (_, bound, _, _) in zip(guards, self.guarded, strict=True)]
                kept = within[0] and (within[1] or bool(walk.run_guard))
                first, limit = self._of_run(guards[1])
            together = min(run - digit, left - position)
            inside = kept and first <= digit < limit
            if digit < limit:
                together = min(together, (first if digit < first else limit) - digit)
            offset = address % self.beat_bytes
            count = min(together, boundary - in_word, (self.beat_bytes - offset) >> size, most)
            ends = position + count == left
            begins = digit == 0 or (position == 0 and piece == 0) or digit == first
            end_of_word = ends or in_word + count == boundary
            end_of_block = ends and last_row
            asks = begins and inside
            chunks.append(
                OUTSIDE * (not inside) | END_OF_BEAT * (count == together or offset + (count << size) >= self.beat_bytes)
                | END_OF_WORD * end_of_word | END_OF_BLOCK * (end_of_block and self.ends)
                | LAST * (end_of_block and block == self.blocks - 1) | ASKS * asks
            )  # fmt: skip
            requests.append(self._request(address, together << size) if asks else None)
            position += count
            in_word = 0 if end_of_word else in_word + count
            digit, address = digit + count, (address + (count << size)) % self.window
            again = digit == run
        return tuple(chunks), tuple(requests)

    def outline(self, content: Row) -> tuple[bool, ...]:
        """Which chunks are outside."""
        return tuple(bool(chunk & OUTSIDE) for chunk in content[0])

    def _of_run(self, guard: int) -> tuple[int, int]:
        """The first digit of a run that is inside as far as the run itself says, and the one behind the last."""
        if not self.walk.run_guard:
            return 0, self.limit
        return max(0, -guard), min(self.limit, max(0, self.walk.limit_1 - guard))

    def _request(self, address: int, size: int) -> Request:
        beats = -(-(address % self.beat_bytes + size) // self.beat_bytes)
        place, page = address % PAGE_BYTES // self.beat_bytes, PAGE_BYTES // self.beat_bytes
        return Request(place if place + beats > page else 0, beats)


class Walker(Unit):
    """Puts a walk's chunks and requests into their FIFOs.

    Parameters
    ----------
    clock, config, max_elements
        Time, and as of `hw.walker.Walker`.
    i, o, requests : Fifo
        Walks in; chunks and requests out.
    ends : bool
        Whether who takes the chunks looks at the ends of blocks.
    """

    def __init__(
        self, clock: Clock, config: AcceleratorConfig, max_elements: int, i: Fifo, o: Fifo, requests: Fifo, *, ends: bool
    ) -> None:
        super().__init__(clock)
        self.config, self.max_elements, self.ends = config, max_elements, ends
        self.i, self.o, self.requests = i, o, requests
        i.sink = o.source = requests.source = self
        self._rows: WalkRows | None = None
        self._number = self._chunk = 0
        self._chunks: tuple[int, ...] = ()
        self._requests: tuple[Request | None, ...] = ()
        self._free_at = 0

    def state(self, out: State) -> None:
        out.time(self._free_at)
        out.same(self._rows is not None)
        if self._rows is not None:
            out.thing(self._rows.walk)
            out.same(self._chunk)
            # _chunks and _requests are the content of this row.
            out.row(self, "_number", self._rows)

    @property
    def idle(self) -> bool:
        """No walk is inside."""
        return self._rows is None and self.clock.now >= self._free_at

    def step(self) -> None:
        if self._rows is not None:
            self._offer(self._rows)
        elif self.i.valid and self.idle:
            self._rows = WalkRows(self.i.take(), self.config, self.max_elements, ends=self.ends)
            self._number = 0
            self._begin(self._rows)
            self.wake(2)
            self._free_at = self.clock.now + 2  # checked first

    def _begin(self, rows: WalkRows) -> None:
        self._chunk = 0
        self._chunks, self._requests = rows.content(self._number)
        self.clock.marked |= LANDMARK if self._number in rows.landmarks else ROW

    def _offer(self, rows: WalkRows) -> None:
        chunk = self._chunks[self._chunk]
        if self.clock.now < self._free_at or not self.o.ready or (chunk & ASKS and not self.requests.ready):
            return
        self.o.put(chunk)
        if chunk & ASKS:
            self.requests.put(self._requests[self._chunk])
        self._chunk += 1
        if self._chunk == len(self._chunks):
            self._number += 1
            if self._number == rows.total:
                self._rows, self._free_at = None, self.clock.now + 1
            else:
                self._begin(rows)
        self.wake()
