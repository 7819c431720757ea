"""Products on the RTL: the array's Verilog under Verilator, played by cocotb."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from hw.array.array import Element
from hw.array.uspe import USPE
from hw.cache import cache_folder, kept
from hw.config import AcceleratorConfig
from hw.cores import GENERIC
from hw.export.folder import export, source_hash
from hw.processes import scratch
from sim.harness import HARNESS, run_until_done
from sim.rtl.player import Operands, play, player_package, read_results, write_streams
from sim.simulators.verilator import Build, build

PLAYER = HARNESS / "player.sv"


@dataclass(frozen=True)
class Played:
    """What the RTL answered.

    Parameters
    ----------
    results : list of array of float32
        The (m, n) product of each command.
    cycles : list of int
        Cycle of each command's last word of results, counted from the one in which the first command was taken.
    seconds : float
        Wall time of the simulation.
    """

    results: list[NDArray[np.float32]]
    cycles: list[int]
    seconds: float


def build_player(config: AcceleratorConfig, element: Element = USPE) -> Build:
    """The simulator of the array with its player, from the cache where it was built before."""
    sources = {
        "player_config.sv": player_package(config),
        "stce.v": verilog(config, element),
        "player.sv": PLAYER.read_text(encoding="utf-8"),
    }
    return build(sources, "player", note=f"{config.name} ({config.rows}x{config.columns})")


def verilog(config: AcceleratorConfig, element: Element = USPE) -> str:
    """The array's Verilog, from the cache where the same sources and configuration wrote it before.

    Simulators have the generic core: `sim.rtl.mac` holds the others equal to it, bits and cycles.
    """
    config = replace(config, uspe_core=GENERIC)
    if element is not USPE:  # its source may depend on anything
        return export(config, element)[0]
    key = hashlib.sha256(f"{source_hash()} {version('amaranth')} {config}".encode()).hexdigest()[:32]
    path = cache_folder() / "verilog" / f"{key}.v"
    return kept(path, lambda: export(config)[0].encode()).decode()


def play_products(
    config: AcceleratorConfig,
    products: Sequence[Operands],
    *,
    element: Element = USPE,
    stall_probability: float = 0.0,
    seed: int = 0,
) -> Played:
    """Run products one after the other on the RTL.

    Parameters
    ----------
    config : AcceleratorConfig
        The accelerator.
    products : sequence of Operands
        At least one.
    element : type of Component
        Its processing element, see `hw.array.stce.STCE`.
    stall_probability : float
        Chance, in each cycle, that an operand stream offers nothing and that the result stream takes nothing, 0..0.95.
    seed : int
        Of the stalls.

    Raises
    ------
    SimulationError
        If the array does not end in time.
    """
    plays = [play(config, operands) for operands in products]
    shapes = [operands.tile(config) for operands in products]
    steps = sum(shape.steps + shape.flush_steps for shape in shapes)
    limit = int(20 * (steps + 100) / (1 - stall_probability))
    simulator = build_player(config, element)
    with scratch() as folder:
        write_streams(plays, folder)
        (folder / "options.txt").write_text(f"{round(1000 * stall_probability)} {seed}\n")
        start = time.perf_counter()
        simulator.run(run_until_done.__name__, work=folder, environment={"NMTRAIN_CYCLE_LIMIT": str(limit)})
        seconds = time.perf_counter() - start
        results, cycles = read_results(plays, folder)
    return Played(results, cycles, seconds)
