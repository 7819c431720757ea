"""The cocotb test of two configurations in one design: each turns blocks of its own size."""

from random import Random

import cocotb

from sim.kit import StreamSink, StreamSource, at_random, check_words, reset

SIZES = {"four": 4, "two": 2}
"""Rows and columns of a block, and lanes, by the prefix of the streams."""
WIDTH, BLOCKS = 16, 6


def word(elements):
    return sum(element << WIDTH * place for place, element in enumerate(elements))


@cocotb.test
async def each_turns_its_blocks(dut):
    random, waited = Random(0), []
    sources = {name: StreamSource(dut, f"{name}_i", pause=at_random(0.3, seed=1)) for name in SIZES}
    sinks = {name: StreamSink(dut, f"{name}_o", pause=at_random(0.3, seed=2)) for name in SIZES}
    await reset(dut)
    for name, size in SIZES.items():
        blocks = [[[random.randrange(1 << WIDTH) for _ in range(size)] for _ in range(size)] for _ in range(BLOCKS)]
        sources[name].start([word(column) for block in blocks for column in block])
        waited.append((sinks[name], [word(row) for block in blocks for row in zip(*block, strict=True)]))
    for sink, due in waited:
        check_words(await sink.take(len(due)), due)
