"""The array with its buffers: blocks, parts, steps and tiles."""

from collections import deque
from typing import NamedTuple

import numpy as np

from dataflow.machine.units.clock import HAND_OUT, Clock, Fifo, Meter, Unit
from dataflow.machine.units.rows import Numbers, Rows
from dataflow.machine.units.state import State
from dataflow.machine.units.stationary import Passing
from dataflow.machine.units.walker import END_OF_BLOCK, LAST
from hw.config import AcceleratorConfig
from hw.isa.commands import Load, Pass, Product
from hw.isa.microarchitecture import FEED_WORDS, PART_WORDS, RESULT_TILES, TILE_WORDS
from hw.isa.operands import MASK_SETS, feed_words, read_cycles

TOKEN_CYCLES = 3
"""From a block's last chunk until the tile loops know of it."""
MASK_CYCLES = 3
"""From a tile's last column until the tile loops know of its masks."""
START_CYCLES = 2
"""From taking a product until its masks begin."""
READ_CYCLES = 2
"""From a buffer word's address until the word is offered."""
UNBOUNDED = 1 << 30


def tile_words(config: AcceleratorConfig, product: Product) -> int:
    """Words of sums that each tile of a product takes up in the output buffer."""
    return product.vectors or product.slot_rows * product.slot_columns * config.columns


class OperandBuffer(Unit):
    """Takes the chunks of loads, block by block, each when its share is free.

    Parameters
    ----------
    clock : Clock
        Time.
    loads, i : Fifo
        Placements, and chunks.
    waits_free : Meter
        Cycles in which a block waits for a share, of this buffer or another.
    """

    def __init__(self, clock: Clock, loads: Fifo, i: Fifo, waits_free: Meter) -> None:
        super().__init__(clock)
        self.loads, self.i, self.waits_free = loads, i, waits_free
        self.full, self.freed = Fifo(clock, UNBOUNDED, TOKEN_CYCLES, deep=True), Fifo(clock, UNBOUNDED)
        loads.sink = i.sink = self.freed.sink = self
        self._load: Load | None = None
        self._occupied, self._before, self._begun, self._ended_at = 0, 0, False, -1

    def state(self, out: State) -> None:
        out.thing(self._load)
        out.same(self._occupied)
        out.same(self._before)
        out.same(self._begun)
        out.time(self._ended_at)

    @property
    def idle(self) -> bool:
        """No load is inside."""
        in_use = self._occupied or self._before
        return self._load is None and self._ended_at != self.clock.now and not in_use and self.freed.empty

    def step(self) -> None:
        while self.freed.valid:
            self.freed.take()
            if self._before:
                self._before -= 1
            else:
                self._occupied -= 1
        load = self._load
        waits = False
        if load is None:
            if self.loads.valid and not self._before and (self.loads.peek().beside or not self._occupied):
                self._load = self.loads.take()
                self._before, self._occupied = self._occupied, 0
                self.wake()
        elif self.i.valid and self._begun:
            chunk: int = self.i.take()
            if chunk & END_OF_BLOCK:
                self._begun = False
                self.full.put()
                if chunk & LAST:
                    self._load, self._ended_at = None, self.clock.now
            self.wake()
        elif self.i.valid and self._occupied < load.shares:
            self._occupied += 1
            self._begun = True
            self.wake()
        elif self.i.valid:
            waits = True
        self.seen(self.waits_free if waits else None)


class Part(NamedTuple):
    """What a feed reads: words; from the first one on until so many shares are free; and sets of masks behind it."""

    words: int
    words_to_free: int
    frees: int
    frees_masks: int


