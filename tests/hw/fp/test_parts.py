"""What the blocks are made of."""

import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from hw.errors import InputError
from hw.fp.leading_zeros import count_leading_zeros
from hw.fp.pipeline import check_latency, spread_registers
from hw.fp.shift import shift_right_sticky


def evaluate(build, inputs, cases):
    """Yield the inputs and the outputs of combinational logic."""
    m = Module()
    outputs = build(m)
    seen = []

    async def bench(context):
        for case in cases:
            for signal, value in zip(inputs, case, strict=True):
                context.set(signal, value)
            seen.append((case, [context.get(output) for output in outputs]))

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
    return seen


@pytest.mark.parametrize("width", range(2, 10))
def test_leading_zeros(width):
    value = Signal(width)
    cases = [(number,) for number in range(1 << width)]
    for (number,), (zeros, is_zero) in evaluate(lambda m: count_leading_zeros(m, value), [value], cases):
        assert is_zero == (number == 0)
        assert number == 0 or zeros == width - number.bit_length()


@pytest.mark.parametrize("amount_bits", [1, 3, 5])
@pytest.mark.parametrize("width", [1, 4, 7])
def test_shift_right_sticky(width, amount_bits):
    value, amount = Signal(width), Signal(amount_bits)
    cases = [(number, places) for number in range(1 << width) for places in range(1 << amount_bits)]
    for (number, places), (shifted,) in evaluate(lambda m: [shift_right_sticky(m, value, amount)], [value, amount], cases):
        lost = number & ((1 << places) - 1)
        assert shifted == (number >> places) << 1 | (lost != 0)


@pytest.mark.parametrize("latency_cycles", range(12))
def test_registers_are_all_placed_and_the_last_is_at_the_output(latency_cycles):
    registers = spread_registers([2, 1, 2, 1.5, 2.5, 2, 1.5], latency_cycles)
    assert sum(registers) == latency_cycles
    assert (registers[-1] > 0) == (latency_cycles > 0)


def test_stages_are_balanced():
    # Ends 2, 3, 5, 6.5, 9, 11, 12.5 and aims 3.1, 6.25, 9.4, 12.5: stages of 3, 3.5, 2.5 and 3.5.
    assert spread_registers([2, 1, 2, 1.5, 2.5, 2, 1.5], 4) == [0, 1, 0, 1, 1, 0, 1]


def test_negative_latency_is_refused():
    with pytest.raises(InputError, match="latency_cycles must be at least 0, not -1"):
        check_latency(-1)
