"""VPU: scale and shift, round to binary16 and ReLU in one pass under random stalls, as NumPy does it."""

from pathlib import Path

import cocotb
import numpy as np

from hw.config import AcceleratorConfig
from hw.engines.vpu import FACTORS, PASS, RESULT
from hw.export.folder import export_block
from sim.kit import StreamChecker, StreamSink, StreamSource, at_random, reset
from sim.simulators.verilator import build

CONFIG = AcceleratorConfig(name="one", rows=1, columns=1, vpu_lanes=1)


@cocotb.test()
async def scales_shifts_and_clips(dut):
    value, scale, shift = np.random.default_rng(0).normal(size=(3, 50)).astype(np.float32)
    values = StreamSource(dut, "i", pause=at_random(0.3, seed=1))
    factors = StreamSource(dut, "i_factors", pause=at_random(0.3, seed=2))
    sink, checker = StreamSink(dut, "o", pause=at_random(0.3, seed=3)), StreamChecker(dut, "o")
    dut.steps.value = PASS.const({"scale": 1, "shift": 1, "narrow": 1, "relu": 1}).as_bits()
    await reset(dut)
    values.start(value.view(np.uint32).tolist())
    pairs = zip(scale.view(np.uint32), shift.view(np.uint32), strict=True)
    factors.start(FACTORS.const({"scale": a, "shift": b}).as_bits() for a, b in pairs)
    await sink.wait(50)
    narrow = (value * scale + shift).astype(np.float16)
    expected = zip(np.where(narrow > 0, narrow, 0).view(np.uint16), narrow > 0, strict=True)
    assert sink.words == [RESULT.const({"value": bits, "mask": int(on)}).as_bits() for bits, on in expected]
    assert checker.passed == 50


if __name__ == "__main__":
    build({"vpu.v": export_block(CONFIG, "vpu")[0]}, "vpu").run("vpu_bench", work=Path("out/vpu"), environment={})
