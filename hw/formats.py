"""Floating-point formats, described once for hardware, model and trainer (plain Python)."""

from dataclasses import dataclass

from hw.errors import InputError


@dataclass(frozen=True)
class FloatFormat:
    """A binary floating-point format: sign, exponent, mantissa, from the top bit down; IEEE 754's, but where `finite`.

    Parameters
    ----------
    exponent_bits : int
        Width of the biased exponent, 2..15. All ones means infinity or NaN, zero means zero or subnormal.
    mantissa_bits : int
        Width of the stored fraction, at least 1.
    finite : bool
        Whether there are no infinities, as in the OCP 8-bit E4M3: the all-ones exponent is one of numbers, NaN is all ones
        alone, and what is too large becomes NaN.
    """

    exponent_bits: int
    mantissa_bits: int
    finite: bool = False

    def __post_init__(self) -> None:
        if not 2 <= self.exponent_bits <= 15:
            raise InputError(f"exponent_bits must be in 2..15, not {self.exponent_bits}")
        if self.mantissa_bits < 1:
            raise InputError(f"mantissa_bits must be at least 1, not {self.mantissa_bits}")

    @property
    def width(self) -> int:
        """Bits of a stored number."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def bias(self) -> int:
        """What is added to the exponent when it is stored."""
        return (1 << (self.exponent_bits - 1)) - 1

    @property
    def max_biased_exponent(self) -> int:
        """The all-ones exponent, of infinities and NaN."""
        return (1 << self.exponent_bits) - 1

    @property
    def last_exponent(self) -> int:
        """The largest biased exponent of a number."""
        return self.max_biased_exponent - (not self.finite)

    @property
    def infinity(self) -> int:
        """Bits of +infinity; NaN in a `finite` format."""
        return self.quiet_nan if self.finite else self.max_biased_exponent << self.mantissa_bits

    @property
    def largest(self) -> int:
        """Bits of the largest magnitude that is no NaN: infinity, or the largest number of a `finite` format."""
        return self.quiet_nan - 1 if self.finite else self.infinity

    @property
    def quiet_nan(self) -> int:
        """Bits of the canonical quiet NaN, the only NaN that any block produces."""
        special = self.max_biased_exponent << self.mantissa_bits
        return special | ((1 << self.mantissa_bits) - 1 if self.finite else 1 << (self.mantissa_bits - 1))

    @property
    def name(self) -> str:
        """The name in `FORMATS`, or ``e<exponent>m<mantissa>`` for a format of the user's own."""
        for name, known in FORMATS.items():
            if known == self:
                return name
        return f"e{self.exponent_bits}m{self.mantissa_bits}{'fn' * self.finite}"


BINARY16 = FloatFormat(5, 10)
BFLOAT16 = FloatFormat(8, 7)
BINARY32 = FloatFormat(8, 23)
FLOAT8_E4M3 = FloatFormat(4, 3)
FLOAT8_E4M3FN = FloatFormat(4, 3, finite=True)
FLOAT8_E5M2 = FloatFormat(5, 2)

FORMATS: dict[str, FloatFormat] = {
    "binary16": BINARY16,
    "bfloat16": BFLOAT16,
    "binary32": BINARY32,
    "float8_e4m3": FLOAT8_E4M3,
    "float8_e4m3fn": FLOAT8_E4M3FN,
    "float8_e5m2": FLOAT8_E5M2,
}


def lowest_bits(form: FloatFormat) -> int:
    """Bits of the number that no other one is below: -infinity, or the largest number below zero of a `finite` format."""
    return 1 << form.width - 1 | form.largest


def has_exact_products(form: FloatFormat) -> bool:
    """Whether the product of any two numbers is zero or a normal number of binary32, exactly."""
    smallest, digits = 2 * (1 - form.bias - form.mantissa_bits), 2 * (form.mantissa_bits + 1)
    return smallest > -BINARY32.bias and digits <= BINARY32.mantissa_bits + 1


def parse_format(name: str) -> FloatFormat:
    """Look a format up by its name in `FORMATS`; `InputError` names the allowed ones."""
    if name not in FORMATS:
        raise InputError(f"unknown format {name!r}; allowed: {', '.join(FORMATS)}")
    return FORMATS[name]
