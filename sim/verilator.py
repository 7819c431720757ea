"""Verilog to a running simulator: Verilator builds it once, cocotb drives it from Python."""

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import cocotb_tools.config
from cocotb_tools.runner import get_runner

from hw.errors import InputError, SimulationError
from hw.files import write_whole
from sim.cli.common import log, working

VERILATOR_FLAGS = [
    *("--cc", "--exe", "--quiet", "-O3"),
    # cocotb may see the top module's signals only. Were all visible, as cocotb's own runner builds it, nothing inside
    # could be optimised away: a 4 × 4 array then runs at an eighth of the speed.
    *("--vpi", "--public-depth", "1"),
    # A big design becomes several C++ files: they compile in parallel, and one huge function costs the compiler more.
    *("--output-split", "20000"),
    # Amaranth's Verilog has both. UNOPTFLAT, a combinational loop, stays an error.
    *("-Wno-WIDTH", "-Wno-CASEINCOMPLETE"),
]
# cocotb may see the top module's signals only. Were all visible, as cocotb's own runner builds it, nothing inside could be
# optimised away.
COCOTB_FLAGS = ["--vpi", "--public-depth", "1"]
MAKE_FLAGS = [
    "PYTHON3=../python",  # the wheel's makefile may name a Python that is not there
    "CFG_CXXFLAGS_PCH_I=-include",  # the wheel's makefile leaves this compiler flag empty
    "OPT_FAST=-O1",  # -O2: an 8 × 8 array compiles in 35 s instead of 20 s, and runs a quarter faster
    "OPT_GLOBAL=-O2",
]
LINE_FLAGS = ["--coverage-line"]
TOGGLE_FLAGS = ["--coverage-toggle", "--coverage-max-width", "65536"]
LOG_TAIL_LINES = 30

_collected: ContextVar[Path | None] = ContextVar("collected", default=None)
_counted: ContextVar[list[str]] = ContextVar("counted", default=LINE_FLAGS)


@contextlib.contextmanager
def coverage_in(folder: Path, *, toggles: bool = True) -> Iterator[None]:
    """Within this, simulators count lines, branches and toggles; each run leaves ``<number>.dat``, each build its sources."""
    folder.mkdir(parents=True)
    tokens = _collected.set(folder.absolute()), _counted.set(LINE_FLAGS + TOGGLE_FLAGS * toggles)
    try:
        yield
    finally:
        _collected.reset(tokens[0])
        _counted.reset(tokens[1])


def cache_folder() -> Path:
    """Where built simulators are kept: ``NMTRAIN_CACHE``, or ``nmtrain`` in the user's cache folder."""
    if chosen := os.environ.get("NMTRAIN_CACHE"):
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "nmtrain"


@dataclass(frozen=True)
class Build:
    """A simulator ready to run.

    Parameters
    ----------
    folder : Path
        Folder of the executable, which has the name of the top module.
    top : str
        Name of the top module.
    """

    folder: Path
    top: str

    def run(self, test_module: str, *, work: Path, environment: Mapping[str, str], testcase: str | None = None) -> None:
        """Run the cocotb tests of a Python module in this simulator.

        Parameters
        ----------
        test_module : str
            Dotted name of the module, importable from here.
        work : Path
            Working folder of the simulation, where ``$readmemh("file.hex")`` finds its files. ``simulation.log`` and
            ``results.xml`` are written there.
        environment : mapping of str to str
            Added to the environment of the simulation while it runs; from one thread at a time.
        testcase : str, optional
            Name of the one test to run, otherwise all.

        Raises
        ------
        SimulationError
            If the simulation ends abnormally, a test fails or none ran; with the failed tests and the end of the log.
        """
        work.mkdir(parents=True, exist_ok=True)
        results, log_file = work.absolute() / "results.xml", work.absolute() / "simulation.log"
        runner = get_runner("verilator")
        runner.log.disabled = True  # failures are told below, once
        ended, counts = "", _collected.get()
        # Under pytest cocotb's runner would look at the results itself, and exit.
        with changed_environment({**environment, "PYTEST_CURRENT_TEST": None}):
            try:
                runner.test(
                    test_module=test_module,
                    hdl_toplevel=self.top,
                    hdl_toplevel_lang="verilog",
                    testcase=testcase,
                    build_dir=self.folder,
                    test_dir=work,
                    results_xml=str(results),
                    log_file=log_file,
                    plusargs=[f"+verilator+coverage+file+{counts / str(len(list(counts.glob('*.dat'))))}.dat"]
                    if counts
                    else [],
                )
            except (RuntimeError, SystemExit):
                ended = "the simulation ended abnormally"
        if faults := _faults(results) or ended:
            raise SimulationError(f"{test_module} on {self.top}: {faults}\n{_tail(log_file)}")


