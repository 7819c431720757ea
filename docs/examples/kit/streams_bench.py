"""cocotb tests of both examples: words in, words out, pauses on both sides."""

import cocotb

from hw.formats import BINARY16
from sim.kit import AXI_STREAM, OURS, StreamChecker, StreamSink, StreamSource, at_random, check_words, reset

WORDS = [0x3C00, 0xC500, 0x7BFF, 0x0400, 0x8001, *range(0x4000, 0x4040)]


async def through(dut, source, sink, names, expected):
    source = StreamSource(dut, source, names=names, pause=at_random(0.3, seed=1))
    checker = StreamChecker(dut, sink, names=names)
    sink = StreamSink(dut, sink, names=names, pause=at_random(0.3, seed=2))
    await reset(dut, names=names)
    source.start(WORDS)
    check_words(await sink.take(len(WORDS), limit_cycles=200), expected, BINARY16)
    assert checker.words == expected


@cocotb.test
async def halves(dut):
    await through(dut, "i", "o", OURS, [word - 0x400 if word & 0x7C00 > 0x400 else word & 0x8000 for word in WORDS])


@cocotb.test
async def keeps(dut):
    await through(dut, "s_axis", "m_axis", AXI_STREAM, WORDS)
