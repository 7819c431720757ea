"""The place that a gradient of maxima is for, counted along with the words of a pass."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

PLACE_FIELDS = ("place", "place_words", "place_columns", "place_step", "place_rows", "place_row_step")
"""Those of `hw.isa.commands.Pass` that say which places come."""

PLACES = data.StructLayout(dict.fromkeys(PLACE_FIELDS, 16))


class PlaceCounter(wiring.Component):
    """Counts places as `hw.isa.commands.Pass` describes them, modulo 2^16.

    Members
    -------
    fields : In(PLACES)
        They hold from `begin` on; counts from 1 on.
    begin : In(1)
        For a cycle: the next word has the first place.
    step : In(1)
        A word passes.
    place : Out(16)
        Of the word that passes.
    """

    def __init__(self) -> None:
        super().__init__({"fields": In(PLACES), "begin": In(1), "step": In(1), "place": Out(16)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        fields = self.fields
        word, column, row = (Signal(16, name=name) for name in ("word", "column", "row"))
        moved, row_moved = Signal(16), Signal(16)  # from the first place, and to the row's
        last_word = word + 1 == fields.place_words
        last_column = column + 1 == fields.place_columns
        last_row = row + 1 == fields.place_rows
        m.d.comb += self.place.eq(fields.place + moved)
        with m.If(self.step):
            m.d.sync += word.eq(word + 1)
            with m.If(last_word):
                m.d.sync += [word.eq(0), column.eq(column + 1), moved.eq(moved + fields.place_step)]
                with m.If(last_column):
                    next_row = (row_moved + fields.place_row_step)[:16]
                    m.d.sync += [column.eq(0), row.eq(row + 1), moved.eq(next_row), row_moved.eq(next_row)]
                    with m.If(last_row):
                        m.d.sync += [row.eq(0), moved.eq(0), row_moved.eq(0)]
        with m.If(self.begin):
            m.d.sync += [part.eq(0) for part in (word, column, row, moved, row_moved)]
        return m
