"""What no executor can beat: for each resource, its work divided by its rate, nothing else in the way."""

from collections import Counter
from math import ceil

from dataflow.footprint import touched
from dataflow.jobs import Job, jobs
from dataflow.program import Product, Program
from dataflow.schedule import element_bits
from hw.config import AcceleratorConfig


def bounds(program: Program, config: AcceleratorConfig) -> dict[str, int]:
    """Least cycles of the step by resource: ``array``, ``memory``, ``vector`` and ``update``."""
    cycles: Counter[str] = Counter(dict.fromkeys(("array", "memory", "vector", "update"), 0))
    size_bytes = 0
    macs = 0
    for job in jobs(config, program):
        cycles[job.cost.engine] += job.cost.cycles
        size_bytes += job_bytes(job, program, config)
        macs += sum(product.macs for product, _ in job.products)
    cycles["array"] = ceil(macs / config.macs_per_cycle)
    cycles["memory"] = ceil(size_bytes / config.dram_bytes_per_cycle)
    return dict(cycles)


def job_bytes(job: Job, program: Program, config: AcceleratorConfig) -> int:
    """Least memory traffic of a job: every operand once, and what its drain reads and writes."""
    return sum(operand_bytes(product, program, config) for product, _ in job.products) + job.cost.bytes


def operand_bytes(product: Product, program: Program, config: AcceleratorConfig) -> int:
    """Bytes of the different elements that a product reads."""
    return sum(
        touched(view, program.regions[view.region].shape) * element_bits(config, product, weights=view is product.weights) // 8
        for view in (product.weights, product.activations)
    )
