"""What an estimate rests on, in words for its reader."""

from dataflow.energy import SOURCE
from dataflow.machine.units.port import Memory
from hw.config import AcceleratorConfig

MEBI = 1024 * 1024


def assumptions(config: AcceleratorConfig, *, exact: bool = False) -> list[str]:
    """One sentence or two each, with the figures of `config`; `exact` where the machine ran the step's commands."""
    rate = f"{config.channel_bytes_per_second / 1e9:g} GB/s"
    buffers = (config.w2e_buffer_bytes, config.n2s_buffer_bytes, config.output_buffer_bytes)
    west, north, results = (f"{size / MEBI:g} MiB" for size in buffers)
    if exact:
        memory = Memory.of(config)
        beats = (
            "a beat each way in every cycle" if memory.interval_cycles == 1 else f"a beat every {memory.interval_cycles} cycles"
        )
        return [
            f"Memory: {config.dram_channels} ports of {config.axi_data_bits} bits at {config.clock_hz / 1e6:g} MHz,"
            f" {beats}, {memory.latency_cycles} cycles of latency, bursts served in their order.",
            "The loss is the host's and not counted. The first and the last layer with weights stay dense.",
            f"Energy is that of operations, buffer reads and memory traffic by {SOURCE}, without leakage and clocks: for"
            " comparing steps, not boards.",
        ]
    return [
        f"Array of {config.rows} x {config.columns} PEs at {config.clock_hz / 1e6:g} MHz, {config.storage} operands,"
        " binary32 accumulation; tile and drain cycles are those of the RTL's sequencer.",
        f"Memory: {config.dram_channels} x {rate}, {config.dram_bytes_per_cycle:g} bytes a cycle in all, at full rate with"
        f" every byte moved useful; {config.dram_latency_cycles} cycles of latency.",
        f"Buffers of {west} for what enters from the west, {north} from the north, {results} for results, computed from in one"
        " share while others are loaded. Convolution windows are cut on the chip from rows that a share holds, else gathered"
        " from memory, repeats counted.",
        "Tensors between layers are stored in the operand format, master weights and momentum in binary32.",
        f"{config.vpu_lanes} vector lanes take one element a cycle through all operations of a pass. Bias, ReLU, residual"
        " add, conversion and batch-norm sums ride on a product's drain; applying batch norm, and pooling, are passes.",
        f"{config.wuve_lanes} update lanes and {config.sore_lanes} selection lanes (M cycles a group) take the weight"
        " gradient as it leaves the array and write both packed copies for the next step.",
        "The loss is the host's and not counted. The first and the last layer with weights stay dense.",
        "MACs are those of the real shapes: taps in a convolution's padding count, the padding of groups does not.",
        f"Energy is that of operations, buffer reads and memory traffic by {SOURCE}, without leakage and clocks: for comparing"
        " steps, not boards.",
        "The array's cycles, and those of a pass or an update through its engine, agree with the RTL; memory, and how the units"
        " wait for each other, are modelled.",
    ]
