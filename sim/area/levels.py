"""How many lookup tables follow each other between registers: the depth of logic, where no tool at hand knows the delays."""

import json
import re
from collections import defaultdict
from functools import cache
from typing import Any

from hw.processes import scratch
from sim.area.synthesis import TARGETS, run_yosys

DEPTHS = {r"LUT[1-6]|LUT6_2|INV": 1, r"MUXF[789]|CARRY[48]": 0}
"""Levels of a cell's own by its type; what is not here begins and ends paths: registers, memories, DSP48E2."""


def levels(name: str, text: str) -> int:
    """The most lookup tables on a path of module `name` of the Verilog `text`, flat, on an UltraScale+ device.

    Multiplexers and carry chains beside the lookup tables have a delay, and are not counted.
    """
    with scratch() as folder:
        (folder / "top.v").write_text(text, encoding="utf-8")
        run_yosys(f"read_verilog top.v; {TARGETS['xcup'].leaf} -top {name}; write_json top.json", folder)
        netlist = json.loads((folder / "top.json").read_text(encoding="utf-8"))
    return deepest(netlist["modules"][name]["cells"].values())


def deepest(cells: Any) -> int:  # noqa: ANN401
    """The most levels on a path through the cells of a netlist in Yosys's JSON."""
    driver: dict[int, int] = {}
    sources: dict[int, list[int]] = defaultdict(list)
    depth: dict[int, int] = {}
    for number, cell in enumerate(cells):
        own = next((own for pattern, own in DEPTHS.items() if re.fullmatch(pattern, cell["type"])), None)
        if own is None:
            continue
        depth[number] = own
        for port, bits in cell["connections"].items():
            for bit in bits:
                if not isinstance(bit, int):
                    continue
                if cell["port_directions"][port] == "output":
                    driver[bit] = number
                else:
                    sources[number].append(bit)

    @cache
    def at(number: int) -> int:
        before = {driver[bit] for bit in sources[number] if bit in driver}
        return depth[number] + max(map(at, before), default=0)

    return max(map(at, depth), default=0)
