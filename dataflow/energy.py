"""Energy of a step from a published table of energies per operation and per byte; leakage and clocks are not in it.

M. Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014, figure 1.1.9: 45 nm at 0.9 V. 16-bit
floating-point multiplication 1.1 pJ; 32-bit multiplication 3.7 pJ, addition 0.9 pJ; 64 bits from 1 MiB of SRAM 100 pJ, from
DRAM 1.3 to 2.6 nJ, of which the lower is taken. An FPGA of any node differs: the figure is for comparing steps with each other.
"""

from collections.abc import Iterable

from dataflow.jobs import Job
from dataflow.program import Product, Program, Update, Vector
from dataflow.schedule import element_bits
from hw.config import AcceleratorConfig

SOURCE = "Horowitz, ISSCC 2014, figure 1.1.9 (45 nm, 0.9 V)"
MULTIPLY_16 = 1.1e-12
MULTIPLY_32, ADD_32 = 3.7e-12, 0.9e-12
SRAM_BYTE = 100e-12 / 8
DRAM_BYTE = 1.3e-9 / 8

VECTOR_ELEMENT = MULTIPLY_32 + ADD_32
"""Of an element in a vector pass: scale and shift."""

UPDATE_ELEMENT = 3 * (MULTIPLY_32 + ADD_32)
"""Of a weight: decay, momentum and learning rate, a multiplication and an addition each."""


def energy(config: AcceleratorConfig, program: Program, work: Iterable[Job], memory_bytes: int) -> dict[str, float]:
    """Joules of a step by what they are spent on, and ``step``, their sum.

    Parameters
    ----------
    config, program : AcceleratorConfig, Program
        What ran on what.
    work : iterable of Job
        The program's jobs.
    memory_bytes : int
        Traffic of the step.
    """
    plans = [pair for job in work for pair in job.products]
    joules = {
        "multiply_accumulate": sum(product.macs for product, _ in plans) * (MULTIPLY_16 + ADD_32),
        "buffers": SRAM_BYTE * sum(plan.steps * edge_bytes(config, product) for product, plan in plans),
        "memory": DRAM_BYTE * memory_bytes,
        "vector": VECTOR_ELEMENT * sum(c.elements for c in program.commands if isinstance(c, Vector)),
        "update": UPDATE_ELEMENT * sum(c.elements for c in program.commands if isinstance(c, Update)),
    }
    return joules | {"step": sum(joules.values())}


def edge_bytes(config: AcceleratorConfig, product: Product) -> float:
    """Bytes that enter the array in a step: a weight a row, and a column's share of a group of activations."""
    weights = config.rows * element_bits(config, product, weights=True)
    group = product.ratio.m / product.ratio.n
    return (weights + config.columns * group * element_bits(config, product, weights=False)) / 8
