"""The multiply-accumulate of formats whose products are exact, in plain logic."""

from typing import NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Value
from amaranth.lib import wiring

from hw.config import AcceleratorConfig
from hw.formats import BINARY32
from hw.fp.pipeline import Step, run_pipeline, wire
from hw.fp.shift import shift_right_sticky
from hw.mac.forms import MINUS, PLUS, SIGNIFICAND_BITS, ExactForms, mac_ports

GUARD_BITS = 3
"""Below a sum's lowest bit. Cancellation moves a sum left by more than two places only where no bit was lost below them."""

TOTAL_BITS = SIGNIFICAND_BITS + GUARD_BITS
PLACES_BITS = 5


class _Operands(NamedTuple):
    weight: Value
    activation: Value


class Factors(NamedTuple):
    """What a product is made of: significands, the weight's with the product's sign; and the operands as they are."""

    weight: Value
    activation: Value
    weight_significand: Value
    activation_significand: Value


class Product(NamedTuple):
    """An exact product: ``significand · 2**(exponent - sum_scale - 2 · mantissa_bits - 1)``; 0 has the exponent 0."""

    significand: Value
    exponent: Value
    infinities: Value


class _Terms(NamedTuple):
    total: Value
    total_exponent: Value
    product: Value
    product_exponent: Value
    infinities: Value


class _Aligned(NamedTuple):
    """Both terms, and by how many places the one of lower exponent is to be moved right."""

    total: Value
    product: Value
    small: Value
    sticky: Value
    total_is_small: Value
    places: Value
    exponent: Value
    infinities: Value


class _Total(NamedTuple):
    """An exact sum on its way to be normalised: its top bits, all like the sign, are to go."""

    significand: Value
    sticky: Value
    exponent: Value
    zeros: Value
    infinities: Value


class _Sum(NamedTuple):
    bits: Value


