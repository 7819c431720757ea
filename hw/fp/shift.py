"""Shifting right without forgetting what was lost."""

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hw.fp.pipeline import wire


def shift_right_sticky(m: Module, value: Value, amount: Value) -> Value:
    """`value` shifted right, with one more bit below that is high where a one was shifted out (*sticky*).

    Parameters
    ----------
    value : Value
        Unsigned.
    amount : Value
        Unsigned, of any width; amounts past the width of `value` leave the sticky bit alone.

    Returns
    -------
    Value
        One bit wider than `value`; the lowest bit is the sticky bit.
    """
    levels = len(value).bit_length()
    amount = wire(m, amount[:levels] | amount[levels:].any().replicate(min(levels, len(amount))), "places")
    sticky, shifted = Const(0, 1), value
    for level in reversed(range(len(amount))):
        places = 1 << level
        sticky = sticky | (amount[level] & shifted[:places].any())
        shifted = wire(m, Mux(amount[level], shifted[places:], shifted), f"shifted_{places}")
    return Cat(sticky, shifted)
