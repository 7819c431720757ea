"""A component of one's own: binary16 numbers halved, a cycle later."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class Halve(wiring.Component):
    """Lowers the exponent by one; what has the smallest one becomes zero."""

    i: In(stream.Signature(16))
    o: Out(stream.Signature(16))

    def elaborate(self, platform):
        m = Module()
        word, exponent = self.i.payload, Signal(5)
        m.d.comb += [exponent.eq(word[10:15]), self.i.ready.eq(self.o.ready | ~self.o.valid)]
        with m.If(self.i.ready):
            m.d.sync += self.o.valid.eq(self.i.valid)
            m.d.sync += self.o.payload.eq(Mux(exponent > 1, word - (1 << 10), word & 0x8000))
        return m
