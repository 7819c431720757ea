"""Programs on the RTL of the whole accelerator, with a memory behind its port."""

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from dataflow.machine.timing import Memory
from hw.cache import cache_folder, kept
from hw.config import AcceleratorConfig
from hw.cores import GENERIC
from hw.dma.port import master_members, masters
from hw.export.folder import BLOCKS, source_hash, to_verilog
from hw.isa.registers import ErrorCode
from hw.processes import scratch
from sim.harness import HARNESS, run_programs
from sim.rtl.image import Bytes
from sim.rtl.live import answering
from sim.rtl.written import Writes
from sim.simulators.verilator import Build, build

MEMORY_BYTES = 1 << 20
MEMORY_BASE = 0x4_0000_0000
CYCLE_LIMIT = 50_000_000
PAGE_BYTES = 4096
WRITES = "writes.bin"
DEFAULT_TIMING = Memory()


@dataclass(frozen=True)
class Outcome:
    """What a program did.

    Parameters
    ----------
    memory : array of uint8
        All of the memory afterwards.
    registers : dict of str to int
        Status, error and performance counters.
    transfers : int
        On all channels of both AXI ports, up to here.
    fault : (int, int), optional
        Stream and address of the burst that a `Disturbance` answered with an error.
    writes : Writes, optional
        What it wrote, of a `Device` with a journal.
    """

    memory: Bytes
    registers: dict[str, int]
    transfers: int
    fault: tuple[int, int] | None
    writes: Writes | None = None

    @property
    def overflow(self) -> bool:
        """Whether a number that was to be watched was infinite or NaN."""
        return bool(self.registers["status"] >> 4 & 1)

    @property
    def error(self) -> ErrorCode:
        """Why it stopped, if it did not end."""
        return ErrorCode(self.registers["error_code"])


@dataclass(frozen=True)
class Disturbance:
    """What goes wrong while a program runs.

    Parameters
    ----------
    faulty_read, faulty_write : int
        Beat that is read, and write that is answered, counted from the program's start, with `fault`; -1: none.
    fault : int
        A response: 2 is SLVERR, 3 DECERR.
    abort_cycles : int
        So many cycles after its start the accelerator is reset by its register, unless it has ended; 0: it is not.
    """

    faulty_read: int = -1
    faulty_write: int = -1
    fault: int = 2
    abort_cycles: int = 0


QUIET = Disturbance()


def build_sat(config: AcceleratorConfig, *, traced: bool = False) -> Build:
    """The simulator of the accelerator with its memory, from the cache where it was built before."""
    note = f"the whole of {config.name} ({config.rows}x{config.columns})"
    return build(sources(config), "sat_bench", note=note, traced=traced)


def sources(config: AcceleratorConfig) -> dict[str, str]:
    """Verilog of the bench, by file name: the accelerator, its memory, and the checker of its ports."""
    package = "\n".join(
        [
            "package sat_config;",
            f"  localparam int DATA_BITS = {config.axi_data_bits};",
            f"  localparam int PORTS = {config.dram_channels};",
            f"  localparam logic [63:0] MEMORY_BASE = 64'h{MEMORY_BASE:x};",
            "endpackage",
            f"`define SAT_MASTERS {_connections(config)}",
            "",
        ]
    )
    written = {"sat_config.sv": package, "sat.v": verilog(config)}
    return written | {name: (HARNESS / name).read_text(encoding="utf-8") for name in ("axi_checker.sv", "sat_bench.sv")}


def _connections(config: AcceleratorConfig) -> str:
    """The AXI4 masters' ports, each at its place of an array of the bench."""
    unused = {f"{channel}{name}" for channel in ("ar", "aw") for name in ("lock", "cache", "prot", "qos")}
    lines = []
    for number, master in enumerate(masters(config)):
        for name in master_members(config, ""):
            signal = name.removeprefix("_")
            lines.append(f".{master}_{signal}({'' if signal in unused else f'{signal}[{number}]'})")
    return ", ".join(lines)


def verilog(config: AcceleratorConfig) -> str:
    """The accelerator's Verilog, with the generic core as in `sim.rtl.products`, from the cache where it was written before."""
    config = replace(config, uspe_core=GENERIC)
    key = hashlib.sha256(f"sat {source_hash()} {version('amaranth')} {config}".encode()).hexdigest()[:32]
    path = cache_folder() / "verilog" / f"{key}.v"
    return kept(path, lambda: to_verilog(BLOCKS["sat"](config), "sat").encode()).decode()


