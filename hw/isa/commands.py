"""The accelerator's commands and their encoding (plain Python): one description for hardware, assembler and documentation.

A program is a sequence of 32-bit words, the lowest byte first. A command is a header word and its fields in order, each 32 bits
or a half word, lower half first.

::

    header   opcode 7..0 | unit 15..8 | flags 23..16 (bit 16: skipped after an overflow) | words 31..24, header included
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import Any, ClassVar

from hw.config import MOST_ADDRESS_BITS
from hw.isa.bits import Bits, PassOption, PassStep, UpdateCopy
from hw.isa.functions import described
from hw.isa.microarchitecture import HELD_WORDS
from hw.isa.reductions import MOST_GROUPS, MOST_PLACES

LOOPS = 4
"""Loops of each of a walk's two spaces."""

NO_LIMIT = 0xFFFF
"""Of a run."""


class Opcode(IntEnum):
    """What a command is."""

    HALT = 0
    SYNC = 1
    LOAD = 2
    STORE = 3
    PRODUCT = 4
    PASS = 5
    UPDATE = 6


class Source(IntEnum):
    """A stream that is read from memory; also its AXI read ID."""

    FETCH = 0
    WEIGHTS = 1
    ACTIVATIONS = 2
    ELEMENTS = 3
    FACTORS = 4
    RESIDUAL = 5
    GATE = 6


class Sink(IntEnum):
    """A stream that is written to memory; also its AXI write ID."""

    RESULTS = 0
    COPY = 1
    FORWARD = 2
    BACKWARD = 3


class Counter(IntEnum):
    """The tile loops of a walk, outermost first; which of them a space moves along with."""

    NONE = 0
    OUTER = 1
    MIDDLE = 2
    INNER = 3


ADDRESS_BITS = MOST_ADDRESS_BITS
"""Of an address in the window; an accelerator may have fewer, `address_bits` of its configuration, and counts modulo these."""


def word(doc: str, bits: int = 32, *, signed: bool = False, default: int = 0) -> Any:  # noqa: ANN401 (a dataclass field)
    """A field of a command: its width and what it means."""
    return field(default=default, metadata={"bits": bits, "signed": signed, "doc": doc, "flags": None})


def flags(kind: type[Bits]) -> Any:  # noqa: ANN401 (a dataclass field)
    """A field of half a word whose bits say something each."""
    return field(default=0, metadata={"bits": 16, "signed": False, "doc": kind.described(), "flags": kind})


@dataclass(frozen=True, kw_only=True)
class Loop:
    """One loop of a space.

    The deltas are what an address, or a guard, moves by when this loop counts up and all inner ones of the space start again:
    its step less the way that the inner ones have come.
    """

    count: int = word("iterations, at least 1", 24, default=1)
    delta: int = word("bytes, a multiple of an element's size", ADDRESS_BITS, signed=True)
    guard_0: int = word("of the first guard", 16, signed=True)
    guard_1: int = word("of the second guard", 16, signed=True)


def space(doc: str) -> Any:  # noqa: ANN401 (a dataclass field)
    """A space of a walk: loops, the innermost first."""
    return field(default=(Loop(),) * LOOPS, metadata={"doc": doc})


