"""Lines of registers, which tools take for shift registers of lookup tables."""

from collections.abc import Mapping
from functools import partial

from amaranth.hdl import Cat, Module, Signal, Value, ValueLike
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.parts.modules import place

FLIP_FLOPS: Mapping[str, int | str] = {"keep": 1, "shreg_extract": "no"}
"""Of registers that would become shift registers of lookup tables, where those are short and flip-flops are left over."""


def delay(
    m: Module,
    en: ValueLike,
    value: ValueLike,
    steps: int,
    name: str,
    *,
    reset: bool = False,
    attributes: Mapping[str, int | str] | None = None,
) -> Value:
    """`value` as it was `steps` enabled cycles ago; without reset it can be a shift register of lookup tables."""
    value = Value.cast(value)
    if steps == 0:
        return value
    line = Signal(len(value) * steps, name=name, reset_less=not reset, attrs=attributes)
    with m.If(en):
        m.d.sync += line.eq(Cat(value, line))
    return line[-len(value) :]


def delayed(m: Module, platform: object, value: ValueLike, cycles: int, name: str) -> Value:
    """`value` as it was `cycles` cycles ago, by a line `name` in `m`; see `hw.parts.modules.place`."""
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
  reg [{bits - 1}:0] line;
  initial line = {bits}'h0;
  always @(posedge clk) line <= {following};
  assign o = line[{bits - 1}:{kept}];
endmodule
"""
