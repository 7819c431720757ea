"""The multiply-accumulate of formats whose products are exact, in four DSP48E2 and little else."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, ResetSignal, Signal, Value
from amaranth.lib import wiring

from hw.config import AcceleratorConfig
from hw.formats import BINARY16
from hw.fp.pipeline import wire
from hw.mac.dsp48e2 import B_WIDTH, NEGATED, W_RND, WIDTH, X_Y_PRODUCT, Z_C, dsp48e2
from hw.mac.forms import SIGNIFICAND_BITS, ExactForms, mac_ports
from hw.parts.delay_line import FLIP_FLOPS, delay

FINE_BITS = 4
ONE_PLACE = 16
"""A factor of 2**16 leaves a term where it is: it may move right by as many places."""

COARSE_TOTAL, COARSE_PRODUCT = 17, 12
"""Places by which a total, or a product, moves right before its factor, if it has further to go."""

WEIGHT_0 = 40
"""The bit of the exact sum that weighs 1."""

BELOW_WEIGHT_0 = 26
"""Bits among which the leading one is sought."""


@dataclass(frozen=True)
class _Product:
    """What the first DSP and the logic beside it give, in the same step."""

    significand: Value
    low_is_zero: Value
    exponent_inverted: Value
    infinities: Value


@dataclass(frozen=True)
class _Aligned:
    """The exact sum of both terms, what was lost below it, and the exponent of the larger one."""

    total: Value
    sticky: Value
    exponent: Value
    infinities: Value


@dataclass(frozen=True)
class _LeadingOne:
    """Where the highest one of 28 bits is."""

    one_hot: list[Value]
    """At [n], that there are n zeros above it."""
    count: Value
    """How many; where there is no one, any."""
    is_zero: Value
    is_low: Value
    """There are 21 zeros at least, beyond which DSP 4 does not reach."""


class Dsp48e2Mac(wiring.Component):
    """``o`` = ``weight`` · ``activation`` + a sum, as `hw.mac.exact.ExactMac` has it, bit for bit.

    ::

        weight ─────┐                              sum so far ─► DSP 2: · 2**k ─┐ PCIN
                    ├─► DSP 1: multiply ─► product ────────────► DSP 3: · 2**k' + ─► exact sum ─► DSP 4: · 2**n + half ─► o
        activation ─┘                                   ▲                                ▲
             exponents ─► add ─► distance ─► one-hot ───┘              leading one ──────┘

    Shifts are multiplications by a power of two. Of both terms the one of lower exponent is multiplied by the one-hot of the
    distance, which is in register B1, the other one by the constant in B2.

    Parameters
    ----------
    config : AcceleratorConfig
        `uspe_core` is ``dsp48e2``. The other members are `hw.mac.forms.mac_ports`.

    Notes
    -----
    The constant comes to B2 in a reset of three cycles at least. Shorter ones leave it there.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.forms = ExactForms(config.storage_format)
        super().__init__(mac_ports(config))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        aligned = self._align(m, self._multiply(m))
        self._normalise(m, aligned)
        return m

    def _step(self, m: Module, value: Value, steps: int, name: str) -> Value:
        """`value` some steps later, in flip-flops."""
        return delay(m, self.en, value, steps, name, attributes=FLIP_FLOPS)

    # ── DSP 1 ──

    def _multiply(self, m: Module) -> _Product:
        """The product with its sign, two steps after the operands."""
        form, padding = self.forms.operand, BINARY16.mantissa_bits - self.config.storage_format.mantissa_bits
        operands = [form(self.weight), form(self.activation)]
        significands = [Cat(Const(0, padding), one.fraction, Const(1, 1)) for one in operands]
        weight, activation = (
            form(
                Cat(Const(0, form["fraction"].width - 1), self._step(m, Cat(one.fraction[-1], one.exponent, one.sign), 1, name))
            )
            for one, name in zip(operands, ("weight_step", "activation_step"), strict=True)
        )
        is_zero = wire(m, (weight.exponent == 0) | (activation.exponent == 0), "is_zero")
        specials = [one.exponent.all() for one in (weight, activation)]
        is_special = wire(m, specials[0] | specials[1], "is_special")
        nans = [special & one.fraction[-1] for special, one in zip(specials, (weight, activation), strict=True)]
        is_nan = wire(m, nans[0] | nans[1] | is_special & is_zero, "is_nan")
        sign = weight.sign ^ activation.sign

        product, low_is_zero = Signal(WIDTH), Signal()
        negative = operands[0].sign ^ operands[1].sign
        m.submodules.multiply = dsp48e2(
            self.en,
            {"AREG": 1, "BREG": 1, "PREG": 1, "ALUMODEREG": 1},
            {"P": product, "PATTERNDETECT": low_is_zero},
            sticky_bits=COARSE_PRODUCT - 3,
            A=Cat(significands[1], Const(0, 19)),
            B=Cat(significands[0], Const(0, 7)),
            ALUMODE=Mux(negative, Const(NEGATED, 4), 0),
            RSTP=self.en & is_zero,
        )
        # Inverted, since a subtraction whose minuend comes through multiplexers would take them twice.
        exponent_inverted = Signal(self.forms.sum["exponent"].width, init=-1)
        with m.If(self.en):
            m.d.sync += exponent_inverted.eq(~(weight.exponent + activation.exponent))
            with m.If(is_zero):
                m.d.sync += exponent_inverted.eq(-1)
        infinities = self._step(m, Cat(is_special & ~sign | is_nan, is_special & sign | is_nan), 1, "product_infinities")
        return _Product(product[: 2 * BINARY16.mantissa_bits + 3], low_is_zero, exponent_inverted, infinities)

    # ── DSP 2 and 3 ──

    def _align(self, m: Module, product: _Product) -> _Aligned:
        """Both terms in one scale, and their exact sum, two steps later."""
        resets = ResetSignal()
        own, west, first = self.forms.sum(self.o), self.forms.sum(self.west), self.first | resets
        base = {name: Mux(first, 0, Mux(self.stationary, west[name], own[name])) for name in ("exponent", "infinities")}
        inverted, width = product.exponent_inverted, len(product.exponent_inverted)
        one = Const(1, 1)  # carried in
        distance = wire(m, (Cat(one, inverted, one) + Cat(one, base["exponent"], Const(0, 1)))[1 : width + 2], "distance")
        total_is_small, fine, is_coarse = distance[-1], distance[:FINE_BITS], distance[FINE_BITS]
        is_far = (distance[FINE_BITS + 1 : -1] ^ total_is_small.replicate(width - FINE_BITS - 1)).any()
        no_total = wire(m, first | total_is_small & is_far, "no_total")
        no_product = wire(m, ~total_is_small & is_far, "no_product")
        coarse_total, coarse_product = total_is_small & ~is_coarse, ~total_is_small & is_coarse
        factor = wire(m, _factor(total_is_small, is_coarse, fine), "factor")

        settled = Signal(2, reset_less=True)
        m.d.sync += settled.eq(Mux(resets, Cat(one, settled), 0))
        registers = {"AREG": 1, "BREG": 2, "DREG": 1, "INMODEREG": 1}
        loads = {"CEB1": self.en | resets, "CEB2": settled[1] & resets, "B": Cat(factor, Const(0, 1))}
        cascade, low_of_total_is_zero = Signal(WIDTH), Signal()
        m.submodules.total = dsp48e2(
            self.en,
            registers,
            {"PCOUT": cascade, "PATTERNDETECT": low_of_total_is_zero},
            sticky_bits=COARSE_TOTAL,
            preadder=True,
            A=Cat(Const(0, 1), own.significand, Const(0, 3)),
            D=Cat(Const(0, 1), west.significand),
            INMODE=Cat(Const(0, 1), self.stationary | no_total, self.stationary & ~no_total, Const(0, 1), total_is_small),
            **loads,
        )
        term = Cat(Const(0, 3), product.significand, product.significand[-1])
        total, low_is_zero = Signal(WIDTH), Signal()
        m.submodules.product = dsp48e2(
            self.en,
            registers | {"PREG": 1, "OPMODEREG": 1},
            {"P": total, "PATTERNDETECT": low_is_zero},
            sticky_bits=WEIGHT_0 - BELOW_WEIGHT_0 - 1,
            preadder=True,
            A=Cat(term, Const(0, 3)),
            D=Cat(term[COARSE_PRODUCT:], term[-1].replicate(COARSE_PRODUCT)),
            PCIN=cascade,
            INMODE=Cat(Const(0, 1), coarse_product | no_product, coarse_product & ~no_product, Const(0, 1), ~total_is_small),
            OPMODE=Cat(Const(X_Y_PRODUCT, 4), one, Const(0, 1), coarse_total, Const(0, 2)),
            **loads,
        )
        lost_of_product = self._step(m, coarse_product & ~product.low_is_zero, 1, "lost_of_product")
        was_coarse_total = self._step(m, coarse_total, 1, "was_coarse_total")
        lost = self._step(m, lost_of_product | was_coarse_total & ~low_of_total_is_zero, 1, "lost")
        return _Aligned(
            total=total[: WEIGHT_0 + 3],
            sticky=lost | ~low_is_zero,
            exponent=self._step(m, Mux(total_is_small, ~inverted, base["exponent"]), 2, "larger_exponent"),
            infinities=self._step(m, product.infinities | base["infinities"], 2, "infinities"),
        )

    # ── DSP 4 ──

    def _normalise(self, m: Module, x: _Aligned) -> None:
        """Two steps: the leading one to its place, by a factor, and half a unit added."""
        total = x.total
        sign = total[-1]
        differs = total[WEIGHT_0 - BELOW_WEIGHT_0 : -1] ^ sign.replicate(BELOW_WEIGHT_0 + 2)
        # The lowest bit is zero in what cancelled so far. Of negative powers of two, all of whose bits below are like zeros,
        # the leading one is sought a place lower: -2**-25 as -1 · 2**-25, for once, since there is no lower place.
        zeros = _leading_one(m, Cat(Const(0, 1), total[WEIGHT_0 - BELOW_WEIGHT_0 + 1] | sign, differs[2:]))
        at = zeros.one_hot  # at[n]: n places to the left
        high = wire(m, at[0] | at[1] | at[2], "high")
        factor = [at[place + 3] | (at[place] if place < 3 else 0) for place in range(B_WIDTH)]
        negated = at[B_WIDTH + 2]  # the factor's top bit is its sign
        scaled = Signal(WIDTH)
        m.submodules.normalise = dsp48e2(
            self.en,
            {name: 1 for name in ("AREG", "BREG", "CREG", "DREG", "PREG", "INMODEREG", "OPMODEREG", "ALUMODEREG")},
            {"P": scaled},
            half=0b10,
            preadder=True,
            A=Cat(total[16:], Const(0, 3)),
            D=Cat(total[13:39], sign),
            B=Cat(factor),
            C=self._low(m, total, zeros),
            INMODE=Cat(Const(0, 1), ~high, ~high, Const(0, 2)),
            OPMODE=Cat(Const(X_Y_PRODUCT, 4), Const(Z_C, 3), Const(0, 1), ~negated),
            ALUMODE=Mux(negated, Const(NEGATED, 4), 0),
        )
        assert W_RND == 0b10
        count, is_zero = self._step(m, zeros.count, 1, "zeros_step"), self._step(m, zeros.is_zero, 1, "is_zero_step")
        lost = x.sticky | high & total[13:15].any() | (at[0] | at[1]) & total[15]
        sticky = self._step(m, lost, 2, "sticky")
        larger = self._step(m, x.exponent, 1, "larger_exponent_step")
        exponent = Signal.like(larger, reset_less=True)
        with m.If(self.en):
            m.d.sync += exponent.eq(Mux(is_zero, 0, larger + 1 - count))
        infinities = self._step(m, x.infinities, 2, "infinities_step")
        lowest = scaled[2] & (scaled[1] | scaled[0] | sticky)
        m.d.comb += self.o.eq(Cat(lowest, scaled[3 : SIGNIFICAND_BITS + 2], exponent, infinities))

    def _low(self, m: Module, total: Value, zeros: _LeadingOne) -> Value:
        """What DSP 4 adds: a leading one below its reach, already in place; or the bit that its upper window lacks."""
        at, sign, low = zeros.one_hot, total[-1], zeros.is_low
        bits = [
            Cat(at[21 + place] & total[20 - place - below] for place in range(6 - below)).any() for below in range(5, 0, -1)
        ]
        top = low & ~sign & ~zeros.is_zero | at[26] & total[15]
        return Cat(Const(0, 1), at[2] & total[15], Const(0, 18), *bits, top, (low & sign).replicate(22))


