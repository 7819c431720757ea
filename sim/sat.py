"""Programs on the RTL of the whole accelerator, with a memory behind its port."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from dataflow.machine.units.port import Memory
from hw.config import AcceleratorConfig
from hw.cores import GENERIC
from hw.dma.port import master_members, masters
from hw.export import BLOCKS, source_hash, to_verilog
from hw.isa.registers import ErrorCode
from hw.processes import scratch
from sim.cache import cache_folder, kept
from sim.harness import run_programs
from sim.image import Bytes
from sim.verilator import Build, build

HARNESS = Path(__file__).parent / "harness"
MEMORY_BYTES = 1 << 20
MEMORY_BASE = 0x4_0000_0000
CYCLE_LIMIT = 5_000_000
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
    """

    memory: Bytes
    registers: dict[str, int]
    transfers: int
    fault: tuple[int, int] | None

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


def build_sat(config: AcceleratorConfig, memory_bytes: int = MEMORY_BYTES) -> Build:
    """The simulator of the accelerator with its memory, from the cache where it was built before."""
    package = "\n".join(
        [
            "package sat_config;",
            f"  localparam int DATA_BITS = {config.axi_data_bits};",
            f"  localparam int PORTS = {config.dram_channels};",
            f"  localparam int MEMORY_BYTES = {memory_bytes};",
            f"  localparam logic [63:0] MEMORY_BASE = 64'h{MEMORY_BASE:x};",
            "endpackage",
            f"`define SAT_MASTERS {_connections(config)}",
            "",
        ]
    )
    sources = {"sat_config.sv": package, "sat.v": verilog(config)}
    sources |= {name: (HARNESS / name).read_text(encoding="utf-8") for name in ("axi_checker.sv", "sat_bench.sv")}
    return build(sources, "sat_bench", note=f"the whole of {config.name} ({config.rows}x{config.columns})")


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
    """The accelerator's Verilog, with the generic core as in `sim.rtl`, from the cache where it was written before."""
    config = replace(config, uspe_core=GENERIC)
    key = hashlib.sha256(f"sat {source_hash()} {version('amaranth')} {config}".encode()).hexdigest()[:32]
    path = cache_folder() / "verilog" / f"{key}.v"
    return kept(path, lambda: to_verilog(BLOCKS["sat"](config), "sat").encode()).decode()


def program_address(memory: Bytes) -> int:
    """Where `run` places the first program."""
    return -(-len(memory) // 4096) * 4096


def run(
    config: AcceleratorConfig,
    memory: Bytes,
    programs: Sequence[bytes],
    *,
    timing: Memory = DEFAULT_TIMING,
    seed: int = 0,
    stalls: int = 64,
    disturbances: Sequence[Disturbance] = (),
    watchdog_cycles: int = 100_000,
    window_bytes: int = 0,
) -> list[Outcome]:
    """Run programs one after the other on one memory.

    Parameters
    ----------
    config : AcceleratorConfig
        The accelerator.
    memory : array of uint8
        What the memory holds at first, from the beginning of the window.
    programs : sequence of bytes
        Encoded programs; they are placed behind `memory`.
    timing : Memory
        Of the memory behind the port, see ``sat_bench.sv``.
    seed, stalls : int
        With a seed the memory stalls every channel at random, in so many of 256 cycles, and answers out of order.
    disturbances : sequence of Disturbance
        One a program; none if it is empty.
    watchdog_cycles, window_bytes : int
        See `hw.isa.registers`; the memory is `MEMORY_BYTES` long, or longer where that is needed, and answers DECERR beyond. A
        window of 0 bytes is as long as the memory.

    Raises
    ------
    SimulationError
        If a program neither ends nor stops, or AXI's rules are broken on any channel of either port.
    """
    needed = program_address(memory) + sum(-(-len(program) // 64) * 64 for program in set(programs))
    memory_bytes = max(MEMORY_BYTES, 1 << (needed - 1).bit_length())
    image = np.zeros(memory_bytes, np.uint8)
    image[: len(memory)] = memory
    place, places, plan = program_address(memory), dict[bytes, int](), []
    for program, disturbance in zip(programs, disturbances or [Disturbance()] * len(programs), strict=True):
        if program not in places:
            places[program] = place
            image[place : place + len(program)] = np.frombuffer(program, np.uint8)
            place += -(-len(program) // 64) * 64
        plan.append({"address": places[program], "bytes": len(program)} | asdict(disturbance))
    registers = {
        "window_base_low": MEMORY_BASE & 0xFFFFFFFF,
        "window_base_high": MEMORY_BASE >> 32,
        "window_bytes": window_bytes or memory_bytes,
        "watchdog_cycles": watchdog_cycles,
    }
    simulator = build_sat(config, memory_bytes)
    with scratch() as folder:
        (folder / "memory.bin").write_bytes(image.tobytes())
        (folder / "options.txt").write_text(f"{timing.latency_cycles} {timing.interval_cycles} {seed} {stalls}\n")
        limits = {"cycle_limit": CYCLE_LIMIT, "dump_bytes": program_address(memory)}
        (folder / run_programs.PLAN).write_text(json.dumps({"registers": registers, "programs": plan} | limits))
        simulator.run(run_programs.__name__, work=folder, environment={})
        outcomes = json.loads((folder / run_programs.OUTCOME).read_text())
        dumps = [np.fromfile(folder / f"dump_{number}.bin", np.uint8) for number in range(len(programs))]
    return [_outcome(dump[: len(memory)], registers) for dump, registers in zip(dumps, outcomes, strict=True)]


def _outcome(memory: Bytes, found: dict[str, int]) -> Outcome:
    """From what the harness left."""
    transfers, faulty, *fault = (found.pop(name) for name in ("transfers", "faulty", "faulty_stream", "faulty_address"))
    return Outcome(memory, found, transfers, (fault[0], fault[1]) if faulty else None)