class WindowMasks(Unit):
    """Makes the masks of a product's tiles, a column a cycle, as far ahead as there are sets, see `hw.windows.WindowMasks`.

    Parameters
    ----------
    clock, columns
        Time, and those of the array.
    """

    def __init__(self, clock: Clock, columns: int) -> None:
        super().__init__(clock)
        self.columns = columns
        self.i, self.full, self.freed = (
            Fifo(clock, 1, START_CYCLES),
            Fifo(clock, UNBOUNDED, MASK_CYCLES, deep=True),
            Fifo(clock, UNBOUNDED),
        )
        self.i.sink = self.freed.sink = self
        self._products, self._tiles, self._cycles, self._room, self._ends_at, self._idle_at = 0, 0, 0, MASK_SETS, 0, 0

    def state(self, out: State) -> None:
        out.same(self._cycles)
        out.same(self._room)
        out.time(self._ends_at)
        out.time(self._idle_at)
        out.same(self._tiles > 0)
        out.toward(self, "_tiles", 0, self._products)

    @property
    def idle(self) -> bool:
        """Nothing is to be done."""
        return not self._tiles and self.i.empty and self.clock.now >= self._idle_at

    def step(self) -> None:
        while self.freed.valid:
            self.freed.take()
            self._room += 1
        now = self.clock.now
        if not self._tiles and self.i.valid:
            product = self.i.take()
            self._tiles, self._cycles = product.outer, self.columns * product.slot_columns
            self._products += 1
        if self._tiles and self._room and now >= self._ends_at:
            self._room -= 1
            self._tiles -= 1
            self._ends_at = now + self._cycles
            self._idle_at = self._ends_at + 1
            self.full.put(None, self._cycles - 1)
            self.wake(self._cycles)


class OperandFeed(Unit):
    """Reads parts, a word a cycle.

    Parameters
    ----------
    clock, lines, weights
        Time; lines of the buffer; of which operand it is.
    freed, masks_freed : Fifo
        Where free shares are told, and free masks.
    """

    def __init__(self, clock: Clock, lines: int, freed: Fifo, masks_freed: Fifo, *, weights: bool) -> None:
        super().__init__(clock)
        self.i, self.freed, self.masks_freed = Fifo(clock, PART_WORDS), freed, masks_freed
        self.o = Fifo(clock, feed_words(lines, weights=weights), read_cycles(lines, weights=weights))
        self.i.sink = self.o.source = self
        self._parts, self._done = 0, 0
        self._frees: deque[list[int]] = deque()  # words from the part's first one on, after which so many shares are free

    def state(self, out: State) -> None:
        out.same(len(self._frees))
        for words, shares in self._frees:
            out.same(words)
            out.same(shares)
        out.same(self._done > 0)
        if self._done:
            words = self.i.peek().words
            out.toward(self, "_done", min(words, self._frees[0][0]) if self._frees else words, self._parts)

    @property
    def idle(self) -> bool:
        """Nothing is inside."""
        return self.i.empty and self.o.empty

    def step(self) -> None:
        if not self.i.valid or not self.o.ready:
            return
        part: Part = self.i.peek()
        frees = self._frees
        if not self._done and part.frees:
            frees.append([part.words_to_free, part.frees])
        self.o.put()
        self._done += 1
        if frees and frees[0][0] == self._done:
            for _ in range(frees.popleft()[1]):
                self.freed.put()
        if self._done == part.words:
            self._done = 0
            self._parts += 1
            for later in frees:
                later[0] -= part.words
            self.i.take()
            if part.frees_masks:
                self.masks_freed.put()
        self.wake()


class Block(NamedTuple):
    """What the tile loops do with a part of a tile.

    Parameters
    ----------
    needs : tuple of int
        Blocks of weights, blocks of activations and masks that it is the first to use.
    parts : (Part, Part)
        For the feeds.
    begins, starts : bool
        Whether it is the first of its tile; whether the sequencer is told.
    """

    needs: tuple[int, int, int]
    parts: tuple[Part, Part]
    begins: bool
    starts: bool


