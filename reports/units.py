"""Numbers as people read them."""

TIMES = "\N{MULTIPLICATION SIGN}"

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def si(value: float, unit: str = "") -> str:
    """Three significant digits and an SI prefix.

    >>> si(129_847_774, "cycles"), si(86.4), si(1_500, "B")
    ('130 Mcycles', '86.4', '1.5 kB')
    """
    for scale, prefix in _PREFIXES:
        if abs(value) >= 0.9995 * scale:
            return f"{value / scale:.3g} {prefix}{unit}".strip()
    return f"{value:.3g} {unit}".strip()


def grouped(value: float) -> str:
    """A whole number with thin spaces between thousands; fractions keep two digits.

    >>> grouped(1234567).replace(chr(0x2009), " ")
    '1 234 567'
    """
    text = f"{value:,.2f}" if value != int(value) else f"{int(value):,}"
    return text.replace(",", "\u2009")


def percent(value: float) -> str:
    """A share of one.

    >>> percent(0.98652), percent(0.061)
    ('98.7\\xa0%', '6.1\\xa0%')
    """
    return f"{100 * value:.1f}\xa0%"


def shortened(name: str, length: int = 24) -> str:
    """The end of a long name, which tells layers apart.

    >>> shortened("layer1.conv1"), shortened("encoder.layers.0.self_attention.MatMul")
    ('layer1.conv1', '\u20260.self_attention.MatMul')
    """
    return name if len(name) <= length else f"\u2026{name[1 - length :]}"
