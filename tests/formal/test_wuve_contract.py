"""Update and pre-generation: control, with lanes that hand on what they are given in place of arithmetic."""

import pytest
from amaranth.asserts import AnyConst, AnySeq
from amaranth.hdl import Assert, Assume, Cat, Module, Mux, Signal
from amaranth.lib import stream
from contracts import anything, delayed, follow, never_longer, offer, passes, take
from stand_ins import StandIns

from hw.config import AcceleratorConfig
from hw.engines.pregenerate import Pregenerate
from hw.engines.wuve import WUVE, WuveLane
from hw.parts.delay_line import delay
from hw.parts.streams import Fork
from sim.formal import ProofError, prove

GROUP = 2
CONFIG = AcceleratorConfig(
    name="formal",
    rows=1,
    columns=1,
    add_latency_cycles=1,
    max_group=GROUP,
    wuve_lanes=2,
    sore_lanes=2,
    storage="float8_e4m3",
)
ONE_LANE = AcceleratorConfig(name="formal", rows=1, columns=1, add_latency_cycles=1, wuve_lanes=1, storage="float8_e4m3")
COPY_BITS = CONFIG.storage_format.width


class QuickLane(WuveLane):
    """Hands on weight, gradient and the gradient's low bits, `latency_cycles` later."""

    def __init__(self, config, latency_cycles):
        super().__init__(config)
        self.latency_cycles = latency_cycles

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(delay(m, self.en, handed_on(self.master, self.gradient), self.latency_cycles, "data"))
        return m


def handed_on(master, gradient):
    """An update by `QuickLane`."""
    return Cat(master.weight, gradient, gradient[:COPY_BITS])


class QuickWuve(WUVE):
    """An engine that is faster than its configuration says: so many cycles of a proof then see more of it."""

    def __init__(self, config, latency_cycles):
        super().__init__(config)
        self.latency_cycles = latency_cycles


def quick(config, latency_cycles):
    """The platform that has both."""
    return StandIns(wuve=lambda: QuickWuve(config, latency_cycles), wuve_lane=lambda: QuickLane(config, latency_cycles))


def update(dut):
    """A word of each input makes one of the output, so many cycles later; a wild gradient is noticed when it is taken."""

    def build(m):
        m.submodules.dut = dut
        anything(m, dut.i_master)
        anything(m, dut.i_gradient)
        take(m, dut.o, "o")
        gradient = dut.i_gradient.payload[0]
        overflow, taken = Signal(), passes(dut.i_master)
        m.d.comb += [
            dut.clear.eq(AnySeq(1)),
            Assert(taken == passes(dut.i_gradient)),
            Assert(dut.overflow == overflow),
        ]
        m.d.sync += overflow.eq(taken & gradient[23:31].all() | overflow & ~dut.clear)
        delayed(m, taken, handed_on(dut.i_master.payload[0], gradient), dut.o, dut.latency_cycles)

    return build


def pregeneration(dut):
    """Masters and both copies: what is due leaves, in order, nothing else does, and nothing waits for ever."""

    def build(m):
        m.submodules.dut = dut
        offer(m, dut.i_master, "i_master")
        offer(m, dut.i_gradient, "i_gradient")
        outputs = dut.o_master, dut.o_forward, dut.o_backward
        for port, name in zip(outputs, ("o_master", "o_forward", "o_backward"), strict=True):
            take(m, port, name)
        m.d.comb += [dut.ratio.n.eq(AnyConst(2)), dut.ratio.m.eq(GROUP), Assume((dut.ratio.n != 0) & (dut.ratio.n <= GROUP))]
        masters = stream.Signature(len(dut.o_master.payload.as_value())).create()
        pairs = zip(dut.i_master.payload, dut.i_gradient.payload, strict=True)
        m.d.comb += [
            masters.payload.eq(Cat(handed_on(*pair) for pair in pairs)),
            masters.valid.eq(passes(dut.i_master)),
            masters.ready.eq(1),
            Assert(passes(dut.i_master) == passes(dut.i_gradient)),
        ]
        follow(m, masters, dut.o_master, 1)

        words = Signal()  # of a block, which is also a group
        ends = passes(dut.i_master) & words
        m.d.sync += words.eq(words ^ passes(dut.i_master))
        everywhere = Cat(port.ready for port in outputs).all()
        for port, limit in ((dut.o_forward, 1), (dut.o_backward, 3)):
            due = Signal(range(16))
            m.d.sync += due.eq(due - passes(port) + Mux(ends, dut.ratio.n, 0))
            m.d.comb += Assert(~port.valid | (due != 0))
            never_longer(m, everywhere & (due != 0) & ~port.valid, limit)
        never_longer(m, everywhere & dut.i_master.valid & dut.i_gradient.valid & ~passes(dut.i_master), 2)

    return build


class LeavesEarly(Fork):
    """The input goes on when the first of the outputs has the word."""

    def elaborate(self, platform):
        m = Module()
        for number in range(self.outputs):
            port = getattr(self, f"o_{number}")
            m.d.comb += [port.payload.eq(self.i.payload), port.valid.eq(self.i.valid)]
        m.d.comb += self.i.ready.eq(self.o_0.ready)
        return m


def test_update():
    dut = WUVE(ONE_LANE)
    prove(update(dut), dut.latency_cycles + 4, platform=quick(ONE_LANE, dut.latency_cycles))


def test_update_for_all_time():
    prove(update(QuickWuve(ONE_LANE, 2)), 8, unbounded=True, platform=quick(ONE_LANE, 2))


def test_a_lane_of_another_latency_is_found():
    with pytest.raises(ProofError, match="the property is violated"):
        prove(update(QuickWuve(ONE_LANE, 2)), 8, platform=quick(ONE_LANE, 3))


def test_pregeneration(deeper):
    prove(pregeneration(Pregenerate(CONFIG)), deeper(12), platform=quick(CONFIG, 1))


def test_a_faulty_fork_is_found():
    faulty = quick(CONFIG, 1)
    faulty.stand_ins["stream_fork"] = lambda: LeavesEarly(2 * (2 * 32 + COPY_BITS), outputs=3)
    with pytest.raises(ProofError, match="the property is violated"):
        prove(pregeneration(Pregenerate(CONFIG)), 12, platform=faulty)
