"""The walker: from a command's walk to the elements' addresses, a chunk a cycle."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, ValueLike, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.isa.bounds import GUARD_BITS, MOST_SIZE_LOG2
from hw.isa.commands import LOOPS, NO_LIMIT, Counter, Walk
from hw.parts.layouts import pack, walk_layout


def chunk_layout(config: AcceleratorConfig, max_elements: int) -> data.StructLayout:
    """Elements that stand side by side in one beat, and where in the block they belong.

    Members
    -------
    count : elements of the chunk, 1..max_elements
    u, v : position of the first one in the block
    offset : byte in the beat of the first one
    size_log2 : bytes of an element
    outside : nothing is read or written; they read as zero
    lowest : in words of lanes they read as the lowest number
    end_of_beat : the next chunk needs another beat
    end_of_word : a multiple of `boundary`, or the end of the tile, has come
    end_of_block, last : of the tile loops, and of the walk
    """
    return data.StructLayout(
        {
            "count": (max_elements).bit_length(),
            "u": config.count_bits,
            "v": config.count_bits,
            "offset": (config.axi_data_bytes - 1).bit_length(),
            "size_log2": 2,
            "outside": 1,
            "lowest": 1,
            "end_of_beat": 1,
            "end_of_word": 1,
            "end_of_block": 1,
            "last": 1,
        }
    )


def request_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Bytes that stand side by side: the part of a run that is inside, up to the end of its tile."""
    return data.StructLayout({"address": config.address_bits, "bytes": config.count_bits + MOST_SIZE_LOG2})


def run_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A walk of 32-bit words that stand side by side: the byte of the first one, and how many."""
    return data.StructLayout({"base": config.address_bits, "words": config.count_bits})


def _words_of(config: AcceleratorConfig, run: data.View) -> data.View:
    """A walk of such words, most of whose fields are constants."""
    layout, usual = walk_layout(config), Walk()
    fields: dict[str, ValueLike] = {name: getattr(usual, name) for name, _ in layout if name not in "uv"}
    fields |= {"base": run.base, "size_log2": 2, "boundary": 1, "u_size": run.words, "u_tile": run.words}
    loop, once = layout["u"].shape.elem_shape, dict.fromkeys(("delta", "guard_0", "guard_1"), 0)
    loops = [pack(loop, once | {"count": count}) for count in (run.words, *[1] * (2 * LOOPS - 1))]
    fields |= {"u": Cat(loops[:LOOPS]), "v": Cat(loops[LOOPS:])}
    return data.View(layout, pack(layout, fields))


def place_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Where a space is: its loops' digits, what they add up to, and the elements before the tile."""
    return data.StructLayout(
        {
            "digits": data.ArrayLayout(config.count_bits, LOOPS),
            "offset": config.address_bits,
            "guard_0": signed(GUARD_BITS),
            "guard_1": signed(GUARD_BITS),
            "done": config.count_bits,
        }
    )


