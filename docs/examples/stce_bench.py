"""STCE: a 2:4 product of one tile on 2 × 2 elements, every stream stalled at random, as NumPy has it."""

from pathlib import Path

import cocotb
import numpy as np

from hw.array.sequencer import tiles_layout
from hw.config import AcceleratorConfig
from hw.export.folder import export_block
from hw.parts.layouts import sums_layout, weights_layout
from hw.ratio import Ratio
from sim.kit import StreamChecker, StreamSink, StreamSource, at_random, reset
from sim.simulators.verilator import build
from training.exact import matmul_packed
from training.nm import pack

CONFIG = AcceleratorConfig(name="two", rows=2, columns=2, max_group=4, add_latency_cycles=1)


@cocotb.test()
async def multiplies_matrices(dut):
    rng, groups, kept = np.random.default_rng(0), 10, 20
    packed = pack(rng.normal(size=(2, 4 * groups)).astype(np.float16), Ratio(2, 4)).map(lambda array: array.reshape(2, kept))
    activations = rng.normal(size=(2, 4 * groups)).astype("<f2")
    names = ("i_tiles", "i_w2e", "i_n2s")
    tiles, w2e, n2s = (StreamSource(dut, name, pause=at_random(0.3, seed=seed)) for seed, name in enumerate(names))
    sink, checker = StreamSink(dut, "o", pause=at_random(0.3, seed=3)), StreamChecker(dut, "o")
    await reset(dut)
    shape = {"tiles": 1, "rounds": kept, "group_rounds": 2, "slot_rows": 1, "slot_columns": 1}
    tiles.start([tiles_layout(CONFIG).const(shape).as_bits()])
    rows = zip(packed.values.view(np.uint16).T, packed.indices.T, strict=True)  # a word for each kept element
    weights = ([{"value": v, "index": i} for v, i in zip(*row, strict=True)] for row in rows)
    w2e.start(weights_layout(CONFIG).const(word).as_bits() for word in weights)
    words = activations.reshape(2, groups, 4).swapaxes(0, 1)  # a word for each group
    n2s.start(int.from_bytes(word.tobytes(), "little") for word in words)
    await sink.wait(2)  # a word a column, the last one first
    sums = matmul_packed(packed.values, packed.indices, activations, Ratio(2, 4)).view(np.uint32)
    assert sink.words == [sums_layout(CONFIG).const(column).as_bits() for column in sums.T[::-1].tolist()]
    assert checker.passed == 2


if __name__ == "__main__":
    build({"stce.v": export_block(CONFIG, "stce")[0]}, "stce").run("stce_bench", work=Path("out/stce"), environment={})
