"""What an estimate is worth: the step model's cycles over the machine's, at a batch that the machine runs in seconds.

The machine runs the step's very commands, and equals the RTL in each cycle.
"""

from typing import Any

from dataflow.exact import RATES
from dataflow.lower import lower
from dataflow.machine.assemble import Assembled, assemble
from dataflow.machine.executor import execute
from dataflow.machine.units.port import Memory
from dataflow.model import run
from dataflow.network import Network
from dataflow.program import Program
from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.isa.checks import check_sat

MOST_SAMPLES = 8
LONGEST_CYCLES = 60_000
"""Estimated ones: of a step that the machine runs in some seconds."""


def over_machine(network: Network, program: Program, config: AcceleratorConfig) -> dict[str, Any]:
    """Of a step like `program`: its batch, both cycles and their ratio; or ``reason``, why there is none."""
    given: dict[str, Any] = {name: getattr(program, name) for name in ("ratio", "sparse_stages", "techniques")}
    batch = min(program.batch, MOST_SAMPLES)
    try:
        check_sat(config)
        assembled = _assembled(network, config, batch=1, **given)
        while True:
            tried = lower(network, config, batch=batch, **given)
            estimated = run(tried, config).cycles
            if estimated <= LONGEST_CYCLES or batch == 1:
                break
            batch //= 2
        if estimated > LONGEST_CYCLES:
            return {"reason": f"a step of one sample has {estimated:,} cycles, too many to run each of them here"}
        if batch > 1:
            assembled = _assembled(network, config, batch=batch, **given)
    except InputError as error:
        return {"reason": str(error)}
    cycles = sum(execute(config, commands, Memory.of(config)).cycles for commands in (assembled.forward, assembled.backward))
    return {"batch": batch, "estimated_cycles": estimated, "machine_cycles": cycles, "ratio": estimated / cycles}


def worth(result: dict[str, Any]) -> str:
    """What the cycles of a result of `dataflow.estimate` are worth, for its reader."""
    if result.get("exact"):
        return "Cycle-exact: of the very commands that the accelerator runs, on the machine that equals its RTL in each cycle."
    return sentence(result["over_machine"])


def sentence(found: dict[str, Any]) -> str:
    """The result of `over_machine` for a reader."""
    if "reason" in found:
        return f"Estimated, and compared with no machine: {found['reason']}."
    return (
        f"Estimated: at a batch of {found['batch']} it says {found['estimated_cycles']:,} cycles, {found['ratio']:.2f} of the"
        f" {found['machine_cycles']:,} that the accelerator takes for the commands of that step."
    )


def _assembled(network: Network, config: AcceleratorConfig, **given: Any) -> Assembled:  # noqa: ANN401 (as `lower` has it)
    return assemble(network, lower(network, config, **given), config, RATES)