def build(sources: Mapping[str, str], top: str, *, note: str = "") -> Build:
    """Build a simulator, or take it from the cache where the same sources were built before with the same tools.

    Parameters
    ----------
    sources : mapping of str to str
        Verilog (``.v``) or SystemVerilog (``.sv``) text by file name.
    top : str
        Name of the top module.
    note : str
        What is being built, for the progress message.

    Raises
    ------
    InputError
        If there is no C++ compiler or make, or the cache folder cannot be written.
    SimulationError
        If Verilator or the compiler refuses the sources; with the end of the log.

    Notes
    -----
    A build takes place in a temporary folder and enters the cache by one rename, so that an interrupted one leaves nothing.
    Processes that want the same build wait for the first. Verilator's runtime library does not depend on the design and is
    compiled once.
    """
    flags = _counted.get() if (counts := _collected.get()) else []
    if counts:
        for file, text in sources.items():
            (counts / file).write_text(text, encoding="utf-8")
    folder = cache_folder() / "simulators" / _key(sources, top, flags)
    if not folder.is_dir():
        with (
            _locked(folder.with_suffix(".lock")),
            _progress(f"building the simulator{note and f' of {note}'} (first time only) …"),
        ):
            if not folder.is_dir():
                _build(sources, top, folder, flags)
    return Build(folder, top)


def _key(sources: Mapping[str, str], top: str, flags: Sequence[str]) -> str:
    """Hash of all that the executable depends on. Not of the compiler: a build still runs where there is none."""
    tools = [version("verilator"), version("cocotb"), platform.machine(), str(cocotb_tools.config.libs_dir)]
    everything = [sorted(sources.items()), top, VERILATOR_FLAGS, *flags, COCOTB_FLAGS, MAKE_FLAGS, tools]
    return hashlib.sha256(json.dumps(everything).encode()).hexdigest()[:32]


def build_program(sources: Mapping[str, str], main: str, folder: Path) -> Path:
    """Build a program of the user's own around a design, without cocotb.

    Parameters
    ----------
    sources : mapping of str to str
        Verilog or SystemVerilog text by file name; the top module is ``top``.
    main : str
        C++ text with ``main``, which includes ``Vtop.h``.
    folder : Path
        Empty; the program is built there.

    Returns
    -------
    Path
        The executable.
    """
    return _compile(folder, sources, "top", main, [])


def _build(sources: Mapping[str, str], top: str, folder: Path, flags: Sequence[str]) -> None:
    """Compile `sources` for cocotb and put the executable into the new folder `folder`."""
    libs = cocotb_tools.config.libs_dir
    main = (cocotb_tools.config.share_dir / "lib" / "verilator" / "verilator.cpp").read_text(encoding="utf-8")
    link = ["-LDFLAGS", f"'-Wl,-rpath,{libs}' '-L{libs}' -lcocotbvpi_verilator"]
    with tempfile.TemporaryDirectory(prefix="nmtrain-build-") as name:
        executable = _compile(Path(name), sources, top, main, [*COCOTB_FLAGS, *flags, *link])
        beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        shutil.copy(executable, beside)
        beside.chmod(0o755)
        beside.rename(folder)


