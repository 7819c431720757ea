"""Pre-generation: blocks of weights updated and packed 1:2 along both axes in one pass, as NumPy packs them."""

from pathlib import Path

import cocotb
import numpy as np
from amaranth.lib.data import ArrayLayout

from hw.config import AcceleratorConfig
from hw.engines.pregenerate import ratio_layout
from hw.engines.sore import packed_layout
from hw.engines.wuve import MASTER, RATES
from hw.export.folder import export_block
from hw.ratio import Ratio
from sim.kit import StreamChecker, StreamSink, StreamSource, at_random, reset
from sim.simulators.verilator import build
from training.nm import pack

CONFIG = AcceleratorConfig(name="two", rows=1, columns=1, max_group=2, sore_lanes=2, wuve_lanes=2, add_latency_cycles=1)


def packed_words(copy):
    """What leaves for groups along the last axis of (blocks, lanes, 2): a word a block, an element a lane."""
    packed = pack(copy, Ratio(1, 2))
    lanes = np.stack([packed.values.view(np.uint16), packed.indices], axis=-1).reshape(len(copy), 2, 2).tolist()
    word = packed_layout(CONFIG)
    return [word.const([{"value": value, "index": index} for value, index in block]).as_bits() for block in lanes]


@cocotb.test()
async def packs_both_copies(dut):
    weight, gradient = np.random.default_rng(0).normal(size=(2, 30, 2, 2)).astype(np.float32)  # block, output, input channel
    names = ("i_master", "i_gradient", "o_forward", "o_backward", "o_master")
    masters, gradients = (StreamSource(dut, name, pause=at_random(0.3, seed=seed)) for seed, name in enumerate(names[:2]))
    forward, backward, _ = (StreamSink(dut, name, pause=at_random(0.3, seed=seed)) for seed, name in enumerate(names[2:], 2))
    checkers = [StreamChecker(dut, name) for name in names[2:]]
    dut.rates.value = RATES.const({"learning_rate": np.float32(0.1).view(np.uint32)}).as_bits()
    dut.ratio.value = ratio_layout(CONFIG).const({"n": 1, "m": 2}).as_bits()
    await reset(dut)
    word = ArrayLayout(MASTER, 2)
    columns = weight.swapaxes(1, 2).reshape(-1, 2).view(np.uint32).tolist()  # lanes are output channels
    masters.start(word.const([{"weight": lane} for lane in column]).as_bits() for column in columns)
    gradients.start(int.from_bytes(column.tobytes(), "little") for column in gradient.swapaxes(1, 2).reshape(-1, 2))
    await backward.wait(30)
    copy = (weight - np.float32(0.1) * gradient).astype(np.float16)
    assert forward.words == packed_words(copy)
    assert backward.words == packed_words(copy.swapaxes(1, 2))
    assert [checker.passed for checker in checkers] == [30, 30, 60]


if __name__ == "__main__":
    simulator = build({"pregenerate.v": export_block(CONFIG, "pregenerate")[0]}, "pregenerate")
    simulator.run("pregenerate_bench", work=Path("out/pregenerate"), environment={})
