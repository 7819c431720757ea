"""WUVE: weights, velocities and gradients under random stalls, updated as NumPy updates them."""

from pathlib import Path

import cocotb
import numpy as np

from hw.config import AcceleratorConfig
from hw.engines.wuve import MASTER, RATES, updated_layout
from hw.export.folder import export_block
from sim.kit import StreamChecker, StreamSink, StreamSource, at_random, reset
from sim.simulators.verilator import build

CONFIG = AcceleratorConfig(name="one", rows=1, columns=1, wuve_lanes=1)


@cocotb.test()
async def updates_masters(dut):
    weight, velocity, gradient = np.random.default_rng(0).normal(size=(3, 50)).astype(np.float32)
    decay, momentum, rate = np.float32([5e-4, 0.9, 0.1])
    masters = StreamSource(dut, "i_master", pause=at_random(0.3, seed=1))
    gradients = StreamSource(dut, "i_gradient", pause=at_random(0.3, seed=2))
    sink, checker = StreamSink(dut, "o", pause=at_random(0.3, seed=3)), StreamChecker(dut, "o")
    rates = {"weight_decay": decay, "momentum": momentum, "learning_rate": rate}
    dut.rates.value = RATES.const({"unscale": -3} | {name: value.view(np.uint32) for name, value in rates.items()}).as_bits()
    await reset(dut)
    pairs = zip(weight.view(np.uint32), velocity.view(np.uint32), strict=True)
    masters.start(MASTER.const({"weight": w, "velocity": v}).as_bits() for w, v in pairs)
    gradients.start(gradient.view(np.uint32).tolist())
    await sink.wait(50)
    velocity = momentum * velocity + (gradient * np.float32(2**-3) + decay * weight)
    weight = weight - rate * velocity
    words = [updated_layout(CONFIG).from_bits(word) for word in sink.words]
    for name, array in {"weight": weight, "velocity": velocity, "copy": weight.astype(np.float16)}.items():
        assert [word[name] for word in words] == array.view(f"u{array.itemsize}").tolist()
    assert checker.passed == 50


if __name__ == "__main__":
    build({"wuve.v": export_block(CONFIG, "wuve")[0]}, "wuve").run("wuve_bench", work=Path("out/wuve"), environment={})
