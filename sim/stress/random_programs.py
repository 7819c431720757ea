"""Programs of random training steps, without their numbers: what the machine's ways of counting cycles are compared on."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from dataflow.compile.assemble import assemble
from dataflow.compile.updates import Rates
from dataflow.ir.program import Dataflow
from dataflow.ir.stages import Stage
from dataflow.lowering.lower import lower
from dataflow.machine.executor import Execution, execute
from dataflow.machine.timing import Memory
from dataflow.network import Network
from dataflow.scheduling.pins import Choice
from hw.config import PRESETS, AcceleratorConfig
from hw.errors import InputError
from hw.isa.commands import Command
from hw.ratio import DENSE, Ratio
from sim.stress.random_steps import CONFIGS, RATIOS, random_network

RATES = Rates(unscale=0, weight_decay=0, momentum=0, learning_rate=0)
WIDE = replace(
    PRESETS["tiny"], name="wide", rows=8, columns=8, axi_data_bits=256, axi_burst_beats=32, axi_fifo_beats=128, dram_channels=2
)
SHORT = replace(PRESETS["tiny"], name="short", axi_burst_beats=4, axi_fifo_beats=16, output_buffer_bytes=16384)
BATCHES = (1, 2, 4, 24)

Programs = tuple[Sequence[Command], Sequence[Command]]


def programs(
    network: Network, config: AcceleratorConfig, batch: int, ratio: Ratio, dataflows: Sequence[Dataflow | None] = (None,),
    random: Random | None = None,
) -> Programs:  # fmt: skip
    """Both programs of a step; each product keeps in the array what `random` chooses of `dataflows`, or what lowering does."""
    sparse = frozenset[Stage]() if ratio.is_dense else frozenset({Stage.FORWARD, Stage.INPUT_GRADIENT})
    program = lower(network, config, batch=batch, ratio=ratio, sparse_stages=sparse)
    drawn = {(one.layer, one.stage): random.choice(dataflows) if random else None for one in program.products}
    pins = {name: Choice(dataflow=dataflow) for name, dataflow in drawn.items() if dataflow}
    if pins:
        program = lower(network, config, batch=batch, ratio=ratio, sparse_stages=sparse, pins=pins)
    assembled = assemble(network, program, config, RATES)
    return assembled.forward, assembled.backward


def random_programs(seed: int) -> tuple[AcceleratorConfig, Programs, Memory]:
    """Both programs of a step on an accelerator with a memory, all drawn from `seed`."""
    random = Random(seed)
    while True:
        ratio = random.choice((DENSE, *RATIOS))
        network, batch = random_network(random, ratio), random.choice(BATCHES)
        config = random.choice((*CONFIGS, PRESETS["small"], WIDE, SHORT))
        dataflows: Sequence[Dataflow | None] = random.choice([(None,), (Dataflow.WEIGHT_STATIONARY,), tuple(Dataflow)])
        try:
            found = programs(network, config, batch, ratio, dataflows, random)
        except InputError:  # the buffers have no room for what was drawn
            continue
        return config, found, Memory(random.randint(1, 60), random.randint(1, 3))


def both_ways(config: AcceleratorConfig, commands: Sequence[Command], memory: Memory) -> tuple[Execution, Execution]:
    """A program with skipping what happens again, and without."""
    return execute(config, commands, memory), execute(config, commands, memory, skip=False)
