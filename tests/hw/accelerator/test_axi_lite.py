"""The AXI4-Lite slave under skew and back-pressure: each write and each read is done once, in order, with its own data."""

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator

from hw.accelerator.axi_lite import AxiLite

WORDS, COUNT = 8, 40


async def offer(ctx, dut, channel, waits, **payload):
    """Hold a word of a channel, after some cycles, until it is taken."""
    for _ in range(waits):
        await ctx.tick()
    for name, value in payload.items():
        ctx.set(getattr(dut, f"s_axi_{name}"), value)
    ctx.set(getattr(dut, f"s_axi_{channel}valid"), 1)
    await ctx.tick().until(getattr(dut, f"s_axi_{channel}ready"))
    for name in (*payload, f"{channel}valid"):
        ctx.set(getattr(dut, f"s_axi_{name}"), 0)


@pytest.mark.parametrize("seed", range(4))
def test_writes_and_reads(seed):
    rng, top = np.random.default_rng(seed), Module()
    top.submodules.dut = dut = AxiLite()
    top.d.comb += dut.read_data.eq(100 + dut.read_word)
    writes = [(int(rng.integers(WORDS)), int(rng.integers(1 << 32)), int(rng.integers(16))) for _ in range(COUNT)]
    asked = [int(rng.integers(WORDS)) for _ in range(COUNT)]
    waits = {channel: rng.integers(0, 5, COUNT).tolist() for channel in ("aw", "w", "ar")}
    written, answered, read = [], [], []

    async def addresses(ctx):
        for (word, _, _), cycles in zip(writes, waits["aw"], strict=True):
            await offer(ctx, dut, "aw", cycles, awaddr=4 * word + 1)

    async def values(ctx):
        for (_, value, strobes), cycles in zip(writes, waits["w"], strict=True):
            await offer(ctx, dut, "w", cycles, wdata=value, wstrb=strobes)

    async def reads(ctx):
        for word, cycles in zip(asked, waits["ar"], strict=True):
            await offer(ctx, dut, "ar", cycles, araddr=4 * word)

    async def host(ctx):
        while True:
            ctx.set(dut.s_axi_bready, int(rng.random() < 0.5))
            ctx.set(dut.s_axi_rready, int(rng.random() < 0.5))
            await ctx.tick()

    async def watch(ctx):
        writing = (dut.write, dut.write_word, dut.write_data, dut.strobes)
        answers = (dut.s_axi_bvalid & dut.s_axi_bready, dut.s_axi_bresp, dut.s_axi_rvalid & dut.s_axi_rready)
        async for _, _, *seen in ctx.tick().sample(*writing, *answers, dut.s_axi_rdata, dut.s_axi_rresp):
            now, *word, answer, status, given, value, told = seen
            if answer:
                answered.append((len(written), status))
            if now:
                written.append(tuple(word))
            if given:
                read.append((value, told))

    simulator = Simulator(top)
    simulator.add_clock(1e-9)
    for process in (addresses, values, reads):
        simulator.add_testbench(process)
    for process in (host, watch):
        simulator.add_testbench(process, background=True)
    simulator.run_until(1e-9 * 20 * COUNT)
    assert written == writes
    assert answered == [(number, 0) for number in range(1, COUNT + 1)]  # after its write, before the next one
    assert read == [(100 + word, 0) for word in asked]
