"""A step on the machine, whose cycles are the RTL's: where the array's cycles go, layer by layer, and what was done in them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dataflow.analysis.timeline import Slice, Timeline, slices
from dataflow.analysis.work import Plan, Run, array_steps, counts, runs
from dataflow.compile.assemble import Assembled, Origin, assemble
from dataflow.compile.updates import Rates
from dataflow.ir.program import Program
from dataflow.ir.stages import Stage
from dataflow.machine.executor import Execution
from dataflow.machine.known import known
from dataflow.machine.numbers import Moment
from dataflow.machine.timing import Memory
from dataflow.network import Network
from hw.config import AcceleratorConfig
from hw.isa.encoding import encode

Key = tuple[str, Stage]
START = Moment(0, 0, 0, 0, 0, 0)

RATES = Rates(unscale=0, weight_decay=0, momentum=0, learning_rate=0)
ADAMW_RATES = replace(RATES, squares=0)
"""Cycles do not depend on them."""


@dataclass(frozen=True)
class MachineResult:
    """What a step took on the machine.

    Between two operations that complete, all of their writes answered, the array computes as many steps as it can have done
    there, waits as the accelerator's counters say, and else waits for the operation that completes next.

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
        Of each product, see `dataflow.analysis.work.Run`.
    work : dict of str to int
        Of the commands, see `dataflow.analysis.work.counts`.
    plans : dict of (str, Stage) to Plan
        How each product runs.
    program : str
        Digest of the programs and of the accelerator that runs them.
    """

    cycles: int
    timeline: Timeline
    busy: dict[str, int]
    memory_bytes: int
    counters: dict[str, int]
    bytes_of: dict[Key, int]
    work: dict[str, int]
    plans: dict[Key, Plan]
    program: str

    @property
    def slices(self) -> tuple[Slice, ...]:
        """Those of the array; of other units, the cycles of their operations."""
        spans = (span for span in self.timeline.spans if span.cause in ("vector", "update"))
        return tuple(slices(self.timeline.spans, ((x.cause, x.start, x.end, x.cause, x.layer, x.stage) for x in spans)))


def digest(config: AcceleratorConfig, assembled: Assembled) -> str:
    """Of the programs of a step and the accelerator that runs them."""
    words = (bytes(encode(commands)) for commands in (assembled.forward, assembled.backward))
    return hashlib.sha256(b"".join((repr(replace(config, name="a")).encode(), *words))).hexdigest()


def run_on_machine(network: Network, program: Program, config: AcceleratorConfig, rates: Rates = RATES) -> MachineResult:
    """Run `program`, a step of `network`, in the commands that ``nmtrain program`` exports; updates are those of `rates`.

    Raises
    ------
    InputError
        Where the accelerator cannot be built, or cannot do what the program asks.
    """
    assembled = assemble(network, program, config, rates)
    executed = [known(config, commands, Memory.of(config)) for commands in (assembled.forward, assembled.backward)]
    return told(config, assembled, executed)


def told(config: AcceleratorConfig, assembled: Assembled, executed: list[Execution]) -> MachineResult:
    """What the programs of a step took, operation by operation."""
    timeline, bytes_of, plans = Timeline(), dict[Key, int](), dict[Key, Plan]()
    updating = 0
    halves = (assembled.forward, assembled.backward)
    for execution, commands, origins in zip(executed, halves, assembled.origins, strict=True):
        made = runs(commands)
        for run in made:
            key = _key(origins[run.drains[-1]])
            bytes_of[key] = bytes_of.get(key, 0) + run.bytes
            plans.setdefault(key, Plan.of(run.product))
        _spend(config, timeline, execution, origins, made)
        for before, moment, origin in zip((START, *execution.moments), execution.moments, origins, strict=False):
            updating += (moment.vector_busy - before.vector_busy) * (origin.kind == "update")
    counters = {name: sum(one.counters[name] for one in executed) for name in executed[0].counters}
    directions = counters["read_beats"], counters["write_beats"]
    busy = {
        "array": counters["array_busy"],
        "memory": max(directions) * Memory.of(config).interval_cycles // config.dram_channels,
        "vector": counters["vector_busy"] - updating,
        "update": updating,
    }
    return MachineResult(
        cycles=sum(execution.cycles for execution in executed),
        timeline=timeline,
        busy=busy,
        memory_bytes=sum(directions) * config.axi_data_bytes,
        counters=counters,
        bytes_of=bytes_of,
        work=counts(config, (*assembled.forward, *assembled.backward)),
        plans=plans,
        program=digest(config, assembled),
    )


def _key(origin: Origin) -> Key:
    return origin.layer, origin.stage


def _spend(
    config: AcceleratorConfig, timeline: Timeline, execution: Execution, origins: Sequence[Origin], made: Sequence[Run]
) -> None:
    """The cycles of a program, from one completed operation to the next, on what the array did in them."""
    start, before, moments = timeline.end, START, execution.moments
    computed, following = _computed(config, moments, made), 0
    keys = [_key(origins[run.drains[-1]]) for run in made]
    for place, (moment, origin) in enumerate(zip(moments, origins, strict=True)):
        shares = [(keys[number], steps) for number, steps in computed[place]]
        while following < len(made) - 1 and made[following].drains[-1] < place:
            following += 1
        own = shares[0][0] if shares else keys[following] if made else _key(origin)
        left = start + moment.cycle - timeline.end - sum(steps for _, steps in shares)
        for cause, counter in (("operands", "array_waits_operands"), ("memory", "array_waits_room")):
            cycles = min(getattr(moment, counter) - getattr(before, counter), left)
            timeline.add(timeline.end + cycles, cause, *own)
            left -= cycles
        for key, steps in shares:
            timeline.add(timeline.end + steps, "compute", *key)
        rest = {"product": "fill_drain", "vector": "vector", "update": "update"}[origin.kind]
        timeline.add(start + moment.cycle, rest, origin.layer, origin.stage)
        before = moment
    if origins:
        timeline.add(start + execution.cycles, "idle", *_key(origins[-1]))


def _computed(config: AcceleratorConfig, moments: Sequence[Moment], made: Sequence[Run]) -> list[list[tuple[int, int]]]:
    """In the cycles before each moment, how many steps of which products the array has done.

    How many steps a product has, its command says. They are before its last sums are stored, in cycles in which the array was
    busy, and those of products follow each other: they are put where they are latest.
    """
    cycles = [moment.cycle - before.cycle for before, moment in zip((START, *moments), moments, strict=False)]
    busy = [moment.array_busy - before.array_busy for before, moment in zip((START, *moments), moments, strict=False)]
    free = [min(pair) for pair in zip(cycles, busy, strict=True)]
    shares: list[list[tuple[int, int]]] = [[] for _ in moments]
    place = len(moments) - 1
    for number in reversed(range(len(made))):
        steps, place = array_steps(config, made[number].product), min(place, made[number].drains[-1])
        while steps and place >= 0:
            done = min(steps, free[place])
            if done:
                shares[place].insert(0, (number, done))
            free[place], steps = free[place] - done, steps - done
            place -= bool(steps)
    return shares
