"""Into the forms of `hw.mac.forms`, and out of them: at the edges of the array."""

from amaranth.hdl import Cat, Const, Module, Mux, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.formats import BINARY32, FloatFormat, has_exact_products
from hw.fp.leading_zeros import count_leading_zeros
from hw.fp.pipeline import wire
from hw.fp.unpack import unpack
from hw.mac.forms import MINUS, PLUS, ExactForms
from hw.parts.modules import place


class Normalise(wiring.Component):
    """A stored number as an operand.

    Parameters
    ----------
    storage : FloatFormat
        One with exact products, see `hw.formats.has_exact_products`.

    Members
    -------
    i, o : In(storage.width), Out(ExactForms.operand)
        The number, and the operand, without a register.
    """

    def __init__(self, storage: FloatFormat) -> None:
        self.storage = storage
        self.forms = ExactForms(storage)
        super().__init__({"i": In(storage.width), "o": Out(self.forms.operand)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        form, fraction_bits = self.storage, self.storage.mantissa_bits
        stored = unpack(m, self.i, form, "stored")
        fraction, is_normal = self.i[:fraction_bits], stored.significand[-1]
        zeros, is_zero = count_leading_zeros(m, fraction)
        # The smallest normal number has the exponent 1 + mantissa_bits, so that the smallest subnormal one has 1.
        normal = self.i[fraction_bits:-1] + fraction_bits
        subnormal = Mux(is_zero, 0, fraction_bits - zeros)
        exponent = Mux(stored.is_special, ~0, Mux(is_normal, normal, subnormal))
        shifted = Cat(Const(0, 1), fraction << zeros)[:fraction_bits]
        special = Cat(Const(0, fraction_bits - 1), stored.has_fraction)
        m.d.comb += [
            self.o.sign.eq(stored.sign),
            self.o.exponent.eq(exponent),
            self.o.fraction.eq(Mux(stored.is_special, special, Mux(is_normal, fraction, shifted))),
        ]
        return m


class Pack(wiring.Component):
    """A sum as a binary32 number.

    Parameters
    ----------
    storage : FloatFormat
        Format of the operands, one with exact products.

    Members
    -------
    i, o : In(ExactForms.sum), Out(32)
        The sum, and the number, without a register.
    """

    def __init__(self, storage: FloatFormat) -> None:
        self.forms = ExactForms(storage)
        super().__init__({"i": In(self.forms.sum), "o": Out(BINARY32.width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        significand, sign = self.i.significand.as_unsigned(), self.i.significand[-1]
        magnitude = wire(m, (significand ^ sign.replicate(len(significand))) + sign, "magnitude")
        ones, twos = magnitude[BINARY32.mantissa_bits], magnitude[BINARY32.mantissa_bits + 1]
        exponent = wire(m, self.i.exponent + (BINARY32.bias - self.forms.sum_scale) + twos, "exponent")
        fraction = magnitude[: BINARY32.mantissa_bits]
        infinities = self.i.infinities
        with m.If(infinities.all()):
            m.d.comb += self.o.eq(BINARY32.quiet_nan)
        with m.Elif(infinities.any()):
            m.d.comb += self.o.eq(Cat(Const(BINARY32.infinity, BINARY32.width - 1), infinities[MINUS]))
        with m.Elif(ones | twos):
            m.d.comb += self.o.eq(Cat(fraction, exponent[: BINARY32.exponent_bits], sign))
        return m


class Unpack(wiring.Component):
    """A binary32 number that `Pack` gave as a sum again.

    Parameters
    ----------
    storage : FloatFormat
        Format of the operands, one with exact products.

    Members
    -------
    i, o : In(32), Out(ExactForms.sum)
        The number, and the sum, without a register.
    """

    def __init__(self, storage: FloatFormat) -> None:
        self.forms = ExactForms(storage)
        super().__init__({"i": In(BINARY32.width), "o": Out(self.forms.sum)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        number = unpack(m, self.i, BINARY32, "number")
        magnitude, is_nan = number.significand, number.is_special & number.has_fraction
        exponent = self.i[BINARY32.mantissa_bits : -1] - (BINARY32.bias - self.forms.sum_scale)
        m.d.comb += [
            self.o.significand.eq(Mux(number.sign, -magnitude, magnitude)),
            self.o.exponent.eq(Mux(magnitude[-1], exponent, 0)),
            self.o.infinities[PLUS].eq(number.is_special & ~number.sign | is_nan),
            self.o.infinities[MINUS].eq(number.is_special & number.sign | is_nan),
        ]
        return m


def convert(m: Module, platform: object, edge: type[wiring.Component], storage: FloatFormat, value: Value, name: str) -> Value:
    """`value` through an `edge` named `name`; as it is where the array computes on stored numbers."""
    if not has_exact_products(storage):
        return value
    block = place(m, platform, lambda: edge(storage), module=f"{edge.__name__.lower()}_{storage.name}", name=name)
    m.d.comb += Value.cast(block.i).eq(value)
    return Value.cast(block.o)
