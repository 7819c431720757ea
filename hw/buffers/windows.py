"""Windows that are cut from a ring of pixels: which columns of a tile have a tap inside their image."""

from amaranth.hdl import Cat, Module, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.isa.operands import GRID_BITS, MASK_SETS, MOST_TAPS
from hw.parts.ram import place_ram


def grid_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Tiles of column slots, one pixel a column, image by image and row by row; and where the taps of each stand, see
    `hw.isa.commands.Product`.
    """
    return data.StructLayout(
        {
            "tiles": config.count_bits,
            "slots": 8,
            "size_y": GRID_BITS,
            "size_x": GRID_BITS,
            "start_y": signed(GRID_BITS + 1),
            "start_x": signed(GRID_BITS + 1),
            "step_y": signed(GRID_BITS + 1),
            "step_x": signed(GRID_BITS + 1),
        }
    )


MASK = data.StructLayout({"y": MOST_TAPS, "x": MOST_TAPS})
"""Of a column: which rows of taps, and which columns of taps, are inside its image."""


class WindowMasks(wiring.Component):
    """Goes through the pixels of tiles, one a cycle and tiles ahead of the feed, and keeps the masks of two of them.

    ::

        i ─► pixel (y, x), counted ─► + taps, in 0 .. size - 1 ─► RAM of (set, slot) ─► o

    Parameters
    ----------
    config : AcceleratorConfig
        Columns and interleave slots.

    Members
    -------
    i : In(stream of grid_layout)
        Taken when all tiles of the one before have their masks.
    full : Out(1)
        For a cycle: another tile has its masks; sets are used in turn.
    free : In(1)
        A tile needs its masks no more.
    set, slot : In(1), In(8)
        Which masks to give.
    o : Out(MASK × columns)
        Those of the cycle before's set and slot.
    idle : Out(1)
        Nothing is to be done.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(grid_layout(config))),
                "full": Out(1),
                "free": In(1),
                "set": In(1),
                "slot": In(8),
                "o": Out(data.ArrayLayout(MASK, config.columns)),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        columns, slots = self.config.columns, self.config.interleave_slots
        tiles, grid = Signal(self.config.count_bits), Signal(grid_layout(self.config))
        column, slot, into = Signal(range(max(2, columns))), Signal(8), Signal(1)
        y, x, room = Signal(GRID_BITS), Signal(GRID_BITS), Signal(range(MASK_SETS + 1), init=MASK_SETS)
        begins = (column == 0) & (slot == 0)
        writes, last_column, ends = Signal(), column == columns - 1, Signal()
        m.d.comb += [
            self.i.ready.eq(tiles == 0),
            writes.eq((tiles != 0) & (~begins | (room != 0))),
            ends.eq(writes & last_column & (slot + 1 == grid.slots)),
        ]
        m.d.sync += room.eq(room - (writes & begins) + self.free)
        with m.If(writes):
            m.d.sync += column.eq(column + 1)
            with m.If(last_column):
                m.d.sync += [column.eq(0), slot.eq(slot + 1)]
            with m.If(x + 1 == grid.size_x):
                m.d.sync += [x.eq(0), y.eq(y + 1)]
                with m.If(y + 1 == grid.size_y):
                    m.d.sync += y.eq(0)
            with m.Else():
                m.d.sync += x.eq(x + 1)
            with m.If(ends):
                m.d.sync += [slot.eq(0), into.eq(~into), tiles.eq(tiles - 1)]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [grid.eq(self.i.payload), tiles.eq(self.i.payload.tiles), y.eq(0), x.eq(0)]

        written, at, mask, ended = Signal(columns), Signal(range(MASK_SETS * slots)), Signal(MASK), Signal()
        m.d.sync += [
            written.eq(writes.replicate(columns) & Cat(column == number for number in range(columns))),
            at.eq(into * slots + slot),
            mask.y.eq(self._inside(grid.start_y, grid.step_y, y, grid.size_y)),
            mask.x.eq(self._inside(grid.start_x, grid.step_x, x, grid.size_x)),
            ended.eq(ends),
            self.full.eq(ended),
        ]
        memory = place_ram(m, platform, "masks", MASK_SETS * slots, columns, MASK.size)
        m.d.comb += [
            memory.write_address.eq(at),
            memory.write_data.eq(Cat(mask).replicate(columns)),
            memory.write_parts.eq(written),
            memory.read_address.eq(self.set * slots + self.slot),
            Value.cast(self.o).eq(memory.read_data),
            self.idle.eq((tiles == 0) & ~ended),
        ]
        return m

    def _inside(self, start: Value, step: Value, place: Value, size: Value) -> Value:
        """For each tap, whether it is in the image."""
        taps = (start + place + step * number for number in range(MOST_TAPS))
        return Cat((tap >= 0) & (tap < size) for tap in taps)