class Blocks(Rows):
    """The parts of a product's tiles in their order."""

    def __init__(self, config: AcceleratorConfig, product: Product) -> None:
        super().__init__(product.outer * product.middle * product.inner)
        self.config, self.product = config, product

    def columns(self, numbers: Numbers) -> list[Numbers]:
        product = self.product
        tile, inner = np.divmod(numbers, product.inner)
        outer, middle = np.divmod(tile, product.middle)
        outers = (0, product.outer - 2, product.outer - product.ahead - 1, product.behind - 1)
        columns = [inner == 0, inner == product.inner - 1, middle == 0, middle == product.middle - 1, numbers == 0]
        columns += [outer == 0, *(outer > place for place in outers)]
        return [column.astype(np.int64) for column in columns]

    def make(self, number: int) -> Block:
        product = self.product
        tile, inner = divmod(number, product.inner)
        outer, middle = divmod(tile, product.middle)
        last_middle, last_outer = middle + 1 == product.middle, outer + 1 == product.outer
        rounds = min(product.part_rounds, product.rounds - inner * product.part_rounds)
        activations = int(last_middle or not product.activations_held)
        if product.cuts and last_middle:
            activations = min(product.behind + 1, product.outer) if last_outer else int(outer >= product.behind)
        frees = int(last_outer or not product.weights_held), activations
        masks = 0, int(product.cuts and last_middle)
        words, until = self._words(rounds, flushes=number + 1 == self.total)
        parts = Part(words[0], until[0], frees[0], masks[0]), Part(words[1], until[1], frees[1], masks[1])
        return Block(
            self._needs(outer, middle, begins=not inner), parts, begins=not inner,
            starts=not inner and not (product.vectors and number),
        )  # fmt: skip

    def _needs(self, outer: int, middle: int, *, begins: bool) -> tuple[int, int, int]:
        product = self.product
        weights = int(outer == 0 or not product.weights_held)
        if not product.cuts:
            return weights, int(middle == 0 or not product.activations_held), 0
        if middle or not begins:
            return weights, 0, 0
        lines = int(outer + product.ahead < product.outer) if outer else min(product.ahead + 1, product.outer)
        return weights, lines, 1

    def _words(self, rounds: int, *, flushes: bool) -> tuple[tuple[int, int], tuple[int, int]]:
        """Words of a part's weights and activations, and after how many their shares are free."""
        product = self.product
        if product.vectors:
            config, blocks = self.config, -(-rounds // self.config.columns)
            weights, groups = blocks * config.columns, blocks * max(product.vectors, config.stationary_period_steps)
            skew = config.stationary_skew_steps
            return (weights, groups + skew * flushes), (weights, groups + skew)
        columns, rows = product.slot_columns, product.slot_rows
        words = rounds * columns * rows, -(-rounds // product.group_rounds) if columns == 1 else rounds * columns
        return words, words


class TileLoops(Unit):
    """A product's tile loops, see `hw.feed.Feed`.

    Parameters
    ----------
    clock, config : Clock, AcceleratorConfig
        Time, and the array.
    i, buffers
        Products, and the buffers of weights and activations; all else is made here.

    Attributes
    ----------
    feeds : list of OperandFeed
        Weights, then activations.
    tiles, slots : Fifo
        Products of the tiles, for the sequencer and until the tile is in the output buffer.
    room : Fifo
        Words of each tile of the output buffer that became free.
    """

    def __init__(self, clock: Clock, config: AcceleratorConfig, i: Fifo, buffers: list[OperandBuffer]) -> None:
        super().__init__(clock)
        self.config, self.i, self.buffers = config, i, buffers
        self.masks = WindowMasks(clock, config.columns)
        sides = zip((True, False), (config.rows, config.columns), buffers, strict=True)
        self.feeds = [
            OperandFeed(clock, lines, buffer.freed, self.masks.freed, weights=weights) for weights, lines, buffer in sides
        ]
        self.busy = Meter(clock)
        self.waits_operands, self.waits_room = Meter(clock), Meter(clock)
        self.tiles, self.room = Fifo(clock, TILE_WORDS), Fifo(clock, UNBOUNDED)
        self.slots = Fifo(clock, RESULT_TILES, meter=self.busy)
        i.sink = self.room.sink = self.tiles.source = self.slots.source = self
        for buffer, feed in zip(buffers, self.feeds, strict=True):
            buffer.full.sink = feed.i.source = self
        self.masks.full.sink = self
        self._blocks: Blocks | None = None
        self._room, self._tiles = 2 * config.result_buffer_words, RESULT_TILES  # of the output buffer
        self._block, self._free_at = 0, 0

    def state(self, out: State) -> None:
        out.same(self._room)
        out.same(self._tiles)
        out.time(self._free_at)
        out.same(self._blocks is not None)
        if self._blocks is not None:
            out.thing(self._blocks.product)
            out.row(self, "_block", self._blocks)

    @property
    def idle(self) -> bool:
        """No product is inside."""
        return self._blocks is None and self.clock.now >= self._free_at

    def step(self) -> None:
        while self.room.valid:
            self._room += self.room.take()
            self._tiles += 1
        waits: Meter | None = None
        if self._blocks is None:
            if self.i.valid and self.idle:
                product = self.i.take()
                self._blocks, self._block = Blocks(self.config, product), 0
                if product.cuts:
                    self.masks.i.put(product)
                self._free_at = self.clock.now + 2  # checked first
                self.wake(2)
        elif self.clock.now >= self._free_at:
            waits = self._part(self._blocks)
        self.seen(waits)

    def _part(self, blocks: Blocks) -> Meter | None:
        """Hand out the next part, if all that it needs is there; what it waits for."""
        block: Block = blocks.content(self._block)
        product = blocks.product
        tokens = (self.buffers[0].full, self.buffers[1].full, self.masks.full)
        for queue, count in zip(tokens, block.needs, strict=True):
            if not queue.holds(count):
                return self.waits_operands
        sums = tile_words(self.config, product)
        if block.begins and not (self._tiles and self._room >= sums):
            return self.waits_room
        if not (self.feeds[0].i.ready and self.feeds[1].i.ready and self.tiles.ready and self.slots.ready):
            return None
        for queue, count in zip(tokens, block.needs, strict=True):
            for _ in range(count):
                queue.take()
        for feed, part in zip(self.feeds, block.parts, strict=True):
            feed.i.put(part)
        if block.begins:
            self._tiles -= 1
            self._room -= sums
            self.slots.put(product)
            if block.starts:
                self.tiles.put(product)
        self._block += 1
        if self._block == blocks.total:
            self._blocks, self._free_at = None, self.clock.now + 1
        self.clock.marked |= HAND_OUT
        self.wake()
        return None


class Sequencer(Unit):
    """Steps of the array, see `hw.sequencer.Sequencer` and, for products whose weights stay, `hw.stationary`.

    Parameters
    ----------
    clock, config : Clock, AcceleratorConfig
        Time, and the latencies.
    tiles, weights, groups : Fifo
        Tiles, and the words of their operands.
    results : ResultBuffer
        Where the sums go.
    """

    def __init__(
        self, clock: Clock, config: AcceleratorConfig, tiles: Fifo, weights: Fifo, groups: Fifo, results: "ResultBuffer"
    ) -> None:
        super().__init__(clock)
        self.config = config
        self.columns, self.interleave_slots = config.columns, config.interleave_slots
        self.drain_steps = config.uspe_latency_cycles + config.drain_steps - 1
        self.way_cycles = config.array_latency_cycles + 1
        self.tiles, self.weights, self.groups, self.results = tiles, weights, groups, results
        tiles.sink = weights.sink = groups.sink = self
        self._tile: Product | None = None
        self._steps, self._round, self._slot, self._in_group = 0, 0, 0, 0
        self._drains: deque[int] = deque()  # steps that bring out the last words of tiles
        self._passing: Passing | None = None
        self._begun = 0  # tiles
        self._slots = self._waiting_rounds = self._last_round = 0

    def state(self, out: State) -> None:
        out.thing(self._tile)
        out.same(self._slot)
        out.same(self._in_group if self._tile is not None and self._tile.slot_columns == 1 else 0)  # which else changes nothing
        out.same(len(self._drains))
        for step in self._drains:
            out.same(step - self._steps)
        out.same(self._passing is not None)
        if self._passing is not None:
            self._passing.state(out)
        if self._tile is not None:
            # Of the tile are _slots, _waiting_rounds and _last_round.
            waits = self._round < self._waiting_rounds
            out.same(waits)
            out.same(self._round == self._last_round)
            out.toward(self, "_round", self._waiting_rounds if waits else self._last_round, self._begun)

    def step(self) -> None:
        tile = self._tile
        if self._passing:
            self._pass(self._passing)
        elif tile is None:
            if self.tiles.valid and not (self._drains and self.tiles.peek().vectors):
                self._begin()
            elif not self._drains:
                return
            if self._drains:
                self._count()
            self.wake()
        elif self._feed(tile):
            self._count()
            self.wake()

    def _begin(self) -> None:
        tile = self.tiles.take()
        if tile.vectors:
            self._passing = Passing(self.config, tile, self.weights, self.groups)
            return
        self._tile = tile
        self._begun += 1
        self._slots = tile.slot_rows * tile.slot_columns
        self._waiting_rounds = max(0, self.columns - tile.rounds)
        self._last_round = max(self.columns, tile.rounds) - 1

    def _pass(self, passing: Passing) -> None:
        if passing.step():
            if passing.ends_tile:
                self._give()
            if passing.ended:
                self._passing = None
            self.wake()

    def _feed(self, tile: Product) -> bool:
        """Take a step of the tile, if its operands are there."""
        ends = self._round == self._last_round
        if self._round >= self._waiting_rounds and self._slot < self._slots:
            if not self.weights.valid or not self.groups.valid:
                return False
            self.weights.take()
            if (self._slot + 1) % tile.slot_rows == 0 and (
                tile.slot_columns != 1 or ends or self._in_group == tile.group_rounds - 1
            ):
                self.groups.take()
        if ends and not self._slot:
            self._drains.append(self._steps + self.drain_steps)
        self._slot += 1
        if self._slot == self.interleave_slots:
            self._slot = 0
            if self._round >= self._waiting_rounds:
                self._in_group = 0 if ends or self._in_group == tile.group_rounds - 1 else self._in_group + 1
            self._round += 1
            if ends:
                self._round, self._tile = 0, None
                if self.tiles.valid and not self.tiles.peek().vectors:
                    self._begin()
        return True

    def _count(self) -> None:
        """A step was taken; perhaps it brought out the last word of a tile."""
        if self._drains and self._drains[0] == self._steps:
            self._drains.popleft()
            self._give()
        self._steps += 1

    def _give(self) -> None:
        """Say when the word that this step brings out, the last of a tile, is in the output buffer."""
        self.clock.wake(self.results, self.clock.now + self.way_cycles)
        self.results.coming.append(self.clock.now + self.way_cycles)


class TileWords(Rows):
    """Words of lanes in each tile of a pass over sums."""

    def __init__(self, step: Pass, lanes: int) -> None:
        super().__init__(step.outer * step.middle)
        self.step, self.lanes = step, lanes

    def columns(self, numbers: Numbers) -> list[Numbers]:
        outer, middle = np.divmod(numbers, self.step.middle)
        lasts = outer == self.step.outer - 1, middle == self.step.middle - 1
        return [last.astype(np.int64) for last in lasts]

    def make(self, number: int) -> int:
        step = self.step
        outer, middle = divmod(number, step.middle)
        columns = min(step.column_tile, step.columns - outer * step.column_tile)
        rows = min(step.row_tile, step.rows - middle * step.row_tile)
        return columns * -(-rows // self.lanes)


class ResultBuffer(Unit):
    """A ring of tiles of sums; a step reads a word for the lanes.

    Parameters
    ----------
    clock, config : Clock, AcceleratorConfig
        Time, and `vpu_lanes`.
    slots, i, room : Fifo
        Tiles on their way; passes over sums; where free words are told.

    Attributes
    ----------
    o : Fifo
        Words of sums.
    coming : deque of int
        When tiles will be complete.
    """

    def __init__(self, clock: Clock, config: AcceleratorConfig, slots: Fifo, i: Fifo, room: Fifo) -> None:
        super().__init__(clock)
        self.config, self.lanes = config, config.vpu_lanes
        self.slots, self.i, self.room = slots, i, room
        self.o = Fifo(clock, FEED_WORDS, READ_CYCLES)
        self.full = Fifo(clock, UNBOUNDED, 2)
        i.sink = self.full.sink = self.o.source = self
        self.coming: deque[int] = deque()
        self._pass: Pass | None = None
        self._rows: TileWords | None = None
        self._tile, self._tiles, self._done, self._words, self._free_at = 0, 0, 0, 0, 0

    def state(self, out: State) -> None:
        out.times(self.coming)
        out.thing(self._pass)
        out.time(self._free_at)
        out.same(self._words)
        if self._rows is not None:
            out.toward(self, "_done", self._words, self._tiles)
            out.row(self, "_tile", self._rows)

    @property
    def idle(self) -> bool:
        """Nothing is inside or on its way."""
        return self.slots.empty and self.full.empty and not self._pass and self.clock.now >= self._free_at and self.o.empty

    def step(self) -> None:
        if self.coming and self.coming[0] == self.clock.now:
            self.coming.popleft()
            self.full.put(tile_words(self.config, self.slots.take()))
        if self._pass is None:
            if self.i.valid and self.clock.now >= self._free_at:
                self._pass, self._tile, self._done = self.i.take(), 0, 0
                self._rows = TileWords(self._pass, self.lanes)
                self._words = self._rows.content(0)
                self.wake()
        elif self.full.valid and self.o.ready:
            self._read()
            self.wake()

    def _read(self) -> None:
        self.o.put()
        self._done += 1
        if self._done == self._words:
            self._done = 0
            self.room.put(self.full.take())
            self._tile += 1
            self._tiles += 1
            if self._rows is None or self._tile == self._rows.total:
                self._pass, self._rows, self._free_at = None, None, self.clock.now + 1
            else:
                self._words = self._rows.content(self._tile)
