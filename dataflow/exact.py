"""A step on the machine, whose cycles are the RTL's, told as the step model tells its own: where the array's cycles go."""

import hashlib
from dataclasses import dataclass, replace

from dataflow.machine.assemble import Assembled, Origin, assemble
from dataflow.machine.executor import Execution, Moment
from dataflow.machine.known import known
from dataflow.machine.units.port import Memory
from dataflow.machine.updates import Rates
from dataflow.network import Network
from dataflow.program import Program
from dataflow.stages import Stage
from dataflow.timeline import Slice, Timeline, slices
from hw.config import AcceleratorConfig
from hw.isa.checks import check_sat
from hw.isa.encoding import encode

RATES = Rates(unscale=0, weight_decay=0, momentum=0, learning_rate=0)
"""Cycles do not depend on them."""


@dataclass(frozen=True)
class MachineResult:
    """What a step took on the machine.

    An operation's cycles are those from when the one before it was complete, all of its writes answered, to when it was.
    What the array waited for in them is what the accelerator's counters say; cycles of vector work and of updates in which no
    product was complete are theirs, whatever the array did.

    Parameters
    ----------
    cycles : int
        Of both programs, from start to halt.
    timeline : Timeline
        Of the operations, `cycles` long.
    busy : dict of str to int
        Cycles in which ``array``, ``memory`` (its busier direction, a mean of the ports), ``vector`` and ``update`` worked.
    memory_bytes : int
        Beats read and written, the programs among them, in bytes.
    counters : dict of str to int
        The accelerator's performance counters, added up over both programs.
    bytes_of : dict of (str, Stage) to int
        Of each product, beats of its cycles in bytes.
    """

    cycles: int
    timeline: Timeline
    busy: dict[str, int]
    memory_bytes: int
    counters: dict[str, int]
    bytes_of: dict[tuple[str, Stage], int]

    @property
    def slices(self) -> tuple[Slice, ...]:
        """As of the step model's result; of other units, the cycles of their operations."""
        spans = (span for span in self.timeline.spans if span.cause in ("vector", "update"))
        return tuple(slices(self.timeline.spans, ((x.cause, x.start, x.end, x.cause, x.layer, x.stage) for x in spans)))


def digest(config: AcceleratorConfig, assembled: Assembled) -> str:
    """Of the programs of a step and the accelerator that runs them."""
    words = (bytes(encode(commands)) for commands in (assembled.forward, assembled.backward))
    return hashlib.sha256(b"".join((repr(replace(config, name="a")).encode(), *words))).hexdigest()


def run_on_machine(network: Network, program: Program, config: AcceleratorConfig) -> MachineResult:
    """Run `program`, a step of `network`, in the commands that ``nmtrain program`` exports.

    Raises
    ------
    InputError
        Where the accelerator cannot be built, or cannot do what the program asks.
    """
    check_sat(config)
    assembled = assemble(network, program, config, RATES)
    executed = [known(config, commands, Memory.of(config)) for commands in (assembled.forward, assembled.backward)]
    return told(config, assembled, executed)


def told(config: AcceleratorConfig, assembled: Assembled, executed: list[Execution]) -> MachineResult:
    """What the programs of a step took, operation by operation."""
    timeline, bytes_of = Timeline(), dict[tuple[str, Stage], int]()
    start = updating = 0
    for execution, operations in zip(executed, assembled.origins, strict=True):
        before = Moment(0, 0, 0, 0, 0, 0)
        for moment, operation in zip(execution.moments, operations, strict=True):
            _spend(timeline, start, before, moment, operation)
            key = operation.layer, operation.stage
            beats = (moment.beats - before.beats) * (operation.kind == "product")
            bytes_of[key] = bytes_of.get(key, 0) + beats * config.axi_data_bytes
            updating += (moment.vector_busy - before.vector_busy) * (operation.kind == "update")
            before = moment
        start += execution.cycles
        if operations:
            timeline.add(start, "idle", operations[-1].layer, operations[-1].stage)
    counters = {name: sum(one.counters[name] for one in executed) for name in executed[0].counters}
    directions = counters["read_beats"], counters["write_beats"]
    interval = Memory.of(config).interval_cycles
    busy = {
        "array": counters["array_busy"],
        "memory": max(directions) * interval // config.dram_channels,
        "vector": counters["vector_busy"] - updating,
        "update": updating,
    }
    return MachineResult(start, timeline, busy, sum(directions) * config.axi_data_bytes, counters, bytes_of)


def _spend(timeline: Timeline, start: int, before: Moment, moment: Moment, operation: Origin) -> None:
    """The cycles between two moments, on what the array did in them."""
    end = start + moment.cycle
    if operation.kind == "product":
        left = end - max(timeline.end, start)
        for cause, counter in (("operands", "array_waits_operands"), ("memory", "array_waits_room"), ("compute", "array_busy")):
            cycles = min(getattr(moment, counter) - getattr(before, counter), left)
            timeline.add(timeline.end + cycles, cause, operation.layer, operation.stage)
            left -= cycles
    rest = {"product": "fill_drain", "vector": "vector", "update": "update"}[operation.kind]
    timeline.add(end, rest, operation.layer, operation.stage)