def _compile(folder: Path, sources: Mapping[str, str], top: str, main: str, options: list[str]) -> Path:
    """Verilate `sources` in `folder`, compile them with `main`, and return the executable."""
    compiler, model = _compiler(), folder / "model"
    for file, text in {**sources, "main.cpp": main}.items():
        (folder / file).write_text(text, encoding="utf-8")
    package = folder / "verilator"  # without spaces, which make could not bear
    package.symlink_to(_package_folder("verilator"))
    (folder / "python").symlink_to(sys.executable)
    environment = {**os.environ, "VERILATOR_ROOT": str(package)}
    outputs = ["--top-module", top, "--prefix", "Vtop", "-Mdir", str(model), "-o", top, *options]
    command = [str(package / "bin" / "verilator_bin"), *VERILATOR_FLAGS, *outputs, "main.cpp", *sources]
    _call(command, folder, environment, f"Verilator cannot build {top}")

    runtime = cache_folder() / f"runtime-{_runtime_key(compiler, options)}"
    for compiled in runtime.glob("*.o"):
        shutil.copyfile(compiled, model / compiled.name)  # newer than the makefile: make leaves it alone
    make = ["make", f"-j{len(os.sched_getaffinity(0))}", "-f", "Vtop.mk", f"CXX={compiler}", f"LINK={compiler}", *MAKE_FLAGS]
    if cached := shutil.which("ccache"):
        make.append(f"OBJCACHE={cached}")
    _call(make, model, environment, f"the C++ compiler cannot build {top}")
    for compiled in model.glob("verilated*.o"):
        if not (runtime / compiled.name).exists():
            write_whole(runtime / compiled.name, compiled.read_bytes())
    return model / top


def _runtime_key(compiler: str, options: list[str]) -> str:
    """Hash of all that a compiled runtime library depends on."""
    told = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout
    return hashlib.sha256(json.dumps([version("verilator"), MAKE_FLAGS, options, told]).encode()).hexdigest()[:16]


def _compiler() -> str:
    """The C++ compiler that ``CXX`` names, or the system's."""
    wanted = [os.environ["CXX"]] if os.environ.get("CXX") else ["c++", "g++", "clang++"]
    compiler = next((found for name in wanted if (found := shutil.which(name))), None)
    if compiler is None:
        raise InputError(
            f"the simulator needs a C++ compiler, and none of {', '.join(wanted)} was found; install g++ or set CXX"
        )
    if shutil.which("make") is None:
        raise InputError("the simulator needs make, which was not found; install it")
    return compiler


def _package_folder(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise InputError(f"the Python package {name} is not installed; install the project's dependencies")
    return Path(spec.origin).parent


def _call(command: list[str], folder: Path, environment: Mapping[str, str], fault: str) -> None:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stdout + done.stderr).splitlines()
        raise SimulationError("\n".join([f"{fault}:", *lines[-LOG_TAIL_LINES:]]))


def _faults(results: Path) -> str:
    """What is wrong with the JUnit results that cocotb left; nothing where every test passed."""
    if not results.is_file():
        return "the simulation left no results"
    cases = list(ElementTree.parse(results).iter("testcase"))
    failed = [case.get("name", "") for case in cases if case.find("failure") is not None or case.find("error") is not None]
    if failed:
        return f"failed: {', '.join(failed)}"
    return "" if cases else "no test ran"


def _tail(log_file: Path) -> str:
    lines = log_file.read_text(errors="replace").splitlines() if log_file.is_file() else []
    return "\n".join([f"the end of {log_file}:", *lines[-LOG_TAIL_LINES:]])


@contextlib.contextmanager
def changed_environment(changes: Mapping[str, str | None]) -> Iterator[None]:
    """Change this process's environment for a while (None removes); cocotb's runner prefers it to what it is given."""
    before = {name: os.environ.get(name) for name in changes}
    _set_environment(changes)
    try:
        yield
    finally:
        _set_environment(before)


def _set_environment(changes: Mapping[str, str | None]) -> None:
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock, which the system releases however the process ends."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise InputError(
            f"{path}: the cache cannot be written: {error.strerror}; set NMTRAIN_CACHE to another folder"
        ) from None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _progress(message: str) -> Iterator[None]:
    """Say what takes so long, with a spinner where somebody may be watching."""
    if log.is_terminal:
        with working(message):
            yield
    else:
        log.print(message)
        yield
