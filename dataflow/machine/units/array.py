"""The array with its buffers: blocks, parts, steps and tiles."""

from collections import deque

from dataflow.machine.units.clock import Clock, Fifo, Unit
from dataflow.machine.units.stationary import Passing
from hw.config import AcceleratorConfig
from hw.isa.commands import Load, Pass, Product
from hw.isa.microarchitecture import FEED_WORDS, PART_WORDS, RESULT_TILES, TILE_WORDS

TOKEN_CYCLES = 3
"""From a block's last chunk until the tile loops know of it."""
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
        self._occupied, self._begun, self._ended_at = 0, False, -1

    @property
    def idle(self) -> bool:
        """No load is inside."""
        return self._load is None and self._ended_at != self.clock.now and not self._occupied and self.freed.empty

    def step(self) -> None:
        while self.freed.valid:
            self.freed.take()
            self._occupied -= 1
        load = self._load
        self.seen("")
        if load is None:
            if self.loads.valid and not self._occupied:
                self._load = self.loads.take()
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


class OperandFeed(Unit):
    """Reads parts, a word a cycle; a part is (words, words from its first one until its share is free, or None).

    Parameters
    ----------
    clock, freed
        Time; where free shares are told.
    """

    def __init__(self, clock: Clock, freed: Fifo) -> None:
        super().__init__(clock)
        self.i, self.o, self.freed = Fifo(clock, PART_WORDS), Fifo(clock, FEED_WORDS, READ_CYCLES), freed
        self.i.sink = self.o.source = self
        self._done, self._read = 0, 0
        self._frees: deque[int] = deque()  # words that will have been read when shares are free

    @property
    def idle(self) -> bool:
        """Nothing is inside."""
        return self.i.empty and self.o.empty

    def step(self) -> None:
        if not self.i.valid or not self.o.ready:
            return
        words, frees = self.i.peek()
        if not self._done and frees is not None:
            self._frees.append(self._read + frees)
        self.o.put()
        self._done += 1
        self._read += 1
        if self._done == words:
            self._done = 0
            self.i.take()
        if self._frees and self._frees[0] == self._read:
            self._frees.popleft()
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
        self.feeds = [OperandFeed(clock, buffer.freed) for buffer in buffers]
        self.tiles, self.slots, self.room = Fifo(clock, TILE_WORDS), Fifo(clock, RESULT_TILES), Fifo(clock, UNBOUNDED)
        i.sink = self.room.sink = self.tiles.source = self.slots.source = self
        for buffer, feed in zip(buffers, self.feeds, strict=True):
            buffer.full.sink = feed.i.source = self
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
                self._product, self._block = self.i.take(), 0
                self._free_at = self.clock.now + 2  # checked first
                self.wake(2)
        elif self.clock.now >= self._free_at:
            self._part(self._product)

    def _part(self, product: Product) -> None:
        """Hand out the next part, if all that it needs is there."""
        tile, inner = divmod(self._block, product.inner)
        outer, middle = divmod(tile, product.middle)
        held = product.weights_held, product.activations_held
        first, last = (outer == 0, middle == 0), (outer + 1 == product.outer, middle + 1 == product.middle)
        loads = [not stays or begins for stays, begins in zip(held, first, strict=True)]
        if not all(buffer.full.valid for buffer, load in zip(self.buffers, loads, strict=True) if load):
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
        words, frees = self._words(product, rounds, flushes=ends)
        for number, buffer in enumerate(self.buffers):
            if loads[number]:
                buffer.full.take()
            self.feeds[number].i.put((words[number], frees[number] if not held[number] or last[number] else None))
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
