"""Reduction unit: sums of two channels over fifty pixels under random stalls, as NumPy adds them in the same order."""

from pathlib import Path

import cocotb
import numpy as np

from hw.config import AcceleratorConfig
from hw.engines.reductions import PARTIAL, sizes_layout
from hw.export.folder import export_block
from sim.kit import StreamChecker, StreamSink, StreamSource, at_random, reset
from sim.simulators.verilator import build
from training.reductions import sum_terms

CONFIG = AcceleratorConfig(name="one", rows=1, columns=1, vpu_lanes=1)


@cocotb.test()
async def sums_channels(dut):
    terms = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    source = StreamSource(dut, "i", pause=at_random(0.3, seed=1))
    sink, checker = StreamSink(dut, "o", pause=at_random(0.3, seed=2)), StreamChecker(dut, "o")
    dut.sizes.value = sizes_layout(CONFIG).const({"largest": 0, "groups": 2, "terms": 50}).as_bits()
    await reset(dut)
    source.start(terms.view(np.uint32).ravel().tolist())
    await sink.wait(2)
    sums = [PARTIAL.from_bits(word).value for word in sink.words]
    assert sums == sum_terms(terms).view(np.uint32).tolist()
    assert checker.passed == 2


if __name__ == "__main__":
    build({"reductions.v": export_block(CONFIG, "reductions")[0]}, "reductions").run(
        "reductions_bench", work=Path("out/reductions"), environment={}
    )