class Walker(wiring.Component):
    """Enumerates a walk, see `hw.isa.commands.Walk`.

    Parameters
    ----------
    config : AcceleratorConfig
        Width of a beat.
    max_elements : int
        Elements of a chunk at most.
    plain : bool
        Walks are but words that stand side by side, as those of a program.

    Members
    -------
    i : In(stream of walk_layout, or, if plain, of run_layout)
        Within `hw.isa.bounds`. Taken when the walk before has ended.
    o : Out(stream of chunk_layout)
        A chunk a cycle, from the second cycle after the walk was taken.
    requests : Out(stream of request_layout)
        For each run's part inside, offered with its first chunk, which is not taken before it.
    illegal : Out(1)
        High for a cycle: the walk is dropped: before its first chunk, as elements stand at no multiples of their size, or at a
        tile that begins behind the end of its space.
    idle : Out(1)
        No walk is inside.
    """

    def __init__(self, config: AcceleratorConfig, max_elements: int, *, plain: bool = False) -> None:
        self.config = config
        self.max_elements = max_elements
        self.plain = plain
        super().__init__(
            {
                "i": In(stream.Signature(run_layout(config) if plain else walk_layout(config))),
                "o": Out(stream.Signature(chunk_layout(config, max_elements))),
                "requests": Out(stream.Signature(request_layout(config))),
                "illegal": Out(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        held, active, checking = Signal(self.i.payload.shape()), Signal(), Signal()
        walk = _words_of(self.config, held) if self.plain else held
        tiles = _TileLoops(self.config, walk)
        u, v = _Space(m, self.config, walk, "u", run=True), _Space(m, self.config, walk, "v", run=False)
        in_word, take = Signal(16), Signal()

        outside, run = Signal(), _Whole(u) if self.plain else _Run(m, self.config, walk, u, v)
        guarded = _guarded(walk, u, v, 0) & (walk.run_guard[0] | _guarded(walk, u, v, 1))
        m.d.comb += outside.eq(run.before | run.behind | ~guarded)
        count, address, together = self._count(m, walk, u, v, run, in_word)
        u.advance(m, count)
        v.advance(m, Const(1))
        end_of_word, end_of_block = Signal(), Signal()
        begins = (u.digit == 0) | (u.position == 0) | run.begins
        asks = begins & ~outside
        empty = active & ~checking & ((u.left == 0) | (v.left == 0))
        running = active & ~checking & ~empty
        end_of_beat = (count == together) | (address[: len(self.o.payload.offset)] + (count << walk.size_log2)).bit_select(
            len(self.o.payload.offset), 1
        )
        m.d.comb += [
            end_of_word.eq(u.ends | (in_word + count == walk.boundary)),
            end_of_block.eq(u.ends & v.ends),
            self.o.valid.eq(running & (~asks | self.requests.ready)),
            self.requests.valid.eq(running & asks & self.o.ready),
            self.requests.payload.address.eq(address),
            self.requests.payload.bytes.eq(together << walk.size_log2),
            take.eq(self.o.valid & self.o.ready),
            self.o.payload.count.eq(count),
            self.o.payload.u.eq(u.position),
            self.o.payload.v.eq(v.position),
            self.o.payload.offset.eq(address),
            self.o.payload.size_log2.eq(walk.size_log2),
            self.o.payload.outside.eq(outside),
            self.o.payload.lowest.eq(walk.lowest[0]),
            self.o.payload.end_of_beat.eq(end_of_beat),
            self.o.payload.end_of_word.eq(end_of_word),
            self.o.payload.end_of_block.eq(end_of_block),
            self.o.payload.last.eq(end_of_block & tiles.last),
        ]
        with m.If(take):
            m.d.sync += in_word.eq(Mux(end_of_word, 0, in_word + count))
            u.step(m)
            with m.If(u.ends):
                v.step(m)
            with m.If(end_of_block):
                u.next_tile(m, tiles)
                v.next_tile(m, tiles)
                tiles.step(m)

        wrong = checking & ~_is_aligned(walk)
        m.d.comb += [self.i.ready.eq(~active), self.idle.eq(~active), self.illegal.eq(active & wrong | empty)]
        m.d.sync += checking.eq(0)
        with m.If((take & end_of_block & tiles.last) | self.illegal):
            m.d.sync += active.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [held.eq(self.i.payload), active.eq(1), checking.eq(1), in_word.eq(0)]
            for part in (tiles, u, v):
                part.restart(m)
        return m

    def _count(
        self, m: Module, walk: data.View, u: "_Space", v: "_Space", run: "_Run | _Whole", in_word: Signal
    ) -> tuple[Signal, Signal, Signal]:
        """Elements of this chunk, the address of the first, and how many stand side by side from there on."""
        address, together, beat = Signal(self.config.address_bits), Signal(self.config.count_bits), Signal(8)
        size, beat_bytes = walk.size_log2, self.config.axi_data_bytes
        of_run = least(m, "of_run", walk.u[0].count - u.digit, u.left)
        of_limit = Mux(run.behind, of_run, run.left)
        m.d.comb += [
            address.eq(walk.base + u.place.offset + v.place.offset + (u.digit << size)),
            together.eq(least(m, "of_limit", of_run, of_limit)),
            beat.eq((beat_bytes - (address & (beat_bytes - 1))) >> size),
        ]
        of_word = least(m, "of_word", together, (walk.boundary - in_word)[:16])
        return least(m, "count", of_word, least(m, "of_beat", beat, Const(self.max_elements))), address, together


class _Run:
    """Where a run is inside, as far as it says so itself.

    Attributes
    ----------
    before, behind, begins : Value
        Its digit is before the first one inside; behind the last one; the first one.
    left : Value
        Elements up to the first one inside, or from there on up to the last one.
    """

    def __init__(self, m: Module, config: AcceleratorConfig, walk: data.View, u: "_Space", v: "_Space") -> None:
        guard, guarded, limited = Signal(signed(GUARD_BITS)), walk.run_guard[0], walk.run_limit != NO_LIMIT
        bits = max(config.count_bits, GUARD_BITS)
        digit, far = u.digit, Const((1 << bits) - 1, bits)
        first, limit, last = (Signal(bits, name=f"run_{name}") for name in ("first", "limit", "last"))
        end = Signal(signed(GUARD_BITS + 1))  # the digit at which the guard comes to its limit
        m.d.comb += [
            guard.eq(walk.start_1 + u.place.guard_1 + v.place.guard_1),
            end.eq(walk.limit_1 - guard),
            first.eq(Mux(guarded & (guard < 0), -guard, 0)),
            limit.eq(Mux(limited, walk.run_limit, far)),
            last.eq(Mux(guarded, Mux(end < 0, 0, least(m, "of_guard", end, limit)), limit)),
        ]
        self.before, self.behind, self.begins = digit < first, digit >= last, digit == first
        self.left = (Mux(self.before, first, last) - digit)[:bits]


class _Whole:
    """As `_Run`, of a run that is inside as a whole."""

    def __init__(self, u: "_Space") -> None:
        self.before, self.behind, self.begins, self.left = Const(0), Const(0), u.digit == 0, u.left


class _TileLoops:
    """The counters of the tile loops, and what the end of a block does to each."""

    def __init__(self, config: AcceleratorConfig, walk: data.View) -> None:
        self.counters = [Signal(config.count_bits, name=name) for name in ("outer", "middle", "inner")]
        outer, middle, inner = (
            counter + 1 == count for counter, count in zip(self.counters, (walk.outer, walk.middle, walk.inner), strict=True)
        )
        self.last = outer & middle & inner
        self.counts_up = {Counter.OUTER: middle & inner, Counter.MIDDLE: ~middle & inner, Counter.INNER: ~inner}
        self.starts_again = {Counter.OUTER: Const(0), Counter.MIDDLE: middle & inner, Counter.INNER: inner}

    def step(self, m: Module) -> None:
        """At the end of a block."""
        for counter, kind in zip(self.counters, (Counter.OUTER, Counter.MIDDLE, Counter.INNER), strict=True):
            with m.If(self.starts_again[kind]):
                m.d.sync += counter.eq(0)
            with m.Elif(self.counts_up[kind]):
                m.d.sync += counter.eq(counter + 1)

    def restart(self, m: Module) -> None:
        """For a new walk."""
        m.d.sync += [counter.eq(0) for counter in self.counters]


class _Space:
    """One of the two spaces: where it is, where its tile began, and where it goes next."""

    def __init__(self, m: Module, config: AcceleratorConfig, walk: data.View, name: str, *, run: bool) -> None:
        self.loops, self.counter, self.run = walk[name], walk[f"{name}_counter"], run
        places = (Signal(place_layout(config), name=f"{name}_{part}") for part in ("place", "start", "after"))
        self.place, self.start, self.after = places
        self.position, self.left, self.ends = Signal(config.count_bits), Signal(config.count_bits), Signal()
        self.length = least(m, f"{name}_length", walk[f"{name}_tile"], walk[f"{name}_size"] - self.start.done)
        self.digit = self.place.digits[0]
        m.d.comb += self.left.eq(self.length - self.position)

    def advance(self, m: Module, count: Value) -> None:
        """Define `after`, this many elements on, and `ends`, whether the tile is then at its end."""
        place, carry, self.count = self.place, Const(1), count
        m.d.comb += [self.after.eq(place), self.ends.eq(self.left == count), self.after.done.eq(self.start.done + self.length)]
        stepping = []  # whether each loop is the one that steps, the run apart, whose place is its digit
        for number in range(LOOPS):
            step = count if number == 0 else Const(1)
            wraps = place.digits[number] + step == self.loops[number].count
            with m.If(carry):
                m.d.comb += self.after.digits[number].eq(Mux(wraps, 0, place.digits[number] + step))
            stepping.append(carry & ~wraps if number or not self.run else Const(0))
            carry = carry & wraps
        for name, delta in (("offset", "delta"), ("guard_0", "guard_0"), ("guard_1", "guard_1")):
            # One adder, whose operand is the delta of the loop that steps.
            moves = (Mux(steps, loop[delta], 0) for loop, steps in zip(self.loops, stepping, strict=True))
            m.d.comb += self.after[name].eq(place[name] + reduce(or_, (move.as_unsigned() for move in moves)).as_signed())

    def step(self, m: Module) -> None:
        """Take the advance; at the end of the tile go back to its start."""
        with m.If(self.ends):
            m.d.sync += [self.place.eq(self.start), self.position.eq(0)]
        with m.Else():
            m.d.sync += [self.place.eq(self.after), self.position.eq(self.position + self.count)]

    def next_tile(self, m: Module, tiles: _TileLoops) -> None:
        """At the end of a block: on, or back to the beginning, as the counter does that the space moves along with."""
        with m.Switch(self.counter):
            for kind in (Counter.OUTER, Counter.MIDDLE, Counter.INNER):
                with m.Case(kind):
                    with m.If(tiles.starts_again[kind]):
                        self.restart(m)
                    with m.Elif(tiles.counts_up[kind]):
                        m.d.sync += [self.place.eq(self.after), self.start.eq(self.after)]

    def restart(self, m: Module) -> None:
        """To the first element of all."""
        m.d.sync += [Value.cast(self.place).eq(0), Value.cast(self.start).eq(0), self.position.eq(0)]


def _guarded(walk: data.View, u: _Space, v: _Space, number: int) -> Value:
    """Whether a guard says that the run is inside."""
    name = f"guard_{number}"
    place = walk[f"start_{number}"] + u.place[name] + v.place[name]
    return (place >= 0) & (place < walk[f"limit_{number}"])


def _is_aligned(walk: data.View) -> Value:
    """Whether all elements stand at multiples of their size."""
    within = Cat(walk.size_log2 > bit for bit in range(MOST_SIZE_LOG2))
    any_of: Value = walk.base[:MOST_SIZE_LOG2]
    for loop in (*walk.u, *walk.v):
        any_of = any_of | loop.delta[:MOST_SIZE_LOG2]
    return (any_of & within) == 0


def least(m: Module, name: str, a: Value, b: Value) -> Signal:
    """The smaller of two numbers, neither of which is negative."""
    result = Signal(min(len(a), len(b)), name=name)
    m.d.comb += result.eq(Mux(a.as_unsigned() < b.as_unsigned(), a, b))
    return result


def first_lane(m: Module, chunk: data.View, takes: Value, lanes: int) -> Value:
    """The lane of a word in which a chunk that is taken begins: behind those of the chunks before in its word."""
    if lanes == 1:
        return Const(0)
    first = Signal(range(lanes), name="first_lane")
    with m.If(takes):
        m.d.sync += first.eq(Mux(chunk.end_of_word, 0, first + chunk.count))
    return first


def between(first: Value, number: int, end: Value) -> Value:
    """Whether `first` <= `number` < `end`, without the comparisons whose result is known, which linters mind."""
    begun = number >= first if number < (1 << len(first)) - 1 else Const(1, 1)
    return begun & (number < end) if number < (1 << len(end)) - 1 else Const(0, 1)
