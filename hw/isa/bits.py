"""The bits of commands' fields, in the order of their places."""

from collections.abc import Iterable
from enum import IntFlag


class Bits(IntFlag):
    """Bits of a field, each with what it means."""

    doc: str

    def __new__(cls, value: int, doc: str = "") -> "Bits":
        """A bit; or several of them, which say nothing."""
        member = int.__new__(cls, value)
        member._value_, member.doc = value, doc
        return member

    @classmethod
    def described(cls) -> str:
        """All of them by their names."""
        return f"from bit 0 on {', '.join(bit.key for bit in cls)}"

    @property
    def key(self) -> str:
        """What signals and Python call one bit."""
        return str(self.name).lower()


class PassStep(Bits):
    """Which operations a pass does, in this order, each with one rounding; `multiply` comes before `narrow`."""

    WIDEN = 1, "elements come in the storage format, in the low bits; otherwise in binary32"
    SCALE = 2, "x ← x · a"
    SHIFT = 4, "x ← x + b: a bias, or the shift of a batch norm; the field `function` comes next"
    RESIDUAL = 8, "x ← x + r; r in the storage format"
    NARROW = 16, "x ← x in the storage format"
    RELU = (
        32,
        "x ← +0 where x <= 0, so that of zeros and negatives nothing is left; NaN passes. What is rounded is compared",
    )
    GATE = 64, "x ← +0 where the mask is low: the gradient of a ReLU"
    MULTIPLY = 128, "x ← x · r, behind `residual`"
    ITSELF = 256, "r of `multiply` is x as it was before the function"
    THIRD = (
        512,
        "r of `multiply` is c: a number of each of the `held` words of factors that come behind those of a and b; or, "
        "where none are held, the first number of each factor",
    )
    ROUND = 1024, "x ← x rounded to the storage format, in the place of the function, before `residual`"


def takes_residual(steps: int) -> bool:
    """Whether a pass reads r."""
    multiplies = steps & PassStep.MULTIPLY and not steps & (PassStep.ITSELF | PassStep.THIRD)
    return bool(steps & PassStep.RESIDUAL or multiplies)


def takes_third(steps: int) -> bool:
    """Whether a pass reads c."""
    return bool(steps & PassStep.MULTIPLY and steps & PassStep.THIRD)


def takes_pairs(steps: int, options: int) -> bool:
    """Whether a pass reads a or b as factors."""
    factors = options & (PassOption.SHIFT_FACTOR | PassOption.SCALE_FACTOR)
    return bool(factors and steps & (PassStep.SCALE | PassStep.SHIFT))


class PassOption(Bits):
    """Where a pass's operands come from, and what is watched."""

    FROM_SUMS = 1, "elements are the array's sums, as tiles end; otherwise they come from memory"
    SHIFT_FACTOR = 2, "b is the first number of each factor; otherwise it is the field `shift`"
    SCALE_FACTOR = 4, "a is the second number of each factor; otherwise it is the field `scale`"
    NOTE_OVERFLOW = 8, "elements, or results of reductions, that are infinite or NaN are noted as an overflow"
    LARGEST = 16, "reductions are maxima with their places, otherwise sums"
    IN_TURN = 32, "the terms of a reduction go to one partial result, one after the other; a term has 16 words at least"
    PLACES = 64, "places of maxima leave for STORE.COPY as well"
    AT_PLACE = 128, "`gate` lets x pass where the gate's number is the place that is counted"
    BY_ROW = 256, "a lane of held factors is a row's, whose `held_block` words it serves; otherwise each lane is a channel's"
    ACROSS = 512, "reductions are over lanes, too: a term is a word of each of as many rows as there are lanes, a result a word"
    BESIDE = 1024, "results leave as without a reduction, too, and those of the reduction, of which there is one, behind them"


class UpdateCopy(Bits):
    """Which copies of the masters an update makes for the next step."""

    DENSE = 1, "dense"
    FORWARD = 2, "packed along input channels"
    BACKWARD = 4, "packed along output channels"


PACKED_COPIES = UpdateCopy.FORWARD | UpdateCopy.BACKWARD


def union(bits: Iterable[Bits]) -> int:
    """All of these bits."""
    whole = 0
    for bit in bits:
        whole |= bit
    return whole
