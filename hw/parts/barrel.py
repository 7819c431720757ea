"""A barrel shifter: lanes turned by a number of places that is a signal, one stage for each of its bits.

Amaranth's own ``<<`` by a signal takes each result bit to depend on every bit of the value, which costs its check for
combinational loops minutes at the width of a word of the buffers.
"""

from amaranth.hdl import Cat, Module, Mux, Value

from hw.fp.pipeline import wire


def turn_down(m: Module, value: Value, places: Value, lane_bits: int, name: str) -> Value:
    """`value`, a power of two of lanes of `lane_bits` bits, moved down by `places` of them; what falls out comes in above."""
    for bit in range(len(places)):
        moved = Cat(value[lane_bits << bit :], value[: lane_bits << bit])
        value = wire(m, Mux(places[bit], moved, value), f"{name}_{1 << bit}")
    return value
