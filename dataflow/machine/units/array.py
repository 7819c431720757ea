"""The array with its buffers: blocks, parts, steps and tiles."""

from collections import deque
from typing import NamedTuple

from dataflow.machine.units.clock import Clock, Fifo, Unit
from dataflow.machine.units.stationary import Passing
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
    """

    def __init__(self, clock: Clock, loads: Fifo, i: Fifo) -> None:
        super().__init__(clock)
        self.loads, self.i = loads, i
        self.full, self.freed = Fifo(clock, UNBOUNDED, TOKEN_CYCLES), Fifo(clock, UNBOUNDED)
        loads.sink = i.sink = self.freed.sink = self
        self._load: Load | None = None
        self._occupied, self._before, self._begun, self._ended_at = 0, 0, False, -1

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
        self.seen("")
        if load is None:
            if self.loads.valid and not self._before and (self.loads.peek().beside or not self._occupied):
                self._load = self.loads.take()
                self._before, self._occupied = self._occupied, 0
                self.wake()
        elif self.i.valid and self._begun:
            chunk = self.i.take()
            if chunk.end_of_block:
                self._begun = False
                self.full.put()
                if chunk.last:
                    self._load, self._ended_at = None, self.clock.now
            self.wake()
        elif self.i.valid and self._occupied < load.shares:
            self._occupied += 1
            self._begun = True
            self.wake()
        elif self.i.valid:
            self.seen("waits_free")


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
            Fifo(clock, UNBOUNDED, MASK_CYCLES),
            Fifo(clock, UNBOUNDED),
        )
        self.i.sink = self.freed.sink = self
        self._tiles, self._cycles, self._room, self._ends_at, self._idle_at = 0, 0, MASK_SETS, 0, 0

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
        self._done, self._read = 0, 0
        self._frees: deque[tuple[int, int]] = deque()  # words that will have been read when so many shares are free

    @property
    def idle(self) -> bool:
        """Nothing is inside."""
        return self.i.empty and self.o.empty

    def step(self) -> None:
        if not self.i.valid or not self.o.ready:
            return
        part: Part = self.i.peek()
        if not self._done and part.frees:
            self._frees.append((self._read + part.words_to_free, part.frees))
        self.o.put()
        self._done += 1
        self._read += 1
        if self._done == part.words:
            self._done = 0
            self.i.take()
            if part.frees_masks:
                self.masks_freed.put()
        if self._frees and self._frees[0][0] == self._read:
            for _ in range(self._frees.popleft()[1]):
                self.freed.put()
        self.wake()


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
        self.tiles, self.slots, self.room = Fifo(clock, TILE_WORDS), Fifo(clock, RESULT_TILES), Fifo(clock, UNBOUNDED)
        i.sink = self.room.sink = self.tiles.source = self.slots.source = self
        for buffer, feed in zip(buffers, self.feeds, strict=True):
            buffer.full.sink = feed.i.source = self
        self.masks.full.sink = self
        self._product: Product | None = None
        self._room, self._tiles = 2 * config.result_buffer_words, RESULT_TILES  # of the output buffer
        self._block, self._free_at = 0, 0

    @property
    def idle(self) -> bool:
        """No product is inside."""
        return self._product is None and self.clock.now >= self._free_at

    def step(self) -> None:
        while self.room.valid:
            self._room += self.room.take()
            self._tiles += 1
        self.seen("")
        if self._product is None:
            if self.i.valid and self.idle:
                product = self.i.take()
                self._product, self._block = product, 0
                if product.cuts:
                    self.masks.i.put(product)
                self._free_at = self.clock.now + 2  # checked first
                self.wake(2)
        elif self.clock.now >= self._free_at:
            self._part(self._product)

    def _part(self, product: Product) -> None:
        """Hand out the next part, if all that it needs is there."""
        tile, inner = divmod(self._block, product.inner)
        outer, middle = divmod(tile, product.middle)
        last_middle, last_outer = middle + 1 == product.middle, outer + 1 == product.outer
        needs = self._needs(product, outer, middle, begins=not inner)
        tokens = (*(buffer.full for buffer in self.buffers), self.masks.full)
        if not all(queue.holds(count) for queue, count in zip(tokens, needs, strict=True)):
            self.seen("waits_operands")
            return
        sums = tile_words(self.config, product)
        if not inner and not (self._tiles and self._room >= sums):
            self.seen("waits_room")
            return
        if not all(fifo.ready for fifo in (self.feeds[0].i, self.feeds[1].i, self.tiles, self.slots)):
            return
        rounds = min(product.part_rounds, product.rounds - inner * product.part_rounds)
        ends = self._block + 1 == product.outer * product.middle * product.inner
        for queue, count in zip(tokens, needs, strict=True):
            for _ in range(count):
                queue.take()
        activations = int(last_middle or not product.activations_held)
        if product.cuts and last_middle:
            activations = min(product.behind + 1, product.outer) if last_outer else int(outer >= product.behind)
        frees = int(last_outer or not product.weights_held), activations
        masks = 0, int(product.cuts and last_middle)
        for feed, *part in zip(self.feeds, *self._words(product, rounds, flushes=ends), frees, masks, strict=True):
            feed.i.put(Part(*part))
        if not inner:
            self._tiles -= 1
            self._room -= sums
            self.slots.put(product)
            if not product.vectors or not self._block:
                self.tiles.put(product)
        self._block += 1
        if ends:
            self._product, self._free_at = None, self.clock.now + 1
        self.wake()

    def _needs(self, product: Product, outer: int, middle: int, *, begins: bool) -> tuple[int, int, int]:
        """Blocks of weights, blocks of activations and masks that the next part is the first to use."""
        weights = int(outer == 0 or not product.weights_held)
        if not product.cuts:
            return weights, int(middle == 0 or not product.activations_held), 0
        if middle or not begins:
            return weights, 0, 0
        lines = int(outer + product.ahead < product.outer) if outer else min(product.ahead + 1, product.outer)
        return weights, lines, 1

    def _words(self, product: Product, rounds: int, *, flushes: bool) -> tuple[tuple[int, int], tuple[int, int]]:
        """Words of a part's weights and activations, and after how many their shares are free."""
        if product.vectors:
            config, blocks = self.config, -(-rounds // self.config.columns)
            weights, groups = blocks * config.columns, blocks * max(product.vectors, config.stationary_period_steps)
            skew = config.stationary_skew_steps
            return (weights, groups + skew * flushes), (weights, groups + skew)
        columns, rows = product.slot_columns, product.slot_rows
        words = rounds * columns * rows, -(-rounds // product.group_rounds) if columns == 1 else rounds * columns
        return words, words


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
        self._tile, self._done, self._words, self._free_at = 0, 0, 0, 0

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
                self._words = self._tile_words(self._pass)
                self.wake()
        elif self.full.valid and self.o.ready:
            self._read(self._pass)
            self.wake()

    def _read(self, step: Pass) -> None:
        self.o.put()
        self._done += 1
        if self._done == self._words:
            self._done = 0
            self.room.put(self.full.take())
            self._tile += 1
            if self._tile == step.outer * step.middle:
                self._pass, self._free_at = None, self.clock.now + 1
            else:
                self._words = self._tile_words(step)

    def _tile_words(self, step: Pass) -> int:
        outer, middle = divmod(self._tile, step.middle)
        columns = min(step.column_tile, step.columns - outer * step.column_tile)
        rows = min(step.row_tile, step.rows - middle * step.row_tile)
        return columns * -(-rows // self.lanes)
