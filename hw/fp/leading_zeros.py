"""Counting leading zeros."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hw.fp.pipeline import wire


def count_leading_zeros(m: Module, value: Value) -> tuple[Value, Value]:
    """Zeros above the highest one of `value`, as a balanced tree.

    Returns
    -------
    count : Value
        Number of leading zeros, ``ceil(log2(width))`` bits, meaningful where `value` is not zero.
    is_zero : Value
        One bit, high where `value` is zero.
    """
    levels = (len(value) - 1).bit_length()
    padding = (1 << levels) - len(value)
    nodes: list[tuple[Any, Value]] = [((), ~bit) for bit in Cat(Const(0, padding), value)]
    for level in range(levels):
        nodes = [
            (
                wire(
                    m,
                    Cat(*(Mux(high_zero, low, high) for low, high in zip(lows, highs, strict=True)), high_zero),
                    f"zeros_{level}",
                ),
                wire(m, high_zero & low_zero, f"is_zero_{level}"),
            )
            for (lows, low_zero), (highs, high_zero) in zip(nodes[::2], nodes[1::2], strict=True)
        ]
    return nodes[0]