class ExactMac(wiring.Component):
    """``o`` = ``weight`` · ``activation`` + a sum, rounded once to nearest even, on two's complement significands.

    ::

        weight, activation ─ operands ─ multiply ─┐
                                                  ├─ distance ─ align ─ add ─ normalise (twice) ─ round ─┬─► o
        nothing, west or own ─────────────────────┘                                                      │
                         └───────────────────────────────────────────────────────────────────────────────┘

    Signs need no path of their own: nothing is ordered by magnitude, negated after the sum, or rounded by sign, since
    rounding to nearest even is symmetric.

    Parameters
    ----------
    config : AcceleratorConfig
        Format and latencies, spread over the steps. The other members are `hw.mac.forms.mac_ports`.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.forms = ExactForms(config.storage_format)
        super().__init__(mac_ports(config))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, form = self.config, self.forms.sum
        multiply: list[Step] = [(2, self.operands), (3, self.multiply)]
        product: Product = run_pipeline(
            m, self.en, config.multiply_latency_cycles, multiply, _Operands(self.weight, self.activation)
        )
        base = form(wire(m, Mux(self.first, 0, Mux(self.stationary, self.west, self.o)), "base"))
        terms = _Terms(
            total=base.significand,
            total_exponent=base.exponent,
            product=product.significand,
            product_exponent=product.exponent,
            infinities=wire(m, base.infinities | product.infinities, "infinities"),
        )
        add: list[Step] = [
            (1.5, self._distance),
            (2.5, self._align),
            (1.5, self._add),
            (2, self._normalise_by_eights),
            (2, self._normalise_by_twos),
            (1.5, self._round),
        ]
        m.d.comb += self.o.eq(run_pipeline(m, self.en, config.add_latency_cycles, add, terms).bits)
        return m

    def operands(self, m: Module, x: _Operands) -> Factors:
        """Give the weight's significand the sign of the product."""
        weight, activation = self.forms.operand(x.weight), self.forms.operand(x.activation)
        sign = wire(m, weight.sign ^ activation.sign, "sign")
        magnitude = Cat(weight.fraction, weight.exponent.any())
        return Factors(
            weight=x.weight,
            activation=x.activation,
            weight_significand=wire(m, Cat(magnitude ^ sign.replicate(len(magnitude)), sign) + sign, "signed")[:-1],
            activation_significand=Cat(activation.fraction, activation.exponent.any()),
        )

    def multiply(self, m: Module, x: Factors) -> Product:
        """The exact product."""
        weight, activation = self.forms.operand(x.weight), self.forms.operand(x.activation)
        zeros = wire(m, Cat(one.exponent == 0 for one in (weight, activation)), "zeros")
        specials = wire(m, Cat(one.exponent.all() for one in (weight, activation)), "specials")
        nans = Cat(special & one.fraction[-1] for special, one in zip(specials, (weight, activation), strict=True))
        is_nan = wire(m, nans.any() | specials.any() & zeros.any(), "is_nan")
        sign = weight.sign ^ activation.sign
        infinities = [specials.any() & ~sign | is_nan, specials.any() & sign | is_nan]
        assert (PLUS, MINUS) == (0, 1)
        return Product(
            significand=wire(m, x.weight_significand.as_signed() * x.activation_significand, "product"),
            exponent=Mux(zeros.any(), 0, weight.exponent + activation.exponent),
            infinities=Cat(infinities),
        )

    def _distance(self, m: Module, x: _Terms) -> _Aligned:
        """By how far the exponents differ. Moves further than the significands are wide change nothing more."""
        distance = wire(m, x.total_exponent - x.product_exponent, "distance")
        total_is_small = distance[-1]
        # Where the total is the small one, its distance is -n, and it moves n = ~(-n) + 1 places: the one is wired.
        places = distance[:-1] ^ total_is_small.replicate(len(distance) - 1)
        is_far = places[PLACES_BITS:].any()
        return _Aligned(
            total=x.total,
            product=x.product,
            small=Const(0),
            sticky=Const(0),
            total_is_small=total_is_small,
            places=wire(m, places[:PLACES_BITS] | is_far.replicate(PLACES_BITS), "places"),
            exponent=Mux(total_is_small, x.product_exponent, x.total_exponent),
            infinities=x.infinities,
        )

    def _align(self, m: Module, x: _Aligned) -> _Aligned:
        """Move the term of lower exponent right, in two's complement; what falls off the end is sticky."""
        total, product = Cat(Const(0, GUARD_BITS - 1), x.total), Cat(Const(0, self._product_shift), x.product)
        small = Mux(x.total_is_small, total, product[: len(total)])
        shifted = wire(m, shift_right_sticky(m, small, x.places, fill=small[-1]), "aligned")
        return x._replace(small=shifted[1:], sticky=shifted[0], places=Const(0))

    @property
    def _product_shift(self) -> int:
        """From a product's lowest bit down to a total's."""
        return BINARY32.mantissa_bits + GUARD_BITS - 2 * self.config.storage_format.mantissa_bits - 1

    def _add(self, m: Module, x: _Aligned) -> _Total:
        total, product = Cat(Const(0, GUARD_BITS), x.total), Cat(Const(0, self._product_shift), x.product)
        big = Mux(x.total_is_small, product.as_signed(), total.as_signed())
        return _Total(
            significand=wire(m, (x.small.as_signed() + big)[:TOTAL_BITS], "sum"),
            sticky=x.sticky,
            exponent=x.exponent,
            zeros=Const(0),
            infinities=x.infinities,
        )

    def _normalise_by_eights(self, m: Module, x: _Total) -> _Total:
        significand, zeros = drop_signs(m, x.significand, 8, "eights")
        return x._replace(significand=significand, zeros=zeros)

    def _normalise_by_twos(self, m: Module, x: _Total) -> _Total:
        significand, zeros = drop_signs(m, x.significand, 2, "twos")
        return x._replace(significand=significand, zeros=Cat(zeros, x.zeros))

    def _round(self, m: Module, x: _Total) -> _Sum:
        """The last place, and half a unit added; a tie, which that rounds up, has its lowest bit cleared."""
        moves = x.significand[-1] == x.significand[-2]
        significand = wire(m, Mux(moves, x.significand << 1, x.significand)[:TOTAL_BITS], "normalised")
        is_zero = significand[-1] == significand[-2]
        lost, kept = significand[:GUARD_BITS], significand[GUARD_BITS:]
        rounded = wire(m, Cat(kept, kept[-1]) + 1, "rounded")[: len(kept) + 1]
        lowest = rounded[1] & (rounded[0] | lost.any() | x.sticky)
        exponent = x.exponent + 1 - Cat(moves, x.zeros)
        form = self.forms.sum
        return _Sum(Cat(lowest, rounded[2:], Mux(is_zero, 0, exponent[: form["exponent"].width]), x.infinities))


def drop_signs(m: Module, value: Value, places: int, name: str) -> tuple[Value, Value]:
    """`value` moved left by none, one, two or three times `places`, as bits below its sign are copies of it; and how often."""
    bits, sign = len(value), value[-1]
    copies = [
        wire(m, (value[bits - 1 - times * places : -1] ^ sign.replicate(times * places)) == 0, f"{name}_{times}")
        for times in (1, 2, 3)
    ]
    high = copies[1]
    low = wire(m, Mux(high, copies[2], copies[0]), f"{name}_low")
    half = wire(m, Mux(high, value << 2 * places, value)[:bits], f"{name}_half")
    return wire(m, Mux(low, half << places, half)[:bits], f"{name}_moved"), Cat(low, high)
