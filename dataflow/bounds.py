"""What no executor can beat: for each resource, its work divided by its rate, nothing else in the way."""

from collections import Counter
from math import ceil

from dataflow.footprint import touched
from dataflow.jobs import Job, jobs
from dataflow.program import Dataflow, Product, Program
from dataflow.schedule import element_bits
from hw.config import AcceleratorConfig

PORTS = ("w2e", "n2s", "output")
"""Where operands enter the array, from the west and from the north, and where sums leave it."""


def bounds(program: Program, config: AcceleratorConfig) -> dict[str, int]:
    """Least cycles of the step by resource: ``array``, ``memory``, ``vector``, ``update`` and the buffer ports ``PORTS``."""
    cycles: Counter[str] = Counter(dict.fromkeys(("array", "memory", "vector", "update", *PORTS), 0))
    size_bytes = 0
    macs = 0
    for job in jobs(config, program):
        cycles[job.cost.engine] += job.cost.cycles
        size_bytes += job_bytes(job, program, config)
        for product, _ in job.products:
            macs += product.macs
            cycles.update(port_cycles(product, config))
    cycles["array"] = ceil(macs / config.macs_per_cycle)
    cycles["memory"] = ceil(size_bytes / config.dram_bytes_per_cycle)
    return dict(cycles)


def port_cycles(product: Product, config: AcceleratorConfig) -> dict[str, int]:
    """Least cycles at the ports between buffers and array: a word a row, or a column, of the array in each.

    A weight enters once for all columns of the result that the array works on at a time, an activation once for all rows; every
    sum leaves once.
    """
    stationary = product.dataflow is Dataflow.WEIGHT_STATIONARY
    columns = product.n if stationary else config.columns * config.interleave_slots
    rows = config.rows if stationary else config.rows * config.interleave_slots
    words = {
        "w2e": product.m * product.kept * ceil(product.n / columns) / config.rows,
        "n2s": product.n * product.kept * ceil(product.m / rows) / config.columns,
        "output": product.m * product.n / config.rows,
    }
    return {port: product.count * int(cycles) for port, cycles in words.items()}


def job_bytes(job: Job, program: Program, config: AcceleratorConfig) -> int:
    """Least memory traffic of a job: every operand once, and what its drain reads and writes."""
    return sum(operand_bytes(product, program, config) for product, _ in job.products) + job.cost.bytes


def operand_bytes(product: Product, program: Program, config: AcceleratorConfig) -> int:
    """Bytes of the different elements that a product reads."""
    return sum(
        touched(view, program.regions[view.region].shape) * element_bits(config, product, weights=view is product.weights) // 8
        for view in (product.weights, product.activations)
    )
