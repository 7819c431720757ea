"""Energy of a step from a published table of energies per operation and per access; leakage and clocks are not in it.

M. Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014, figure 1.1.9: 45 nm at 0.9 V.

======================== =================================================
16-bit floating point    multiplication 1.1 pJ
32-bit floating point    multiplication 3.7 pJ, addition 0.9 pJ
64 bits from SRAM        8 KiB 10 pJ, 32 KiB 20 pJ, 1 MiB 100 pJ
64 bits from DRAM        1.3 to 2.6 nJ, of which the lower is taken
======================== =================================================

An FPGA of any node differs: the figure is for comparing steps with each other.
"""

from collections.abc import Iterable
from math import log

from dataflow.jobs import Job
from dataflow.program import Product, Program, Update, Vector
from dataflow.schedule import element_bits
from hw.config import AcceleratorConfig

SOURCE = "Horowitz, ISSCC 2014, figure 1.1.9 (45 nm, 0.9 V)"
MULTIPLY_16 = 1.1e-12
MULTIPLY_32, ADD_32 = 3.7e-12, 0.9e-12
DRAM_BYTE = 1.3e-9 / 8
SRAM_WORD = ((8 * 1024, 10e-12), (32 * 1024, 20e-12), (1024 * 1024, 100e-12))
"""Bytes of the memory, and joules of 64 bits from it."""

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
        "buffers": sum(plan.steps * edge_energy(config, product) for product, plan in plans),
        "memory": DRAM_BYTE * memory_bytes,
        "vector": VECTOR_ELEMENT * sum(c.elements for c in program.commands if isinstance(c, Vector)),
        "update": UPDATE_ELEMENT * sum(c.elements for c in program.commands if isinstance(c, Update)),
    }
    return joules | {"step": sum(joules.values())}


def edge_energy(config: AcceleratorConfig, product: Product) -> float:
    """Joules of what enters the array in a step: a weight a row, and a column's share of a group of activations."""
    weights = config.rows * element_bits(config, product, weights=True) / 8
    group = product.ratio.m / product.ratio.n
    activations = config.columns * group * element_bits(config, product, weights=False) / 8
    return weights * sram_byte(config.w2e_buffer_bytes) + activations * sram_byte(config.n2s_buffer_bytes)


def sram_byte(size_bytes: int) -> float:
    """Joules of a byte from a memory of `size_bytes`, a power of the size between the table's (and beyond the last two).

    >>> [round(sram_byte(size * 1024) * 8e12, 1) for size in (8, 16, 32, 1024, 2048)]
    [10.0, 14.1, 20.0, 100.0, 138.0]
    """
    (low, less), (high, more) = SRAM_WORD[:2] if size_bytes <= SRAM_WORD[1][0] else SRAM_WORD[1:]
    return float(less / 8 * (size_bytes / low) ** (log(more / less) / log(high / low)))
