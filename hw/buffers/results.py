"""The output buffer: tiles of sums between the array and the vector unit."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw.buffers.feed import slots_layout
from hw.config import AcceleratorConfig
from hw.formats import BINARY32
from hw.isa.commands import Pass
from hw.isa.microarchitecture import FEED_WORDS, RESULT_TILES
from hw.parts.layouts import bound_layout, sums_layout
from hw.parts.ram import RAM, place_ram


def result_tiles_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A product's result, as `hw.isa.commands.Pass` describes it."""
    layout, names = bound_layout(config, Pass), ("outer", "middle", "columns", "column_tile", "rows", "row_tile", "slot_rows")
    return data.StructLayout({name: layout[name].shape for name in names})


class ResultBuffer(wiring.Component):
    """A ring of tiles: some come from the array while the oldest goes to the lanes.

    ::

        i ─► write at (column · slot rows + row block), or vector ─► tile │ tile │ … ─► read column by column ─► o

    Parameters
    ----------
    config : AcceleratorConfig
        The array, the size of the buffer, and `vpu_lanes`, which divides the rows.

    Members
    -------
    i_slots : In(stream of slots_layout)
        The tiles that come, in order.
    i : In(stream of sums_layout)
        Their words, as `hw.array.stce.STCE` gives them: the last array column first, of each all slots; or vector by vector.
        Always taken.
    i_tiles : In(stream of result_tiles_layout)
        Results to be given on, within `hw.isa.bounds`.
    o : Out(stream of 32 × vpu_lanes)
        Tile by tile, outer, then middle: for each column the rows, `vpu_lanes` at a time; zeros beyond the last row.
    freed, freed_words : Out(1), Out(count_bits)
        For a cycle: a tile was read; its words.
    illegal : Out(1)
        For a cycle: a result has not as many tiles as its rows and columns need.
    idle, waits_sums : Out(1)
        Nothing is inside; a result waits for its tile.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.words = 2 * config.result_buffer_words
        super().__init__(
            {
                "i_slots": In(stream.Signature(slots_layout(config))),
                "i": In(stream.Signature(sums_layout(config))),
                "i_tiles": In(stream.Signature(result_tiles_layout(config))),
                "o": Out(stream.Signature(data.ArrayLayout(BINARY32.width, config.vpu_lanes))),
                "freed": Out(1),
                "freed_words": Out(config.count_bits),
                "illegal": Out(1),
                "idle": Out(1),
                "waits_sums": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ultra, bits = self.config.ultra_ram, sums_layout(self.config).size
        memory = place_ram(m, platform, "memory", self.words, 1, bits, ultra=ultra)
        m.submodules.full = full = SyncFIFO(
            width=self.config.count_bits, depth=RESULT_TILES
        )  # words of each tile that is there
        self._collect(m, memory, full)
        sending = self._send(m, memory, full)
        m.d.comb += self.idle.eq(~self.i_slots.valid & ~full.r_rdy & ~sending)
        return m

    def _collect(self, m: Module, memory: RAM, full: SyncFIFO) -> None:
        """Write words as they come; a cycle after its last one a tile is full."""
        config, slots = self.config, self.i_slots.payload
        column, slot = (
            Signal(range(max(config.columns, 2)), init=config.columns - 1),
            Signal(range(max(config.interleave_slots, 2))),
        )
        row, block, base = Signal(8), Signal(8), Signal(range(self.words))
        last_slot, ends = slot == config.interleave_slots - 1, Signal()
        word, vector, stationary = Signal(range(self.words)), Signal(range(self.words)), slots.vectors != 0
        m.d.comb += [
            self.i.ready.eq(1),
            word.eq(Mux(stationary, vector, (block * config.columns + column) * slots.rows + row)),
            ends.eq(self.i.valid & Mux(stationary, vector + 1 == slots.vectors, last_slot & (column == 0))),
            self.i_slots.ready.eq(ends),
            memory.write_address.eq(self._around(base + word)),
            memory.write_data.eq(self.i.payload),
            memory.write_parts.eq(self.i.valid & (stationary | (block < slots.columns))),
        ]
        m.d.sync += [full.w_en.eq(ends), full.w_data.eq(slots.words)]
        with m.If(ends):
            m.d.sync += base.eq(self._around(base + slots.words))
        with m.If(self.i.valid & stationary):
            m.d.sync += vector.eq(Mux(ends, 0, vector + 1))
        with m.Elif(self.i.valid):
            m.d.sync += [slot.eq(slot + 1), row.eq(row + 1)]
            with m.If(row + 1 == slots.rows):
                m.d.sync += [row.eq(0), block.eq(block + 1)]
            with m.If(last_slot):
                m.d.sync += [slot.eq(0), row.eq(0), block.eq(0), column.eq(Mux(column == 0, config.columns - 1, column - 1))]

    def _send(self, m: Module, memory: RAM, full: SyncFIFO) -> Value:
        """Read tiles; high while a result is being given on."""
        config, lanes = self.config, self.config.vpu_lanes
        slices = config.rows // lanes
        result, active, base = Signal(result_tiles_layout(self.config)), Signal(), Signal(range(self.words))
        outer, middle, column, row = (Signal(config.count_bits, name=name) for name in ("outer", "middle", "column", "row"))
        columns_left, rows_left = Signal(config.count_bits), Signal(config.count_bits)
        word, block, part = Signal(range(self.words)), Signal(8), Signal(range(max(slices, 2)))
        fetched, picked, reads, real = Signal(), Signal.like(part), Signal(), Signal(lanes)
        m.submodules.out = out = SyncFIFO(width=BINARY32.width * lanes, depth=FEED_WORDS)

        last_row = (row + lanes >= result.row_tile) | (row + lanes >= rows_left)
        last_column = (column + 1 == result.column_tile) | (column + 1 == columns_left)
        last_middle, last_outer, ends = middle + 1 == result.middle, outer + 1 == result.outer, Signal()
        uneven = Signal()  # tiles that are not as many as rows and columns need
        m.d.comb += [
            self.i_tiles.ready.eq(~active),
            reads.eq(active & full.r_rdy & (out.level + fetched < FEED_WORDS)),
            self.waits_sums.eq(active & ~full.r_rdy),
            ends.eq(reads & last_row & last_column),
            full.r_en.eq(ends),
            self.freed.eq(ends),
            self.freed_words.eq(full.r_data),
            uneven.eq((last_middle != (rows_left <= result.row_tile)) | (last_outer != (columns_left <= result.column_tile))),
            self.illegal.eq(ends & uneven),
            memory.read_address.eq(self._around(base + word + block)),
            out.w_en.eq(fetched),
            out.w_data.eq(
                memory.read_data.word_select(picked, BINARY32.width * lanes) & Cat(bit.replicate(32) for bit in real)
            ),
            self.o.payload.as_value().eq(out.r_data),
            self.o.valid.eq(out.r_rdy),
            out.r_en.eq(self.o.ready),
        ]
        m.d.sync += real.eq(Cat((row + lane < result.row_tile) & (row + lane < rows_left) for lane in range(lanes)))
        m.d.sync += [fetched.eq(reads), picked.eq(part)]
        with m.If(reads):
            m.d.sync += [row.eq(row + lanes), part.eq(part + 1)]
            with m.If(part == slices - 1):
                m.d.sync += [part.eq(0), block.eq(block + 1)]
            with m.If(last_row):
                m.d.sync += [row.eq(0), part.eq(0), block.eq(0), column.eq(column + 1), word.eq(word + result.slot_rows)]
        with m.If(ends):
            m.d.sync += base.eq(self._around(base + full.r_data))
            m.d.sync += [column.eq(0), word.eq(0), middle.eq(middle + 1), rows_left.eq(rows_left - result.row_tile)]
            with m.If(last_middle):
                m.d.sync += [middle.eq(0), outer.eq(outer + 1), rows_left.eq(result.rows)]
                m.d.sync += columns_left.eq(columns_left - result.column_tile)
                with m.If(last_outer):
                    m.d.sync += active.eq(0)
        with m.If(self.i_tiles.valid & self.i_tiles.ready):
            taken = self.i_tiles.payload
            m.d.sync += [result.eq(taken), active.eq(1), columns_left.eq(taken.columns), rows_left.eq(taken.rows)]
            m.d.sync += [signal.eq(0) for signal in (outer, middle, column, row, word, block, part)]
        return active | fetched | out.r_rdy

    def _around(self, place: Value) -> Value:
        """A place in the ring, from one that may be beyond its end."""
        inside = place if self.words & (self.words - 1) == 0 else Mux(place >= self.words, place - self.words, place)
        return inside[: (self.words - 1).bit_length()]
