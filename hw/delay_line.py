"""Lines of registers, which tools take for shift registers of lookup tables."""

from functools import partial

from amaranth.hdl import Cat, Module, Mux, Signal, Value, ValueLike
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.modules import place


def delayed(m: Module, platform: object, value: ValueLike, cycles: int, name: str) -> Value:
    """`value` as it was `cycles` cycles ago, by a line `name` in `m`; see `hw.modules.place`."""
    value = Value.cast(value)
    if cycles == 0:
        return value
    make = partial(DelayLine, len(value), cycles)
    line: DelayLine = place(m, platform, make, module=f"delay_line_{len(value)}x{cycles}", name=name)
    m.d.comb += line.i.eq(value)
    return line.o


class DelayLine(wiring.Component):
    """What came in `cycles` ago; it has no reset, as shift registers have none.

    Parameters
    ----------
    width : int
        Bits.
    cycles : int
        From 1 on.

    Members
    -------
    i, o : In(width), Out(width)
        The value, and the one of `cycles` cycles ago; 0 before.
    """

    def __init__(self, width: int, cycles: int) -> None:
        self.width, self.cycles = width, cycles
        super().__init__({"i": In(width), "o": Out(width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        line = Signal(self.width * self.cycles, reset_less=True)
        m.d.sync += line.eq(Cat(self.i, line))
        m.d.comb += self.o.eq(line[-self.width :])
        return m

    def verilog(self, name: str) -> str:
        """The same in a few lines: Amaranth works bit by bit, and the skew of a large array is 170,000 of them."""
        bits, kept = self.width * self.cycles, self.width * (self.cycles - 1)
        following = f"{{line[{kept - 1}:0], i}}" if kept else "i"
        return f"""module {name}(clk, i, o);
  input clk;
  input [{self.width - 1}:0] i;
  output [{self.width - 1}:0] o;
  reg [{bits - 1}:0] line = {bits}'h0;
  always @(posedge clk) line <= {following};
  assign o = line[{bits - 1}:{kept}];
endmodule
"""


class TappedLine(wiring.Component):
    """What came in so many enabled cycles ago, or one; it has no reset, as shift registers have none.

    A shift register of lookup tables gives out the bit at an address, so that the choice between the two costs nothing.

    Parameters
    ----------
    width : int
        Bits.
    cycles : int
        From 2 on.

    Members
    -------
    en : In(1)
        The line moves.
    short : In(1)
        `o` is what came in in the last enabled cycle.
    i, o : In(width), Out(width)
        The value, and an earlier one; 0 before.
    """

    def __init__(self, width: int, cycles: int) -> None:
        self.width, self.cycles = width, cycles
        super().__init__({"en": In(1), "short": In(1), "i": In(width), "o": Out(width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        line = Signal(self.width * self.cycles, reset_less=True)
        with m.If(self.en):
            m.d.sync += line.eq(Cat(self.i, line))
        m.d.comb += self.o.eq(Mux(self.short, line[: self.width], line[-self.width :]))
        return m

    def verilog(self, name: str) -> str:
        """The same in the form that is taken for such a shift register, and in one that is quick to simulate."""
        width, last = self.width, self.cycles - 1
        taps = ", ".join(f"line[bit + {tap * width}]" for tap in range(last, -1, -1))
        return f"""module {name}(clk, en, short, i, o);
  input clk;
  input en, short;
  input [{width - 1}:0] i;
  output [{width - 1}:0] o;
  reg [{width * self.cycles - 1}:0] line = {width * self.cycles}'h0;
  always @(posedge clk) if (en) line <= {{line[{width * last - 1}:0], i}};
`ifdef VERILATOR
  assign o = short ? line[{width - 1}:0] : line[{width * self.cycles - 1}:{width * last}];
`else
  genvar bit;
  generate
    for (bit = 0; bit < {width}; bit = bit + 1) begin : bits
      wire [{last}:0] taps = {{{taps}}};
      assign o[bit] = taps[short ? 0 : {last}];
    end
  endgenerate
`endif
endmodule
"""
