"""The cocotb tests of `test_kit`: a product on the engine, driven word by word."""

import os

import cocotb
import numpy as np

from hw.config import AcceleratorConfig
from hw.ratio import Ratio
from sim.kit import StreamChecker, StreamSink, StreamSource, at_random, reset
from sim.rtl.gemm import Gemm, reference
from sim.rtl.player import play

CONFIG = AcceleratorConfig(name="kit", rows=2, columns=2, max_group=8)


def integers(words):
    return [int.from_bytes(bytes(word), "big") for word in words]


@cocotb.test
async def product(dut):
    stall = float(os.environ["STALL"])
    one = play(CONFIG, Gemm(config=CONFIG, m=5, n=6, k=21, ratio=Ratio(2, 8)).operands())
    names = ("i_tiles", "i_w2e", "i_n2s")
    sources = [StreamSource(dut, name, pause=at_random(stall, seed=seed)) for seed, name in enumerate(names)]
    sink, checker = StreamSink(dut, "o", pause=at_random(stall, seed=9)), StreamChecker(dut, "o")
    await reset(dut)
    words = [[int.from_bytes(one.command(), "big")], integers(one.weight_words()), integers(one.group_words())]
    for source, items in zip(sources, words, strict=True):
        source.start(items)
    await sink.wait(one.words)

    sums = np.array([[word >> 32 * row & 0xFFFFFFFF for row in range(CONFIG.rows)] for word in sink.words], np.uint32)
    np.testing.assert_array_equal(one.result(sums).view(np.uint32), reference(CONFIG, one.operands).view(np.uint32))
    assert checker.passed == one.words


@cocotb.test
async def broken_contract(dut):
    """The checker sees a word that is taken back."""
    await reset(dut)
    checker = StreamChecker(dut, "i_w2e")
    dut.i_w2e__payload.value, dut.i_w2e__valid.value = 5, 1
    await cocotb.triggers.ClockCycles(dut.clk, 2)
    dut.i_w2e__valid.value = 0
    await cocotb.triggers.ClockCycles(dut.clk, 2)
    assert checker.passed == 0