def program_address(memory: Bytes) -> int:
    """Where `Device.run` places a program."""
    return -(-len(memory) // PAGE_BYTES) * PAGE_BYTES


class Device:
    """A simulated accelerator with its memory, from the ``with`` that starts it to its end.

    Parameters
    ----------
    config : AcceleratorConfig
        The accelerator.
    image_bytes, program_bytes : int
        How much of the memory, from the beginning of the window, belongs to tensors, and how much behind it to programs.
    timing : Memory
        Of the memory behind the port, see ``sat_bench.sv``.
    seed, stalls : int
        With a seed the memory stalls every channel at random, in so many of 256 cycles, and answers out of order.
    watchdog_cycles, window_bytes : int
        See `hw.isa.registers`; the memory is `MEMORY_BYTES` long, or longer where that is needed, and answers DECERR beyond. A
        window of 0 bytes is as long as the memory.
    journal : bool
        Whether all that programs write is noted.
    wave : Path, optional
        Where a waveform of all signals goes, as FST, from the reset to the end.

    Raises
    ------
    SimulationError
        If a program neither ends nor stops, or AXI's rules are broken on any channel of either port.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        image_bytes: int,
        program_bytes: int,
        *,
        timing: Memory = DEFAULT_TIMING,
        seed: int = 0,
        stalls: int = 64,
        watchdog_cycles: int = 100_000,
        window_bytes: int = 0,
        journal: bool = False,
        wave: Path | None = None,
    ) -> None:
        self.journal, self.wave = journal, wave
        self.config, self.image_bytes = config, image_bytes
        self.programs_at = -(-image_bytes // PAGE_BYTES) * PAGE_BYTES
        self.beat_bytes = config.axi_data_bits // 8
        needed = self.programs_at + -(-program_bytes // PAGE_BYTES) * PAGE_BYTES
        self.memory_bytes = max(MEMORY_BYTES, 1 << (needed - 1).bit_length())
        self._options = f"{timing.latency_cycles} {timing.interval_cycles} {seed} {stalls} {int(journal)} {self.memory_bytes}\n"
        self._registers = {
            "window_base_low": MEMORY_BASE & 0xFFFFFFFF,
            "window_base_high": MEMORY_BASE >> 32,
            "window_bytes": window_bytes or self.memory_bytes,
            "watchdog_cycles": watchdog_cycles,
        }
        self._opened = ExitStack()

    def __enter__(self) -> "Device":
        simulator = build_sat(self.config, traced=self.wave is not None)
        self._folder = self._opened.enter_context(scratch())
        (self._folder / "options.txt").write_text(self._options)
        self._host = self._opened.enter_context(answering(simulator, run_programs.__name__, self._folder, self.wave))
        self._host.ask("set_up", values=self._registers)
        return self

    def __exit__(self, *raised: object) -> None:
        self._opened.__exit__(*raised)  # type: ignore[arg-type]

    def write(self, first: int, content: Bytes | bytes) -> None:
        """Change the memory from byte `first` on, which is the first of a beat; what is left of the last beat becomes zeros."""
        whole = bytes(content) + bytes(-len(content) % self.beat_bytes)
        (self._folder / run_programs.LOADED).write_bytes(whole)
        self._host.ask("load", first=first, count=len(whole))

    def read(self, first: int = 0, count: int | None = None) -> Bytes:
        """Bytes of the memory, by default all that belongs to tensors; `first` is the first of a beat."""
        count = self.image_bytes if count is None else count
        self._host.ask("dump", first=first, count=-(-count // self.beat_bytes) * self.beat_bytes)
        return np.fromfile(self._folder / run_programs.DUMPED, np.uint8)[:count]

    def run(self, program: bytes, disturbance: Disturbance = QUIET) -> Outcome:
        """Run a program to its end, or to where it stops."""
        self.begin(program, disturbance)
        return self.outcome()

    def begin(self, program: bytes, disturbance: Disturbance = QUIET) -> None:
        """Start a program; `outcome` is to follow."""
        self.write(self.programs_at, program)
        faults = {name: getattr(disturbance, name) for name in ("faulty_read", "faulty_write", "fault")}
        self._host.send(
            "run",
            address=self.programs_at,
            length=len(program),
            cycle_limit=CYCLE_LIMIT,
            abort_cycles=disturbance.abort_cycles,
            faults=faults,
        )

    def outcome(self, count: int | None = None) -> Outcome:
        """Wait for the program's end; its memory are the first `count` bytes, by default all that belongs to tensors."""
        found = self._host.receive()
        transfers, faulty, *fault = (found.pop(name) for name in ("transfers", "faulty", "faulty_stream", "faulty_address"))
        memory, path = self.read(0, count), self._folder / WRITES
        writes = Writes.of(path.read_bytes() if path.exists() else b"", self.beat_bytes) if self.journal else None
        path.unlink(missing_ok=True)
        return Outcome(memory, found, transfers, (fault[0], fault[1]) if faulty else None, writes)


def run(
    config: AcceleratorConfig,
    memory: Bytes,
    programs: Sequence[bytes],
    *,
    disturbances: Sequence[Disturbance] = (),
    **options: Any,  # noqa: ANN401 (those of `Device`)
) -> list[Outcome]:
    """Run programs one after the other on one memory.

    Parameters
    ----------
    config : AcceleratorConfig
        The accelerator.
    memory : array of uint8
        What the memory holds at first, from the beginning of the window.
    programs : sequence of bytes
        Encoded programs; each is placed behind `memory`.
    disturbances : sequence of Disturbance
        One a program; none if it is empty.
    **options
        As `Device` has them.

    Raises
    ------
    SimulationError
        See `Device`.
    """
    with Device(config, len(memory), max(map(len, programs)), **options) as device:
        device.write(0, memory)
        pairs = zip(programs, disturbances or [QUIET] * len(programs), strict=True)
        return [device.run(program, disturbance) for program, disturbance in pairs]
