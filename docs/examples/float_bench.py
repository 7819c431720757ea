"""Floating point: products and sums of random numbers, with a clock enable that is low at random."""

from pathlib import Path

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge

from hw.export.folder import to_verilog
from hw.formats import BINARY16, BINARY32
from hw.fp import FloatAdd, FloatMultiply
from sim.kit import at_random, reset
from sim.simulators.verilator import build

LATENCY_CYCLES = 2


async def results(dut, a, b):
    """What the block makes of two arrays of bits, a pair in each enabled cycle."""
    await reset(dut)
    pause, found = at_random(0.3, seed=1), []
    for left, right in [*zip(a.tolist(), b.tolist(), strict=True), *[(0, 0)] * LATENCY_CYCLES]:
        while next(pause):
            dut.en.value = 0
            await FallingEdge(dut.clk)
        dut.en.value, dut.a.value, dut.b.value = 1, left, right
        await FallingEdge(dut.clk)
        found.append(int(dut.o.value))
    return found[LATENCY_CYCLES - 1 : -1]


@cocotb.test()
async def multiplies(dut):
    a, b = np.random.default_rng(0).normal(size=(2, 200)).astype(np.float16)
    products = a.astype(np.float32) * b.astype(np.float32)
    assert await results(dut, a.view(np.uint16), b.view(np.uint16)) == products.view(np.uint32).tolist()


@cocotb.test()
async def adds(dut):
    a, b = np.random.default_rng(0).normal(size=(2, 200)).astype(np.float32)
    assert await results(dut, a.view(np.uint32), b.view(np.uint32)) == (a + b).view(np.uint32).tolist()


if __name__ == "__main__":
    blocks = {"multiplies": FloatMultiply(BINARY16, BINARY32, LATENCY_CYCLES), "adds": FloatAdd(BINARY32, LATENCY_CYCLES)}
    for testcase, block in blocks.items():
        simulator = build({"block.v": to_verilog(block, "block")}, "block")
        simulator.run("float_bench", work=Path("out/float", testcase), environment={}, testcase=testcase)
