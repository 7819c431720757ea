"""Function unit: Φ of random numbers under random stalls, by the bits of NumPy and within 2**-12 of the true function."""

from pathlib import Path

import cocotb
import numpy as np
from scipy.special import erfc

from hw.config import AcceleratorConfig
from hw.export.folder import export_block
from hw.isa.functions import Function
from sim.kit import StreamChecker, StreamSink, StreamSource, at_random, reset
from sim.simulators.verilator import build
from training.functions import apply

CONFIG = AcceleratorConfig(name="one", rows=1, columns=1, vpu_lanes=1)


@cocotb.test()
async def gives_the_normal_distribution(dut):
    values = np.random.default_rng(0).normal(size=50).astype(np.float32)
    source = StreamSource(dut, "i", pause=at_random(0.3, seed=1))
    sink, checker = StreamSink(dut, "o", pause=at_random(0.3, seed=2)), StreamChecker(dut, "o")
    dut.function.value = Function.NORMAL
    await reset(dut)
    source.start(values.view(np.uint32).tolist())
    await sink.wait(50)
    assert sink.words == apply(Function.NORMAL, values).view(np.uint32).tolist()
    found = np.array(sink.words, np.uint32).view(np.float32)
    assert np.allclose(found, erfc(-values.astype(float) / np.sqrt(2)) / 2, rtol=2**-12)
    assert checker.passed == 50


if __name__ == "__main__":
    build({"functions.v": export_block(CONFIG, "functions")[0]}, "functions").run(
        "functions_bench", work=Path("out/functions"), environment={}
    )
