"""AXI models that are not ours as host and memory, and simulators in both standards: memory is what NumPy says."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_fields import LOADED, ONE, PRODUCT, SUMS, line
from test_sat import GOOD

from hw.config import PRESETS
from hw.isa.commands import Halt, Loop, Sink, Store
from hw.isa.encoding import encode
from sim import simulators
from sim.rtl import sat
from training.machine.executor import Executor

TINY = PRESETS["tiny"]
SIMULATORS = ("verilator", "icarus-2005", "icarus-2012")
OPERANDS = [
    replace(load, walk=replace(load.walk, inner=1, u_counter=0, u_size=8, u_tile=8, u=(Loop(count=8), *ONE))) for load in LOADED
]
PROGRAMS = [GOOD, [*OPERANDS, PRODUCT, SUMS, Store(sink=Sink.RESULTS, walk=line(0xC00, 16, 2)), Halt()], GOOD]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs one of the bench's tests in a simulator."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))

    def call(simulator, case, pauses=0.0):
        if simulator.startswith("icarus") and not shutil.which("iverilog"):
            pytest.skip("Icarus Verilog (iverilog) is not installed")
        build = simulators.build({"sat.v": sat.verilog(TINY)}, "sat", simulator)
        build.run("foreign_bench", work=tmp_path, environment={"PAUSES": str(pauses)}, testcase=case)

    return call


@pytest.fixture
def programs(tmp_path):
    """Programs in a memory, and what it is after each."""
    memory = np.random.default_rng(0).standard_normal(2048).astype(np.float16).view(np.uint8)
    machine, place, plan, image = Executor(TINY, memory), len(memory), [], bytearray(memory.tobytes())
    for number, program in enumerate(PROGRAMS):
        machine.run(program)
        (tmp_path / f"after_{number}.bin").write_bytes(machine.memory.tobytes())
        plan.append({"program_address": place, "program_bytes": len(encode(program))})
        image += encode(program)
        place = len(image)
    assert not np.array_equal(machine.memory, memory)
    (tmp_path / "memory.bin").write_bytes(image)
    (tmp_path / "plan.json").write_text(json.dumps(plan))


@pytest.mark.parametrize("pauses", [0.0, 0.2, 0.5, 0.8])
def test_memory_is_what_numpy_says(run, programs, pauses):
    run("verilator", "programs", pauses)


@pytest.mark.parametrize("simulator", SIMULATORS[1:])
def test_memory_is_the_same_in_event_simulators(run, programs, simulator):
    run(simulator, "programs", 0.2)


@pytest.mark.parametrize("pauses", [0.0, 0.5])
@pytest.mark.parametrize("case", ["bytes_of_registers", "accesses_at_once"])
def test_the_control_port(run, case, pauses):
    run("verilator", case, pauses)
