"""A serial line: bytes of eight bits, lowest first, between a start bit and a stop bit, no parity."""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

FRAME_BITS = 10


class Receiver(wiring.Component):
    """Takes bytes from a line, each bit in its middle; what has no stop bit is dropped.

    Parameters
    ----------
    divisor : int
        Clock cycles of a bit, at least 4.

    Members
    -------
    line : In(1)
        Of no clock; 1 where nothing comes.
    byte, valid : Out
        A byte, for a cycle.
    """

    def __init__(self, divisor: int) -> None:
        self.divisor = divisor
        super().__init__({"line": In(1), "byte": Out(8), "valid": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        met, line = Signal(init=1), Signal(init=1)
        left, bits = Signal(range(self.divisor)), Signal(range(FRAME_BITS + 1))
        m.d.sync += [met.eq(self.line), line.eq(met), self.valid.eq(0)]
        with m.If(bits == 0), m.If(~line):
            m.d.sync += [bits.eq(FRAME_BITS), left.eq(self.divisor // 2 - 1)]
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.Else():
            m.d.sync += [left.eq(self.divisor - 1), bits.eq(bits - 1)]
            with m.If(bits == 1):
                m.d.sync += self.valid.eq(line)
            with m.Elif(bits != FRAME_BITS):
                m.d.sync += self.byte.eq(Cat(self.byte[1:], line))
            with m.Elif(line):
                m.d.sync += bits.eq(0)  # no start bit, but a spike
        return m


class Transmitter(wiring.Component):
    """Gives bytes to a line.

    Parameters
    ----------
    divisor : int
        Clock cycles of a bit.

    Members
    -------
    i : In(stream of 8)
        Bytes.
    line : Out(1)
        1 where nothing goes.
    """

    def __init__(self, divisor: int) -> None:
        self.divisor = divisor
        super().__init__({"i": In(stream.Signature(8)), "line": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        frame = Signal(FRAME_BITS, init=-1)
        left, bits = Signal(range(self.divisor)), Signal(range(FRAME_BITS + 1))
        m.d.comb += [self.line.eq(frame[0]), self.i.ready.eq(bits == 0)]
        with m.If(self.i.ready), m.If(self.i.valid):
            m.d.sync += [frame.eq(Cat(Const(0, 1), self.i.payload, Const(1, 1)))]
            m.d.sync += [bits.eq(FRAME_BITS), left.eq(self.divisor - 1)]
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.Else():
            m.d.sync += [left.eq(self.divisor - 1), bits.eq(bits - 1), frame.eq(Cat(frame[1:], Const(1, 1)))]
        return m
