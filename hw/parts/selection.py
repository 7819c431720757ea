"""Parts of a value: cut, chosen by an index, turned by a number of places."""

from collections.abc import Sequence

from amaranth.hdl import Mux, Value


def slices(value: Value, count: int) -> list[Value]:
    """`value` cut into `count` equal parts, lowest first."""
    width = len(value) // count
    return [value[number * width :][:width] for number in range(count)]


def select(items: Sequence[Value], index: Value) -> Value:
    """The item at `index`, as a balanced tree of multiplexers; as many items as `index` has values."""
    for bit in index:
        items = [Mux(bit, odd, even) for even, odd in zip(items[::2], items[1::2], strict=True)]
    return items[0]


def rotate(items: list[Value], places: Value) -> list[Value]:
    """`items` moved down by `places`, item ``places`` first; a power of two of them, what falls out comes in at the end."""
    for bit, place in zip(places, (1 << level for level in range(len(places))), strict=True):
        if place < len(items):
            items = [Mux(bit, there, here) for here, there in zip(items, items[place:] + items[:place], strict=True)]
    return items
