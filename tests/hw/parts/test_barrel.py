"""The barrel shifter against Python's shifts."""

import random

import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from hw.parts.barrel import turn_down


@pytest.mark.parametrize(("lanes", "lane_bits"), [(1, 8), (8, 16), (4, 3), (16, 1)])
def test_lanes_turn(lanes, lane_bits):
    m, bits = Module(), lanes * lane_bits
    value, places, down = Signal(bits), Signal((lanes - 1).bit_length()), Signal(bits)
    m.d.comb += down.eq(turn_down(m, value, places, lane_bits, "down"))
    draw = random.Random(0)

    async def bench(context):
        for number in range(lanes):
            word = draw.getrandbits(bits)
            context.set(value, word)
            context.set(places, number)
            await context.delay(1e-9)
            assert context.get(down) == (word >> number * lane_bits | word << (lanes - number) * lane_bits) % (1 << bits)

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
