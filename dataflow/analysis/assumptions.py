"""What a result rests on, in words for its reader."""

from dataflow.analysis.energy import Table
from dataflow.machine.timing import Memory
from hw.config import AcceleratorConfig


def assumptions(config: AcceleratorConfig, table: Table) -> list[str]:
    """One sentence or two each, with the figures of `config`."""
    memory = Memory.of(config)
    beats = "a beat each way in every cycle" if memory.interval_cycles == 1 else f"a beat every {memory.interval_cycles} cycles"
    return [
        f"Memory: {config.dram_channels} ports of {config.axi_data_bits} bits at {config.clock_hz / 1e6:g} MHz,"
        f" {beats}, {memory.latency_cycles} cycles of latency, bursts served in their order.",
        "The loss is the host's and not counted. The first and the last layer with weights stay dense.",
        f"Energy is counts of the program and of the accelerator's counters times {table.source}, without leakage and"
        " clocks: for comparing steps, not boards.",
    ]
