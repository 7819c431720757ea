"""What every operation ends with: normalise, make subnormal, round once, pack."""

from typing import NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hw.formats import FloatFormat
from hw.fp.leading_zeros import count_leading_zeros
from hw.fp.pipeline import Step, wire
from hw.fp.shift import shift_right_sticky


class Exact(NamedTuple):
    """An exact result, not yet normalised or rounded.

    The *headroom* is the biased exponent, in the target format and less one, of a number whose leading one is the
    significand's top bit: how many places the significand may move left before it meets the target's subnormal range.
    Where it is negative the significand must move right by as many places.
    """

    significand: Value
    headroom: Value
    sign: Value
    sign_if_zero: Value
    is_nan: Value
    is_infinity: Value


class Counted(NamedTuple):
    """An exact result and how far it is to be shifted left."""

    significand: Value
    left: Value
    right: Value
    exponent: Value
    sign: Value
    is_nan: Value
    is_infinity: Value


class Packed(NamedTuple):
    """A stored number."""

    bits: Value


class Finish:
    """The last steps of an operation, without those that its range makes unnecessary.

    Parameters
    ----------
    target : FloatFormat
        Format of the result.
    significand_bits : int
        Width of the exact significand.
    headroom : range
        Every headroom that a finite result can have.
    may_shift_left : bool
        Whether a result with positive headroom can have leading zeros.
    """

    def __init__(self, target: FloatFormat, *, significand_bits: int, headroom: range, may_shift_left: bool) -> None:
        self.target = target
        self.headroom = headroom
        self.may_shift_left = may_shift_left
        self.may_shift_right = headroom[0] < 0
        self.may_stay_subnormal = headroom[0] < significand_bits - 1
        self.may_overflow = headroom[-1] >= target.max_biased_exponent - 1
        self.is_exact = significand_bits <= target.mantissa_bits + 1 and not self.may_shift_right

    @property
    def steps(self) -> list[Step]:
        """The steps from `Exact` to `Packed`."""
        steps: list[Step] = [(2.5, self._count), (2, self._shift_left)] if self.may_shift_left else [(1, self._limit)]
        if self.may_shift_right:
            steps.append((2.5, self._shift_right))
        return [*steps, (1.5, self._round)]

    def _limit(self, m: Module, x: Exact) -> Counted:
        """The stored exponent of a significand that need not move left: 0 where it must move right."""
        return Counted(
            significand=x.significand,
            left=Const(0),
            right=self._right(x),
            exponent=self._not_below_zero(x.headroom)[: self._exponent_bits],
            sign=x.sign,
            is_nan=x.is_nan,
            is_infinity=x.is_infinity,
        )

    def _count(self, m: Module, x: Exact) -> Counted:
        """Find how far to move left: to the leading one, but not past the subnormal range, where the exponent is 0."""
        zeros, is_zero = count_leading_zeros(m, x.significand)
        left, is_subnormal = zeros, is_zero
        remaining = wire(m, x.headroom - zeros, "remaining")
        if self.may_stay_subnormal:
            is_subnormal = wire(m, is_zero | (remaining < 0), "is_subnormal")
            left = Mux(is_subnormal, self._not_below_zero(x.headroom)[: len(zeros)], zeros)
        return Counted(
            significand=x.significand,
            left=left,
            right=self._right(x),
            exponent=Mux(is_subnormal, 0, remaining)[: self._exponent_bits],
            sign=Mux(is_zero, x.sign_if_zero, x.sign),
            is_nan=x.is_nan,
            is_infinity=x.is_infinity,
        )

    @property
    def _exponent_bits(self) -> int:
        return max(self.headroom[-1].bit_length(), self.target.exponent_bits)

    def _not_below_zero(self, headroom: Value) -> Value:
        return Mux(headroom < 0, 0, headroom) if self.may_shift_right else headroom

    def _right(self, x: Exact) -> Value:
        return Mux(x.headroom < 0, -x.headroom, 0)[: len(x.headroom)] if self.may_shift_right else Const(0)

    def _shift_left(self, m: Module, x: Counted) -> Counted:
        significand = wire(m, (x.significand << x.left)[: len(x.significand)], "shifted_left")
        return x._replace(significand=significand, left=Const(0))

    def _shift_right(self, m: Module, x: Counted) -> Counted:
        guard = max(self.target.mantissa_bits + 2 - len(x.significand), 0)
        significand = shift_right_sticky(m, Cat(Const(0, guard), x.significand), x.right)
        return x._replace(significand=significand, right=Const(0))

    def _round(self, m: Module, x: Counted) -> Packed:
        """Round to nearest, ties to even, and pack; the rounding carry runs on into the exponent, up to infinity or NaN."""
        fraction_bits = self.target.mantissa_bits
        significand = Cat(Const(0, max(fraction_bits + 1 - len(x.significand), 0)), x.significand)
        lost, kept = significand[: -fraction_bits - 1], significand[-fraction_bits - 1 :]
        is_huge = kept[-1] & self._is_huge(x.exponent, kept[:fraction_bits]) if self.may_overflow else Const(0)
        is_special = wire(m, x.is_nan | x.is_infinity | is_huge, "is_special")
        exponent = Mux(is_special, self.target.max_biased_exponent, x.exponent[: self.target.exponent_bits])
        nan = Const((1 << fraction_bits) - 1, fraction_bits)
        special = nan if self.target.finite else Cat(Const(0, fraction_bits - 1), x.is_nan)
        fraction = Mux(is_special, special, kept[:fraction_bits])
        unrounded = wire(m, Cat(fraction, exponent), "unrounded")
        top = wire(m, kept[-1] & ~is_special, "top")
        if self.is_exact:
            magnitude = Cat(fraction, (exponent + top)[: self.target.exponent_bits])
        else:
            up = wire(m, lost[-1] & (lost[:-1].any() | kept[0]) & ~is_special, "up")
            # One carry chain: the bit below the fraction makes the rounding carry.
            magnitude = (Cat(Const(1, 1), unrounded) + Cat(up, Const(0, fraction_bits), top))[1 : len(unrounded) + 1]
        is_nan = magnitude.all() if self.target.finite else x.is_nan
        return Packed(Cat(magnitude, x.sign & ~is_nan))

    def _is_huge(self, exponent: Value, fraction: Value) -> Value:
        """Whether a number with a leading one, whose stored exponent is one more, is too large before it is rounded."""
        last = self.target.max_biased_exponent - 1
        if self.target.finite:
            return (exponent > last) | (exponent == last) & fraction.all()
        return exponent >= last
