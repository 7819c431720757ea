"""The ranges of commands' fields as hardware has them: each field at both of its ends, and beyond."""

import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from hw.config import PRESETS
from hw.isa.bounds import ranges
from hw.isa.commands import COMMANDS, layout
from hw.parts.bounds import in_bounds


@pytest.mark.parametrize("config", [PRESETS["tiny"], PRESETS["vcu1525"]], ids=["tiny", "vcu1525"])
@pytest.mark.parametrize("kind", COMMANDS.values(), ids=lambda kind: kind.__name__)
def test_a_field_may_be_what_its_range_says_up_to_both_ends(config, kind):
    """Every other field stays where it may be: at the beginning of its range, or at 0."""
    words, allowed = layout(kind), ranges(config, kind)
    good = {field.name: (allowed[field.name] or (0, 0))[0] for field in words}

    def number(values):
        whole = place = 0
        for field in words:
            whole |= (values[field.name] & (1 << field.bits) - 1) << place
            place += field.bits
        return whole

    cases = [(number(good), True, "")]
    for field in words:
        low, high = (-(1 << field.bits - 1), (1 << field.bits - 1) - 1) if field.signed else (0, (1 << field.bits) - 1)
        least, most = allowed[field.name] or (low, high)
        for value in {low, least - 1, least, (least + most) // 2, most, most + 1, high}:
            if low <= value <= high:
                cases.append((number(good | {field.name: value}), least <= value <= most, f"{field.name} {value}"))
    m, body, fits = Module(), Signal(max(1, sum(field.bits for field in words))), Signal()
    m.d.comb += fits.eq(in_bounds(config, kind, body))

    async def bench(ctx):
        for given, due, said in cases:
            ctx.set(body, given)
            assert ctx.get(fits) == due, said

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