def _factor(total_is_small: Value, is_coarse: Value, fine: Value) -> Value:
    """The power of two that moves the small term right by its distance, behind its coarse move."""
    bits = []
    for place in range(ONE_PLACE + 1):
        # A total's distance is -n: of 16 places, fine is 0.
        total = Mux(is_coarse, _is(fine, place, range(16)), _is(fine, place - 1, range(16)))
        product = Mux(is_coarse, _is(fine, COARSE_PRODUCT - place, range(16)), _is(fine, ONE_PLACE - place, range(16)))
        bits.append(Mux(total_is_small, total, product))
    return Cat(bits)


def _is(value: Value, number: int, within: range) -> Value:
    return value == number if number in within else Const(0, 1)


def _leading_one(m: Module, value: Value) -> _LeadingOne:
    """Search in groups of four bits, from the top, for the highest one of `value`."""
    bits = [value[place] for place in reversed(range(len(value)))]
    none_above: list[Value] = [Const(1, 1)]
    one_hot: list[Value] = []
    for group in range(len(bits) // 4):
        inside = bits[4 * group :][:4]
        one_hot += [none_above[group] & inside[place] & ~Cat(inside[:place]).any() for place in range(4)]
        none_above.append(wire(m, none_above[group] & ~Cat(inside).any(), f"none_above_{group + 1}"))
    one_hot = [wire(m, bit, f"leading_{place}") for place, bit in enumerate(one_hot)]
    odd_groups = Cat(none_above[group] & ~none_above[group + 1] for group in (1, 3, 5)).any()
    count = Cat(
        Cat(bit for place, bit in enumerate(one_hot) if place & 1).any(),
        Cat(bit for place, bit in enumerate(one_hot) if place & 2).any(),
        odd_groups,
        none_above[2] & ~none_above[4] | none_above[6] & ~none_above[7],
        none_above[4],
    )
    return _LeadingOne(one_hot, wire(m, count, "count"), none_above[7], wire(m, none_above[5] & ~bits[20], "is_low"))
