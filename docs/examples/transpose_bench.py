"""Transposition: blocks of 4 × 4 under random stalls, turned as NumPy turns them."""

from pathlib import Path

import cocotb
import numpy as np

from hw.config import AcceleratorConfig
from hw.export.folder import export_block
from sim.kit import StreamChecker, StreamSink, StreamSource, at_random, reset
from sim.simulators.verilator import build

CONFIG = AcceleratorConfig(name="one", rows=1, columns=1, max_group=4, sore_lanes=4)


def words(columns):
    """A stream word for each column of binary16, the first element lowest."""
    return [int.from_bytes(column.tobytes(), "little") for column in columns]


@cocotb.test()
async def turns_blocks(dut):
    blocks = np.random.default_rng(0).normal(size=(20, 4, 4)).astype("<f2")
    source = StreamSource(dut, "i", pause=at_random(0.3, seed=1))
    sink = StreamSink(dut, "o", pause=at_random(0.3, seed=2))
    checker = StreamChecker(dut, "o")
    await reset(dut)
    source.start(words(blocks.reshape(-1, 4)))
    await sink.wait(80)
    assert sink.words == words(blocks.transpose(0, 2, 1).reshape(-1, 4))
    assert checker.passed == 80


if __name__ == "__main__":
    simulator = build({"transpose.v": export_block(CONFIG, "transpose")[0]}, "transpose")
    simulator.run("transpose_bench", work=Path("out/transpose"), environment={})
