"""A network that learns on the RTL: how fast, over the bare loop of the same Verilog."""

import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np

from bench import Figure
from hw.config import PRESETS
from hw.isa.encoding import encode
from hw.isa.registers import OFFSETS
from hw.ratio import Ratio
from sim.harness.run_programs import LOADED
from sim.rtl import sat
from sim.simulators.verilator import build_program
from sim.steps.whole_step import StepsOnRtl
from training.data import load_data
from training.experiment import Experiment, build_model
from training.optimiser import Sgd

CONFIG, MODEL, BATCH, STEPS = PRESETS["tiny"], "mlp", 32, 100
LOOP = Path(__file__).with_name("bare_loop.cpp")
START, CLEAR = 1, 4
"""Bits of the register ``control``."""

T = TypeVar("T")


def figures() -> Iterator[Figure]:
    """All of them."""
    where = f"{CONFIG.name}, {MODEL}, bdwp 2:8, batch {BATCH}, {STEPS} steps"
    steps, memory = _steps()
    bare = _bare(steps, memory)
    trained = _trained(steps)
    yield Figure("bare C++ loop, cycles a CPU second", bare, "1/s", where)
    yield Figure("steps on the RTL beside NumPy, cycles a CPU second", trained, "1/s", where)
    yield Figure("steps on the RTL beside NumPy, over the bare loop", trained / bare, "ratio", where, ">= 0.6")


def _steps() -> tuple[StepsOnRtl, np.ndarray]:
    """Steps, which have not begun, and a memory for their programs."""
    experiment = Experiment(model=MODEL, ratio=Ratio(2, 8), exact=True)
    model = build_model(experiment, np.random.default_rng(0))
    steps = StepsOnRtl(CONFIG, model, Sgd(), BATCH)
    return steps, np.zeros(steps.device.image_bytes, np.uint8)


def _processor(work: Callable[[], T]) -> tuple[T, float]:
    """What it returns, and CPU seconds of this process and its children."""

    def spent() -> float:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(one.ru_utime + one.ru_stime for one in used)

    before = spent()
    return work(), spent() - before


def _trained(steps: StepsOnRtl) -> float:
    """Cycles a CPU second of whole steps, from the start of the simulation to its end."""
    data, rng = load_data("digits"), np.random.default_rng(0)

    def train() -> int:
        cycles = 0
        with steps:
            for _ in range(STEPS):
                chosen = rng.choice(len(data.train_labels), BATCH, replace=False)
                done = steps.step(data.train_images[chosen], data.train_labels[chosen], 0.1)
                assert done.agrees
                cycles += sum(program.counted["cycles"] for program in done.programs)
        return cycles

    cycles, seconds = _processor(train)
    return cycles / seconds


def _bare(steps: StepsOnRtl, memory: np.ndarray) -> float:
    """The same of the same programs in a loop of C++, on a memory of zeros."""
    device = steps.device
    programs = [encode(commands) for commands in steps.programs(BATCH)]
    settings = {"window_base_low": sat.MEMORY_BASE & 0xFFFFFFFF, "window_base_high": sat.MEMORY_BASE >> 32}
    settings |= {"window_bytes": device.memory_bytes, "interrupt_enable": 1}
    places = [device.programs_at, device.programs_at + -(-len(programs[0]) // 64) * 64]
    image = np.zeros(device.memory_bytes, np.uint8)
    script = [f"load 0 {device.memory_bytes}", *(f"{OFFSETS[name]} {value}" for name, value in settings.items())]
    for place, program in zip(places, programs, strict=True):
        image[place : place + len(program)] = np.frombuffer(program, np.uint8)
        run = {"program_address": place, "program_bytes": len(program), "control": START}
        script += [*(f"{OFFSETS[name]} {value}" for name, value in run.items()), "run", f"{OFFSETS['control']} {CLEAR}"]
    with TemporaryDirectory() as name:
        folder = Path(name)
        sources = {path: text.replace("module sat_bench", "module top") for path, text in sat.sources(CONFIG).items()}
        (folder / "build").mkdir()
        loop = build_program(sources, LOOP.read_text(encoding="utf-8"), folder / "build")
        (folder / LOADED).write_bytes(image.tobytes())
        (folder / "options.txt").write_text(f"20 1 0 64 0 {device.memory_bytes}\n")
        (folder / "script.txt").write_text("\n".join(script))
        command = [str(loop), str(STEPS), "script.txt"]
        done, seconds = _processor(lambda: subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True))
    return int(done.stdout) / seconds
