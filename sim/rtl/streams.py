"""Any block with streams under Verilator: words fed and taken at random, every stream's contract checked."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from amaranth.lib import wiring

from hw.export.folder import to_verilog
from hw.processes import scratch
from sim.harness import play_streams
from sim.simulators.verilator import build


@dataclass(frozen=True)
class Phase:
    """What passes through a block while its other inputs stand still.

    Parameters
    ----------
    sources : mapping of str to sequence of int
        Words for each input stream that is used, by its name.
    sinks : mapping of str to int
        Words that are due from each output stream.
    inputs : mapping of str to int
        Values of other inputs.
    """

    sources: Mapping[str, Sequence[int]]
    sinks: Mapping[str, int]
    inputs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Traffic:
    """What went through one stream.

    Parameters
    ----------
    words : list of int
        The words, in order.
    cycles : list of int
        The clock cycle of each.
    """

    words: list[int] = field(default_factory=list)
    cycles: list[int] = field(default_factory=list)


def play_phases(
    component: wiring.Component, phases: Sequence[Phase], *, stall_probability: float = 0.0, seed: int = 0
) -> list[dict[str, Traffic]]:
    """Run phases one after the other on a component's Verilog.

    Parameters
    ----------
    component : wiring.Component
        With ports ``clk`` and ``rst``.
    phases : sequence of Phase
        At least one. A phase ends when all words are taken that are due, and the streams have then been idle for some cycles.
    stall_probability : float
        Chance, in each cycle, that a source offers nothing and that a sink takes nothing, 0..0.95.
    seed : int
        Of the stalls.

    Returns
    -------
    list of dict of str to Traffic
        For each phase the traffic of each of its streams; cycles count from the end of the reset.

    Raises
    ------
    SimulationError
        Where words are missing or too many come, or an output takes back a word that it offered.
    """
    name = type(component).__name__.lower()
    simulator = build({f"{name}.v": to_verilog(component, name)}, name, note=name)
    plan = {"stall": stall_probability, "seed": seed, "phases": [asdict(phase) for phase in phases]}
    with scratch() as folder:
        work = Path(folder)
        (work / play_streams.PLAN).write_text(json.dumps(plan))
        simulator.run(play_streams.__name__, work=work, environment={})
        traffic = json.loads((work / play_streams.TRAFFIC).read_text())
    return [{stream: Traffic(**passed) for stream, passed in phase.items()} for phase in traffic]
