"""SORE: random groups under random stalls, packed as NumPy packs them."""

from pathlib import Path

import cocotb
import numpy as np

from hw.config import AcceleratorConfig
from hw.engines.sore import elements_layout, packed_layout
from hw.export.folder import export_block
from hw.ratio import Ratio
from sim.kit import StreamChecker, StreamSink, StreamSource, at_random, reset
from sim.simulators.verilator import build
from training.nm import pack

CONFIG = AcceleratorConfig(name="one", rows=1, columns=1, max_group=4, sore_lanes=1)


@cocotb.test()
async def keeps_the_largest(dut):
    weights = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float16)  # 50 groups of 4
    source = StreamSource(dut, "i", pause=at_random(0.3, seed=1))
    sink = StreamSink(dut, "o", pause=at_random(0.3, seed=2))
    checker = StreamChecker(dut, "o")  # a word on offer holds until it is taken
    await reset(dut)
    words, kept = elements_layout(CONFIG), packed_layout(CONFIG)
    source.start(words.const({"values": [bits], "n": 2, "m": 4}).as_bits() for bits in weights.view(np.uint16).flat)
    await sink.wait(100)
    packed = pack(weights, Ratio(2, 4))
    expected = zip(packed.values.view(np.uint16).flat, packed.indices.flat, strict=True)
    assert sink.words == [kept.const([{"value": value, "index": index}]).as_bits() for value, index in expected]
    assert checker.passed == 100


if __name__ == "__main__":
    build({"sore.v": export_block(CONFIG, "sore")[0]}, "sore").run("sore_bench", work=Path("out/sore"), environment={})
