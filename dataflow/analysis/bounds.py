"""What no executor can beat: for each resource, its work divided by its rate, nothing else in the way.

They need no commands and take no time: what cannot be fast enough need not be run.
"""

from collections import Counter
from functools import lru_cache
from math import ceil, prod

import numpy as np
from numpy.typing import NDArray

from dataflow.ir import operations as op
from dataflow.ir.program import Dataflow, Loop, MatrixView, Product, Program, Update
from dataflow.machine.timing import Memory
from hw.config import AcceleratorConfig

PORTS = ("w2e", "n2s", "output")
"""Where operands enter the array, from the west and from the north, and where sums leave it."""

MASTER_BYTES = 8
"""A weight and its velocity, binary32."""

PASSES = (op.Relu, op.Mask, op.Sum, op.Normalise, op.NormaliseGradient, op.Softmax, op.Activate, op.ActivationGradient)
"""Operations for which every element of their tensor passes through the lanes once at least."""


def bounds(program: Program, config: AcceleratorConfig) -> dict[str, int]:
    """Least cycles of the step by resource: ``array``, ``memory``, ``vector``, ``update`` and the buffer ports ``PORTS``."""
    cycles: Counter[str] = Counter(dict.fromkeys(("array", "memory", "vector", "update", *PORTS), 0))
    read = written = 0
    for command in program.commands:
        if isinstance(command, Product):
            cycles.update(port_cycles(command, config))
            cycles["vector"] += command.count * command.m * command.n // config.vpu_lanes
            read += operand_bytes(command, program, config)
        elif isinstance(command, Update):
            cycles["update"] += -(-command.elements // config.wuve_lanes)
            read += MASTER_BYTES * command.elements
            written += MASTER_BYTES * command.elements
        elif not command.fused and any(isinstance(operation, PASSES) for operation in command.operations):
            cycles["vector"] += -(-command.elements // config.vpu_lanes)
    cycles["array"] = ceil(sum(product.macs for product in program.products) / config.macs_per_cycle)
    beats = max(read, written) // (config.axi_data_bytes * config.dram_channels)
    cycles["memory"] = beats * Memory.of(config).interval_cycles
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


def operand_bytes(product: Product, program: Program, config: AcceleratorConfig) -> int:
    """Bytes of the different elements that a product reads, as they stand in memory."""
    word = config.storage_format.width // 8
    packed = 1 if product.ratio.is_dense else 2
    sides = ((product.weights, packed), (product.activations, 1))
    return sum(words * word * touched(view, program.regions[view.region].shape) for view, words in sides)


def touched(view: MatrixView, shape: tuple[int, ...]) -> int:
    """Different elements of a region that a matrix holds: what must be moved at least."""
    loops = (*view.each, *view.rows, *view.columns)
    return prod(
        _different(view.origin[axis], tuple(loop for loop in loops if loop.axis == axis), size)
        for axis, size in enumerate(shape)
    )


@lru_cache(maxsize=4096)
def _different(origin: int, loops: tuple[Loop, ...], size: int) -> int:
    """Coordinates of an axis that are in 0..size-1, each counted once."""
    places: NDArray[np.int64] = np.full(1, origin)
    for loop in loops:
        places = np.unique(places[:, None] + np.arange(loop.size) * loop.step)
    return int(np.count_nonzero((places >= 0) & (places < size)))
