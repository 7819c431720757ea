"""Barrel shifters against Python's shifts."""

import random

import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from hw.barrel import move_down, move_up


@pytest.mark.parametrize(("lanes", "lane_bits", "places_bits"), [(1, 8, 1), (8, 16, 3), (5, 3, 3), (16, 1, 4), (3, 32, 4)])
def test_lanes_move_as_bits_do(lanes, lane_bits, places_bits):
    m, bits = Module(), lanes * lane_bits
    value, places, up, down = Signal(bits), Signal(places_bits), Signal(bits), Signal(bits)
    m.d.comb += [up.eq(move_up(m, value, places, lane_bits, "up")), down.eq(move_down(m, value, places, lane_bits, "down"))]
    draw = random.Random(0)

    async def bench(context):
        for number in range(1 << places_bits):
            word = draw.getrandbits(bits)
            context.set(value, word)
            context.set(places, number)
            await context.delay(1e-9)
            assert context.get(up) == (word << number * lane_bits) % (1 << bits)
            assert context.get(down) == word >> number * lane_bits

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
