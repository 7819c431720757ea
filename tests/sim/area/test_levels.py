"""The depth of logic."""

from sim.area.levels import deepest


def cell(kind, o, **inputs):
    directions = dict.fromkeys(inputs, "input") | {"O": "output"}
    connections = {name: bits if isinstance(bits, list) else [bits] for name, bits in inputs.items()}
    return {"type": kind, "port_directions": directions, "connections": connections | {"O": [o]}}


def test_lookup_tables_count_between_registers():
    """Two tables and the carry chain between them, then a register; behind it one more table."""
    cells = [
        cell("FDRE", 2, D=9),
        cell("LUT3", 3, I0=2, I1="0"),
        cell("CARRY4", 4, S=[3, 2], DI=["1", 2]),
        cell("LUT6", 5, I0=4, I1=3),
        cell("FDRE", 6, D=5),
        cell("LUT1", 7, I0=6),
        cell("DSP48E2", 8, A=[7]),
    ]
    assert deepest(cells) == 2
    assert deepest(cells[5:]) == 1
    assert deepest(cells[-1:]) == 0
