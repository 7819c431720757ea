"""Runs a floating-point block of the RTL on many operands at once."""

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np
from amaranth.back import verilog
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from hw.errors import InputError
from hw.formats import FloatFormat
from hw.fp import FloatAdd, FloatConvert, FloatMultiply
from hw.processes import scratch
from sim.simulators.verilator import Build, build

Block = FloatAdd | FloatConvert | FloatMultiply

OPERANDS: dict[str, int] = {"mul": 2, "add": 2, "convert": 1}
"""Number of operands by operation."""

LATENCY_CYCLES: dict[str, int] = {"mul": 2, "add": 4, "convert": 2}
"""Latency of a block that nobody asked another of, by operation."""


class _Streamed(wiring.Component):
    """Any block behind the same ports: 32-bit words and a valid bit that takes as many cycles as the block declares."""

    def __init__(self, block: Block) -> None:
        self._block = block
        super().__init__({"a": In(32), "b": In(32), "i_valid": In(1), "o": Out(32), "o_valid": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.block = block = self._block
        m.d.comb += [block.a.eq(self.a), self.o.eq(block.o)]
        if not isinstance(block, FloatConvert):
            m.d.comb += block.b.eq(self.b)
        valid = self.i_valid
        for cycle in range(block.latency_cycles):
            later = Signal(name=f"valid_{cycle}")
            m.d.sync += later.eq(valid)
            valid = later
        m.d.comb += self.o_valid.eq(valid)
        return m


def check_operation(op: str, source: FloatFormat, target: FloatFormat) -> None:
    """Raise `InputError` unless there is a block that performs `op` between these formats."""
    if op not in OPERANDS:
        raise InputError(f"unknown operation {op!r}; allowed: {', '.join(OPERANDS)}")
    for form in (source, target):
        if form.width > 32:
            raise InputError(f"{form.name} has {form.width} bits; at most 32 are allowed")
    if op == "add" and source != target:
        raise InputError(f"an addition has one format for operands and sum, not {source.name} and {target.name}")


def run_vectors(
    op: str, source: FloatFormat, target: FloatFormat, operands: NDArray[np.integer], *, latency_cycles: int | None = None
) -> NDArray[np.uint32]:
    """What the RTL makes of many operands, one a cycle.

    Parameters
    ----------
    op : str
        ``mul``, ``add`` or ``convert``.
    source, target : FloatFormat
        Format of operands and result, at most 32 bits wide; the same for ``add``.
    operands : array of shape (vectors, operands), unsigned, at least one vector
        Bits of the operands: two for ``mul`` and ``add``, one for ``convert``.
    latency_cycles : int, optional
        Latency of the block, at least 1; otherwise that of `LATENCY_CYCLES`.

    Returns
    -------
    array of shape (vectors,), uint32
        Bits of the results.

    Raises
    ------
    InputError
        If there is no such block, and as `sim.simulators.verilator.build` has it.
    """
    check_operation(op, source, target)
    if operands.ndim != 2 or not len(operands) or operands.shape[1] != OPERANDS[op]:
        raise InputError(f"operands of {op} must have the shape (1 or more, {OPERANDS[op]}), not {operands.shape}")
    simulator = _simulator(op, source, target, LATENCY_CYCLES[op] if latency_cycles is None else latency_cycles)
    pairs = np.zeros((len(operands), 2), dtype=">u4")
    pairs[:, : operands.shape[1]] = operands
    with scratch() as name:
        pairs.tofile(Path(name) / "operands.bin")
        simulator.run("sim.harness.run_until_done", work=Path(name), environment={})
        return np.fromfile(Path(name) / "results.bin", dtype="<u4").astype(np.uint32)


def _simulator(op: str, source: FloatFormat, target: FloatFormat, latency_cycles: int) -> Build:
    """The simulator of one block in its harness."""
    if latency_cycles < 1:
        raise InputError(f"latency_cycles must be at least 1, not {latency_cycles}")
    makers: dict[str, Callable[[], Block]] = {
        "mul": lambda: FloatMultiply(source, target, latency_cycles),
        "add": lambda: FloatAdd(source, latency_cycles),
        "convert": lambda: FloatConvert(source, target, latency_cycles),
    }
    block = _Streamed(makers[op]())
    sources = {
        "fp_block.v": verilog.convert(block, name="fp_block", strip_internal_attrs=True, emit_src=False),
        "fp_stream.sv": files("sim.harness").joinpath("fp_stream.sv").read_text(encoding="utf-8"),
    }
    return build(sources, "fp_stream", note=f"{op} {source.name} to {target.name}")
