"""Barrel shifters: lanes moved up or down by a number of places that is a signal, one stage for each of its bits.

Amaranth's own ``<<`` by a signal takes each result bit to depend on every bit of the value, which costs its check for
combinational loops minutes at the width of a word of the buffers.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hw.fp.pipeline import wire


def move_up(m: Module, value: Value, places: Value, lane_bits: int, name: str) -> Value:
    """`value`, as wide as it was, moved up by `places` lanes of `lane_bits` bits; zeros come in below."""
    for bit in range(len(places)):
        moved = Cat(Const(0, lane_bits << bit), value)[: len(value)]
        value = wire(m, Mux(places[bit], moved, value), f"{name}_{1 << bit}")
    return value


def move_down(m: Module, value: Value, places: Value, lane_bits: int, name: str) -> Value:
    """`value`, as wide as it was, moved down by `places` lanes of `lane_bits` bits; zeros come in above."""
    for bit in range(len(places)):
        moved = value[lane_bits << bit :]
        value = wire(m, Mux(places[bit], moved, value), f"{name}_{1 << bit}")
    return value
