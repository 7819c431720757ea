"""USPE: the sums of a 2:4 product in its interleave slots, with a clock enable that is low at random."""

from pathlib import Path

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge

from hw.config import AcceleratorConfig
from hw.export.folder import export_block
from hw.formats import BINARY16
from hw.ratio import Ratio
from sim.kit import at_random, reset
from sim.rtl.forms import to_number, to_operands
from sim.simulators.verilator import build
from training.exact import matmul_packed
from training.nm import pack

CONFIG = AcceleratorConfig(name="one", rows=1, columns=1, max_group=4)


@cocotb.test()
async def accumulates(dut):
    slots, groups, rng = CONFIG.interleave_slots, 10, np.random.default_rng(0)
    packed = pack(rng.normal(size=(slots, 4 * groups)).astype(np.float16), Ratio(2, 4)).map(
        lambda kept: kept.reshape(slots, -1)
    )
    activations = rng.normal(size=(1, 4 * groups)).astype(np.float16)
    weights, operands = (to_operands(BINARY16, numbers) for numbers in (packed.values, activations.reshape(groups, 4)))
    await reset(dut)
    pause, drain, idle = at_random(0.3, seed=1), [], [-1] * CONFIG.uspe_latency_cycles
    for kept in [*np.repeat(np.arange(2 * groups), slots), *idle]:  # a step for each slot, then those that bring the sums out
        while next(pause):
            dut.west__en.value = 0
            await FallingEdge(dut.clk)
        dut.west__en.value, dut.west__first.value, dut.west__last.value = 1, int(kept == 0), int(kept == 2 * groups - 1)
        dut.west__weight.value = int(weights[len(drain) % slots, kept])
        dut.west__index.value = int(packed.indices[len(drain) % slots, kept])
        dut.north.value = sum(int(operand) << 17 * at for at, operand in enumerate(operands[kept // 2]))
        await FallingEdge(dut.clk)
        drain.append(to_number(BINARY16, int(dut.east__drain.value)))
    sums = matmul_packed(packed.values, packed.indices, activations, Ratio(2, 4))
    assert drain[-slots:] == sums.flatten().tolist()


if __name__ == "__main__":
    build({"uspe.v": export_block(CONFIG, "uspe")[0]}, "uspe").run("uspe_bench", work=Path("out/uspe"), environment={})
