"""The accelerator among AXI models that are not ours: a step at four rates of pauses in three simulators, abuse."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from bench import Figure
from hw.config import PRESETS
from hw.errors import SimulationError
from hw.isa.encoding import decode
from hw.processes import scratch
from sim import simulators
from sim.rtl import sat
from training.machine.executor import Executor

TINY = PRESETS["tiny"]
STEP = ["--model", "mlp", "--scale", "8", "--batch", "2", "--loss"]
PAUSES = (0.0, 0.2, 0.5, 0.8)
LIMIT_CYCLES = 1_000_000
SEEDS = 3
BENCHES = Path("tests/sim").absolute()


def figures() -> Iterator[Figure]:
    """Runs in which memory is not NumPy's, of a step; kinds of abuse that do not end as they should."""
    sys.path.insert(0, str(BENCHES))
    import abuse_bench  # type: ignore[import-not-found]

    runs = [(simulator, pauses) for simulator in simulators.SIMULATORS for pauses in PAUSES]
    with scratch() as folder:
        _prepare(folder)
        wrong = sum(_differs(folder, simulator, pauses) for simulator, pauses in runs)
        yield Figure("steps among foreign AXI models with other memory than NumPy's", wrong, "runs", f"of {len(runs)}", "<= 0")
        build = simulators.build({"sat.v": sat.verilog(TINY)}, "sat")
        faults = _fails(lambda: build.run("abuse_bench", work=folder, environment={"SEEDS": str(SEEDS)}, testcase="abuse"))
        of = f"{len(abuse_bench.KINDS)} kinds, {SEEDS} seeds"
        yield Figure("abuse by a host that is silent, hangs, or has another name", faults, "runs", of, "<= 0")


def _prepare(folder: Path) -> None:
    """The step's program in the memory it starts from, and the memory it is to leave."""
    command = [
        str(Path(sys.executable).with_name("nmtrain")),
        "program",
        "step",
        *STEP,
        "--out",
        str(folder / "step"),
        "--json",
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    memory, program = ((folder / "step" / f"{name}.bin").read_bytes() for name in ("memory", "step"))
    machine = Executor(TINY, np.frombuffer(memory, np.uint8))
    machine.run(decode(program))
    (folder / "memory.bin").write_bytes(memory + program)
    (folder / "after_0.bin").write_bytes(machine.memory.tobytes())
    plan = [{"program_address": len(memory), "program_bytes": len(program)}]
    (folder / "plan.json").write_text(json.dumps(plan))


def _differs(folder: Path, simulator: str, pauses: float) -> bool:
    build = simulators.build({"sat.v": sat.verilog(TINY)}, "sat", simulator)
    environment = {"PAUSES": str(pauses), "LIMIT": str(LIMIT_CYCLES)}
    return _fails(lambda: build.run("foreign_bench", work=folder, environment=environment, testcase="programs"))


def _fails(run: Callable[[], None]) -> bool:
    """Whether a simulation ends with a fault, which is printed."""
    try:
        run()
    except SimulationError as error:
        print(error, file=sys.stderr)
        return True
    return False
