"""One number's way through a function."""

from typing import NamedTuple

from amaranth.hdl import Const, Module, Mux, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.engines.functions.reduce import Argument, Reduced, Reduction
from hw.engines.functions.table import FunctionTable, split_segment
from hw.formats import BINARY32
from hw.fp.finish import Exact, Finish
from hw.fp.pipeline import Step, run_pipeline, wire
from hw.isa.functions import C2_SHIFT, EXP2_BITS, FIXED_BITS, FRACTION_BITS, PLACE_BITS, Function
from hw.parts.delay_line import delay
from hw.parts.modules import place

NUMBER = BINARY32.width
CODE_BITS = 4
FUNCTION_OPERATIONS = 3
"""As many operations of a vector engine take the time of a function."""

SUM_BITS = FIXED_BITS + 1
"""Bits of a result's magnitude before it is normalised: a logarithm's, with its integer part."""

LARGEST_EXPONENT = 1 << FIXED_BITS - PLACE_BITS - EXP2_BITS
"""Of two, by which a parabola's value can be scaled: that of exp2."""


class _Line(NamedTuple):
    """The parabola's slope at the place."""

    c0: Value
    slope: Value
    place: Value
    scale: Value
    exponent: Value
    sign: Value
    is_nan: Value
    is_infinity: Value


class _Value(NamedTuple):
    p: Value
    exponent: Value
    sign: Value
    is_nan: Value
    is_infinity: Value


class FunctionLane(wiring.Component):
    """One number's way through a function; the bits are those of `training.functions.apply`.

    ::

        a ─ unpack ─ normalise ─┬─ to fixed point ─┬─ reduce ─ table ─ × ─ + ─ × ─ + ─ normalise ─ round ─► o
                                └──────────────────┘

    Parameters
    ----------
    config : AcceleratorConfig
        Latency.

    Members
    -------
    en : In(1)
        Clock enable of everything.
    function : In(4)
        A code of `hw.isa.functions.Function`; it must hold from the first number taken to the last result. 0 lets numbers by.
    a : In(32)
        The number, binary32.
    o : Out(32)
        The result of `latency_cycles` enabled cycles before.

    Attributes
    ----------
    latency_cycles, interval_cycles : int
        Enabled cycles from number to result, and between numbers: 1.
    """

    interval_cycles = 1

    def __init__(self, config: AcceleratorConfig) -> None:
        self.latency_cycles = config.function_latency_cycles
        self._part = config.vector_latency_cycles
        super().__init__({"en": In(1), "function": In(CODE_BITS), "a": In(NUMBER), "o": Out(NUMBER)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        reduced = run_pipeline(m, self.en, self._part - 1, Reduction(self.function).steps, Argument(self.a))
        rom: FunctionTable = place(m, platform, FunctionTable, module="function_table", name="table")
        m.d.comb += [rom.en.eq(self.en), rom.address.eq(reduced.address)]
        beside: list[Step] = [(1, lambda m, x: x)]
        read = run_pipeline(m, self.en, 1, beside, reduced._replace(address=Const(0)))
        after: list[Step] = [(3, lambda m, x: self._slope(m, x, rom.o)), (3, self._value)]
        value = run_pipeline(m, self.en, self._part, after, read)
        finish = Finish(
            BINARY32,
            significand_bits=SUM_BITS,
            headroom=range(_headroom(-LARGEST_EXPONENT), _headroom(LARGEST_EXPONENT)),
            may_shift_left=True,
        )
        last: list[Step] = [(1, self._magnitude), *finish.steps]
        result = run_pipeline(m, self.en, self._part, last, value)
        unchanged = delay(m, self.en, self.a, self.latency_cycles, "unchanged")
        m.d.comb += self.o.eq(Mux(self.function == Function.NONE, unchanged, result.bits))
        return m

    def _slope(self, m: Module, x: Reduced, word: Value) -> _Line:
        c0, c1, c2, scale = split_segment(word)
        bend = wire(m, c2 * x.place, "bend")
        return _Line(
            c0=c0,
            slope=wire(m, c1 + (bend >> C2_SHIFT), "slope"),
            place=x.place,
            scale=scale,
            exponent=x.exponent,
            sign=x.sign,
            is_nan=x.is_nan,
            is_infinity=x.is_infinity,
        )

    def _value(self, m: Module, x: _Line) -> _Value:
        rise = wire(m, x.slope * x.place, "rise")
        is_log2 = self.function == Function.LOG2
        whole = Mux(is_log2, x.exponent, 0).as_signed() << FRACTION_BITS
        return _Value(
            p=wire(m, (x.c0 + whole + (rise >> PLACE_BITS))[: SUM_BITS + 1], "p"),
            exponent=wire(m, Mux(is_log2, 0, x.exponent - x.scale).as_signed(), "scaled"),
            sign=x.sign,
            is_nan=x.is_nan,
            is_infinity=x.is_infinity,
        )

    def _magnitude(self, m: Module, x: _Value) -> Exact:
        is_negative = x.p[-1]
        return Exact(
            significand=wire(m, Mux(is_negative, -x.p.as_signed(), x.p)[:SUM_BITS], "magnitude"),
            headroom=wire(m, x.exponent + _headroom(0), "headroom"),
            sign=x.sign | is_negative & ~x.is_infinity,
            sign_if_zero=x.sign,
            is_nan=x.is_nan,
            is_infinity=x.is_infinity,
        )


def _headroom(exponent: int) -> int:
    """See `hw.fp.finish.Exact`, of a sum that is scaled by 2**exponent."""
    return BINARY32.bias + SUM_BITS - 1 - FRACTION_BITS + exponent - 1
