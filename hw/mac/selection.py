"""The selection of one of several words by the wide multiplexers of UltraScale+ devices."""

from amaranth.hdl import Cat, Instance, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.fp.pipeline import wire


class MuxfSelect(wiring.Component):
    """``o`` = word number ``index`` of ``i``, by a tree for each bit.

    ::

        four words ─ lookup table ─┬─ MUXF7 ─┬─ MUXF8 ─ (lookup table)
        four words ─ lookup table ─┘   ...  ─┘

    Left to infer it, synthesis takes more lookup tables instead: five for sixteen words and a bit.

    Parameters
    ----------
    width, count : int
        Of a word, and how many there are: a power of two up to 32.

    Members
    -------
    i, index, o : In(count · width), In(log2(count)), Out(width)
        The first word lowest.
    """

    def __init__(self, width: int, count: int) -> None:
        self.width, self.count = width, count
        super().__init__({"i": In(width * count), "index": In((count - 1).bit_length()), "o": Out(width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.o.eq(Cat(self._bit(m, self.i[bit :: self.width], f"bit_{bit}") for bit in range(self.width)))
        return m

    def _bit(self, m: Module, items: Value, name: str) -> Value:
        """One bit of the word."""
        low, selects = self.index[:2], list(self.index[2:])
        level = [wire(m, Cat(items[at : at + 4]).bit_select(low, 1), f"{name}_{at}") for at in range(0, self.count, 4)]
        for primitive, select in zip(("MUXF7", "MUXF8"), selects, strict=False):
            level = [self._muxf(m, primitive, low, high, select) for low, high in zip(level[::2], level[1::2], strict=True)]
        for select in selects[2:]:
            level = [Mux(select, high, low) for low, high in zip(level[::2], level[1::2], strict=True)]
        return level[0]

    def _muxf(self, m: Module, primitive: str, low: Value, high: Value, select: Value) -> Value:
        o = Signal()
        m.submodules += Instance(primitive, i_I0=low, i_I1=high, i_S=select, o_O=o)
        return o