@dataclass(frozen=True, kw_only=True)
class Walk:
    """Which elements of memory, in what order.

    ::

        for outer, middle, inner tiles:             blocks
            for v in the tile's part of v:
                for u in the tile's part of u:      element at base + u.offset + v.offset + u's run digit * element size

    The innermost loop of u is a *run*: its elements stand side by side in memory. An element is outside, reads as zero or as
    `lowest` says, and is not written, where a guard (its start plus both spaces' offsets) is not in 0 .. limit - 1, or the run
    digit is not below `run_limit`. With `run_guard` the run digit is part of the second guard, so that a run may begin and end
    outside.

    A space that moves along with a counter goes on to the next `*_tile` elements of its own with each count, and starts again
    when the counter does; a space that does not is whole in every block. No tile may begin behind the end of its space.
    """

    base: int = word("byte address in the window, a multiple of an element's size", ADDRESS_BITS)
    size_log2: int = word("bytes of an element, as a power of two: 0 to 3", 8)
    boundary: int = word("positions of u after which a chunk ends, counted in each tile", 16, default=1)
    outer: int = word("tile loop counts", default=1)
    middle: int = word("", default=1)
    inner: int = word("", default=1)
    u_counter: int = word("the Counter that u moves along with", 8)
    v_counter: int = word("the Counter that v moves along with", 8)
    lowest: int = word("1: in words of lanes, what is outside reads as the storage format's lowest number, not as zero", 16)
    u_size: int = word("elements of u", default=1)
    u_tile: int = word("of them in a tile", default=1)
    v_size: int = word("elements of v", default=1)
    v_tile: int = word("of them in a tile", default=1)
    run_limit: int = word("run digits from here on are outside; 65535: none", 16, default=NO_LIMIT)
    run_guard: int = word("1: the second guard counts the run's digits, too", 16)
    start_0: int = word("first guard", 16, signed=True)
    limit_0: int = word("", 16, default=0xFFFF)
    start_1: int = word("second guard", 16, signed=True)
    limit_1: int = word("", 16, default=0xFFFF)
    u: tuple[Loop, ...] = space("the run, and loops around it")
    v: tuple[Loop, ...] = space("the other space")


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command; `conditional` ones are skipped once a gradient was not finite."""

    OPCODE: ClassVar[Opcode]
    conditional: bool = False

    @property
    def unit(self) -> int:
        """The stream that it is for; 0 where the opcode says it."""
        return 0


@dataclass(frozen=True, kw_only=True)
class Halt(Command):
    """Wait as `Sync` does, then end the program."""

    OPCODE = Opcode.HALT


@dataclass(frozen=True, kw_only=True)
class Sync(Command):
    """Go on when every unit is idle and every write is answered: what follows may read what came before wrote."""

    OPCODE = Opcode.SYNC


@dataclass(frozen=True, kw_only=True)
class Load(Command):
    """Read a walk's elements for `source`.

    Of weights and activations, an element at line l and position k of a block is element k mod group of word w = k // group of
    its line; lines are the array's rows or columns. It goes to bank (l + w) mod lines, or l mod lines where lines are no power
    of two, at ``share * share_words + l // lines * line_words + w * word_step``. Where `spread` is not 0, for activations that
    pass weights, word w of a line goes to that many banks from w * spread mod lines on, at
    ``share * share_words + l * line_words + w * spread // lines``; a chunk is of one line, so that `boundary` is 1 where u are
    lines. Else the walk's `boundary` divides the lines, or, whichever u goes along, `group`; a whole `group` may be a multiple
    of `max_group` that `hw.isa.operands.chunk_elements` allows. Of other sources it is the number of vector lanes; or that of
    update lanes, for what an update takes; or, at most 16, that of a row's partial sums; as many elements of u make a word, and
    zeros are behind them.
    """

    OPCODE = Opcode.LOAD
    source: Source = Source.WEIGHTS
    walk: Walk = Walk()
    across: int = word("1: u are lines and v positions; 0: the other way round", 16)
    group: int = word("elements of a buffer word that are used, at most max_group", 16, default=1)
    shares: int = word("shares of the buffer, used in turn by block", default=1)
    share_words: int = word("words of a share")
    line_words: int = word("words from one line of a bank to the next in a share")
    word_step: int = word("words from one word of a line to the next", default=1)
    base: int = word("word of a bank at which the first share begins")
    beside: int = word(
        "1: begins while shares of the load before are in use, none of which it reaches; 0: when all are free", 16
    )
    spread: int = word("0: a bank holds lines; else all banks hold every line, and so many of them each of its groups", 16)
    after: int = word(
        "STORE.RESULTS since the last SYNC that are complete, all writes answered, before the first element is read", 16
    )
    spare: int = word("0", 16)

    @property
    def unit(self) -> int:
        return self.source


@dataclass(frozen=True, kw_only=True)
class Store(Command):
    """Write what `sink` gives along a walk, a word for as many elements of u as its `boundary` says.

    It is the number of vector lanes, or that of update lanes for what an update gives: the first lanes of each word.
    """

    OPCODE = Opcode.STORE
    sink: Sink = Sink.RESULTS
    walk: Walk = Walk()
    after: int = word(
        "STORE.RESULTS since the last SYNC that are complete, all writes answered, before the first element is written", 16
    )
    spare: int = word("0", 16)

    @property
    def unit(self) -> int:
        return self.sink


@dataclass(frozen=True, kw_only=True)
class Product(Command):
    """Run the array on tiles: outer loop columns, middle loop rows, inner loop parts of the reduction.

    With taps, the activations' lines are the pixels of images, loaded once, a share for each outer count, in a ring of
    ``shares * share_words`` lines of a bank, which is `activation_word_step`. Column n of the result then reads for tap (y, x)
    the line of the pixel `start_y` + y · `step_y` rows and `start_x` + x · `step_x` columns on from pixel n, zeros where that
    is not in its image.

    Where the weights' positions move along with the outer count, they are those of several products of one part, one behind the
    other: the load counts products, tiles of columns of one, and, innermost, tiles of rows. A pass takes all sums that are
    left, or those of its outer counts.
    """

    OPCODE = Opcode.PRODUCT
    outer: int = word("tiles along the columns of the result", default=1)
    middle: int = word("tiles along its rows", default=1)
    inner: int = word("parts of a tile's reduction", default=1)
    rounds: int = word("kept elements of the whole reduction", default=1)
    part_rounds: int = word("kept elements of a part, whole groups; the last one has what is left", default=1)
    group_rounds: int = word("kept elements that use one word of activations: max_group in a dense product", 16, default=1)
    dense: int = word("1: indices count up", 16)
    n: int = word("kept elements of a group, of which a word of activations may hold several", 16, default=1)
    m: int = word("elements of a group: where the indices of the next group of a word count from", 16, default=1)
    slot_rows: int = word("interleave slots on rows", 16, default=1)
    slot_columns: int = word("and on columns of a tile", 16, default=1)
    weight_shares: int = word("shares of the weights' buffer", default=1)
    weight_share_words: int = word("")
    weight_line_words: int = word("")
    weight_base: int = word("word of a bank at which the first one begins")
    activation_shares: int = word("shares of the activations' buffer", default=1)
    activation_share_words: int = word("")
    activation_line_words: int = word("")
    activation_word_step: int = word("", default=1)
    activation_base: int = word("")
    weights_held: int = word("1: weights are loaded for the first outer count only, and stay", 16)
    activations_held: int = word("1: activations are loaded for the first middle count only, and stay", 16)
    vectors: int = word("0: sums stay in the array; else weights do, and this is the columns of a tile")
    taps_y: int = word("taps of a window along the rows of an image; 1 and 1: lines are read as they are", 16, default=1)
    taps_x: int = word("and along its columns", 16, default=1)
    tap_words: int = word("words of a line: the reduction of one tap", default=1)
    grid_y: int = word("rows of an image, whose pixels are lines", 16, default=1)
    grid_x: int = word("and columns", 16, default=1)
    start_y: int = word("row of the first tap, from that of the column's own pixel on", 16, signed=True)
    start_x: int = word("and column", 16, signed=True)
    step_y: int = word("rows from one tap to the next", 16, signed=True)
    step_x: int = word("and columns", 16, signed=True)
    ahead: int = word("shares behind a tile's own that its windows reach", 16)
    behind: int = word("and shares before it", 16)

    @property
    def cuts(self) -> bool:
        """Whether it has taps."""
        return (self.taps_y, self.taps_x) != (1, 1)


@dataclass(frozen=True, kw_only=True)
class Pass(Command):
    """Run the vector unit over words of lanes, from memory or from the array's sums as tiles end.

    What leaves the lanes are the results, or, where `groups` is not 0, the terms of reductions, one after the other, each of
    `terms` terms of `groups` words. Results are then binary32 in the lower half of an element, a maximum's place in the upper.

    With `beside` both leave, and what is added up are results in the storage format where the pass narrows. The terms are
    columns, and come in the order of held factors by channel: for each tile of columns, for each `held_block` words of a term,
    column by column. Where `results` is 0 the reduction goes on: the next pass that reduces has other terms of it, at least
    sixteen.

    A place is counted, for gradients of maxima: for each of `place_rows` rows and in it `place_columns` columns, `place_words`
    words have the place `place` + row · `place_row_step` + column · `place_step`; then it begins again.
    """

    OPCODE = Opcode.PASS
    words: int = word("words of lanes that pass", default=1)
    steps: int = flags(PassStep)
    options: int = flags(PassOption)
    scale: int = word("binary32 factor a, unless `scale_factor`")
    shift: int = word("binary32 factor b, unless `shift_factor`")
    outer: int = word("sums: tiles along columns", default=1)
    middle: int = word("and rows", default=1)
    columns: int = word("sums, and held factors: columns of the result", default=1)
    column_tile: int = word("of them in a tile", default=1)
    rows: int = word("sums: rows of the result", default=1)
    row_tile: int = word("of them in a tile", default=1)
    slot_rows: int = word("sums: interleave slots on rows of a tile", 16, default=1)
    groups: int = word(f"0: nothing is reduced; else words of a term, at most {MOST_GROUPS}", 16)
    terms: int = word(f"of each reduction; of maxima at most {MOST_PLACES}", default=1)
    results: int = word("words that all reductions give; `beside`: 0 where the reduction goes on in the next pass that reduces")
    function: int = word(f"code of a function: {described()}", 16)
    place: int = word("the first place", 16)
    place_words: int = word("words that have the same place", 16, default=1)
    place_columns: int = word("places side by side", 16, default=1)
    place_step: int = word("from one of them to the next", 16)
    place_rows: int = word("rows of places", 16, default=1)
    place_row_step: int = word("from one row to the next", 16)
    held: int = word(f"0: a word of factors for each word; else words, at most {HELD_WORDS}, that are used again", 16)
    held_block: int = word("held factors by channel: words of a tile of rows; by row: words that a row's serve", 16, default=1)
    last_lanes: int = word("`across`: lanes of a row's last word that count, the first ones", 16)

    @property
    def goes_on(self) -> bool:
        """Whether its terms are not the last ones of its reduction."""
        return bool(self.groups and self.options & PassOption.BESIDE and not self.results)


@dataclass(frozen=True, kw_only=True)
class Update(Command):
    """Update master weights (factors: weight, velocity) by gradients (elements), and make their copies.

    With `moments`, factors are the discounted sums of a weight's gradients and of their squares instead, and go on by
    ``s ← momentum · s + g²`` for the latter and ``r ← g + weight_decay · r`` for the former.

    Words come as `hw.engines.pregenerate` takes them: lanes are output channels, blocks of max_group by max_group.
    """

    OPCODE = Opcode.UPDATE
    words: int = word("words of lanes that pass, whole blocks where there are packed copies", default=1)
    unscale: int = word("exponent of 1 / loss scale, -128 to 127", 16, signed=True)
    copies: int = flags(UpdateCopy)
    weight_decay: int = word("binary32")
    momentum: int = word("binary32")
    learning_rate: int = word("binary32")
    n: int = word("of the packed copies", 16, default=1)
    m: int = word("", 16, default=1)
    moments: int = word("1: moments of AdamW, without copies; where the accelerator has it", 16)
    spare: int = word("0", 16)


COMMANDS: dict[Opcode, type[Command]] = {kind.OPCODE: kind for kind in (Halt, Sync, Load, Store, Product, Pass, Update)}

STREAMS: dict[type[Command], tuple[str, type[Source] | type[Sink]]] = {Load: ("source", Source), Store: ("sink", Sink)}
"""Commands that are for a stream: the attribute that says which, and what there is."""


@dataclass(frozen=True)
class Field:
    """A field as it stands in a command: dotted name, bits, whether signed, what it means, and each bit of it."""

    name: str
    bits: int
    signed: bool
    doc: str
    flags: type[Bits] | None = None


def layout(kind: type) -> tuple[Field, ...]:
    """The fields of a command, or of a part of one, in the order of their encoding."""
    if kind not in _layouts:
        _layouts[kind] = tuple(_layout(kind))
    return _layouts[kind]


_layouts: dict[type, tuple[Field, ...]] = {}


def _layout(kind: type) -> Iterator[Field]:
    for entry in fields(kind):
        if "bits" in entry.metadata:
            yield Field(entry.name, **entry.metadata)
        elif entry.type in (Walk, "Walk"):
            yield from (Field(f"walk.{part.name}", part.bits, part.signed, part.doc) for part in layout(Walk))
        elif "doc" in entry.metadata:
            for number in range(LOOPS):
                yield from (Field(f"{entry.name}.{number}.{x.name}", x.bits, x.signed, x.doc) for x in layout(Loop))
