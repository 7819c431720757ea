"""``python -m sim.stress.exhaustive``: every pair of binary16 operands through the multiplier's RTL. A long run.

All 2^32 pairs, on all cores, in pieces that are written as they end: an interrupted run goes on where it stopped.
"""

import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from rich.progress import Progress

from hw.export.folder import to_verilog
from hw.files import write_json
from hw.formats import BINARY16, BINARY32
from hw.fp.multiply import FloatMultiply
from hw.processes import scratch
from sim.console import log
from sim.harness import HARNESS
from sim.simulators.verilator import build_program

BLOCK = "FloatMultiply, binary16 to binary32"
PIECE = 1024
"""Values of the first operand in a piece, each with all of the second."""


def main(result: Path) -> int:
    """Run what `result` does not hold yet, and write it there; 1 where a product differs."""
    verilog = multiplier()
    done = json.loads(result.read_text()) if result.is_file() else {}
    if done.get("verilog_hash") != digest(verilog):
        done = {"block": BLOCK, "verilog_hash": digest(verilog), "pieces": {}}
    harness = (HARNESS / "exhaustive_multiply.cpp").read_text(encoding="utf-8")
    with scratch() as folder, Progress(console=log) as bar:
        program = build_program({"top.v": verilog}, harness, folder)
        left = [start for start in range(0, 65536, PIECE) if str(start) not in done["pieces"]]
        task = bar.add_task("2^32 binary16 products", total=65536 // PIECE, completed=65536 // PIECE - len(left))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            running = {pool.submit(_piece, program, start): start for start in left}
            for future in as_completed(running):
                done["pieces"][str(running[future])] = future.result()
                done["compared"] = sum(compared for compared, _ in done["pieces"].values())
                done["different"] = sum(different for _, different in done["pieces"].values())
                write_json(result, done)
                bar.advance(task)
    log.print(f"{done['compared']:,} products compared, {done['different']:,} differ: {result}")
    return int(done["different"] > 0)


def multiplier() -> str:
    """The block's Verilog, without pipeline registers."""
    return to_verilog(FloatMultiply(BINARY16, BINARY32, 0), "top")


def digest(verilog: str) -> str:
    """SHA-256 of the text."""
    return hashlib.sha256(verilog.encode()).hexdigest()


def _piece(program: Path, start: int) -> list[int]:
    """Products compared, and how many differ, with first operands from `start` on."""
    command = [str(program), str(start), str(start + PIECE - 1)]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [int(word) for word in printed.split()]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/exhaustive_multiply.json")))
