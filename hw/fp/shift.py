"""Shifting right without forgetting what was lost."""

from amaranth.hdl import Cat, Const, Module, Mux, Value, ValueLike

from hw.fp.pipeline import wire


def shift_right_sticky(m: Module, value: Value, amount: Value, fill: ValueLike = 0) -> Value:
    """`value` shifted right, with one more bit below that is high where a one was shifted out (*sticky*).

    Parameters
    ----------
    value : Value
        Unsigned.
    amount : Value
        Unsigned, of any width; amounts past the width of `value` leave the sticky bit alone.
    fill : Value
        The bit that comes in above: the sign of two's complement.

    Returns
    -------
    Value
        One bit wider than `value`; the lowest bit is the sticky bit.
    """
    levels = len(value).bit_length()
    amount = wire(m, amount[:levels] | amount[levels:].any().replicate(min(levels, len(amount))), "places")
    sticky, shifted, fill = Const(0, 1), value, Value.cast(fill)
    for level in reversed(range(len(amount))):
        places = 1 << level
        sticky = sticky | (amount[level] & shifted[:places].any())
        above = Cat(shifted[places:], fill.replicate(min(places, len(value))))
        shifted = wire(m, Mux(amount[level], above, shifted), f"shifted_{places}")
    return Cat(sticky, shifted)
