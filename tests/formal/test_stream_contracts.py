"""Joining, forking and pipelines: for all time, by induction. Planted faults are found."""

import pytest
from amaranth.hdl import Assert, Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from contracts import anything, delayed, follow, never_longer, offer, passes, take

from hw.parts.delay_line import delay
from hw.parts.streams import Fork, advance, join
from sim.formal import ProofError, prove

WIDTH = 2


class Pipeline(wiring.Component):
    """Two streams joined; what they bring goes through registers, as in the vector engines."""

    def __init__(self, latency_cycles):
        self.latency_cycles = latency_cycles
        word = stream.Signature(WIDTH)
        super().__init__({"i_a": In(word), "i_b": In(word), "o": Out(stream.Signature(2 * WIDTH))})

    def elaborate(self, platform):
        m = Module()
        en = Signal()
        valid = self.join(m, en)
        m.d.comb += en.eq(self.advance(m, valid))
        m.d.comb += self.o.payload.eq(delay(m, en, Cat(self.i_a.payload, self.i_b.payload), self.latency_cycles, "data"))
        return m

    def join(self, m, en):
        return join(m, {self.i_a: Const(1), self.i_b: Const(1)}, en)

    def advance(self, m, valid):
        return advance(m, valid, self.o, self.latency_cycles)


class DropsUnderBackPressure(Pipeline):
    """The pipeline moves on although its last word was not taken."""

    def advance(self, m, valid):
        super().advance(m, valid)
        return Const(1)


class LosesWhileItStands(Pipeline):
    """Words are taken while the pipeline stands."""

    def join(self, m, en):
        super().join(m, Const(1))
        return self.i_a.valid & self.i_b.valid


class TakesOneWithoutTheOther(Pipeline):
    """Each input is taken as it comes."""

    def join(self, m, en):
        m.d.comb += [self.i_a.ready.eq(en), self.i_b.ready.eq(en)]
        return self.i_a.valid


def pipeline(dut):
    """The contract from the start: every word is followed, and none waits for ever."""

    def build(m):
        m.submodules.dut = dut
        offer(m, dut.i_a, "a")
        offer(m, dut.i_b, "b")
        take(m, dut.o, "o")
        joined = stream.Signature(2 * WIDTH).create()
        m.d.comb += [
            joined.payload.eq(Cat(dut.i_a.payload, dut.i_b.payload)),
            joined.valid.eq(passes(dut.i_a)),
            joined.ready.eq(1),
            Assert(passes(dut.i_a) == passes(dut.i_b)),
        ]
        inside = follow(m, joined, dut.o, dut.latency_cycles)
        never_longer(m, (inside != 0) & ~dut.o.valid, dut.latency_cycles - 1)
        never_longer(m, dut.i_a.valid & dut.i_b.valid & dut.o.ready & ~passes(dut.i_a), 0)

    return build


def exact_pipeline(dut):
    """The same to the cycle, whatever the inputs do."""

    def build(m):
        m.submodules.dut = dut
        anything(m, dut.i_a)
        anything(m, dut.i_b)
        take(m, dut.o, "o")
        m.d.comb += Assert(passes(dut.i_a) == passes(dut.i_b))
        delayed(m, passes(dut.i_a), Cat(dut.i_a.payload, dut.i_b.payload), dut.o, dut.latency_cycles)

    return build


def fork(dut):
    """Each output takes each word once, and the input goes on when all have it."""

    def build(m):
        m.submodules.dut = dut
        offer(m, dut.i, "i")
        outputs = [getattr(dut, f"o_{number}") for number in range(dut.outputs)]
        had = Signal(len(outputs))
        for number, port in enumerate(outputs):
            take(m, port, f"o_{number}")
            m.d.comb += [
                Assert(port.valid == dut.i.valid & ~had[number]),
                Assert(~port.valid | (port.payload == dut.i.payload)),
            ]
        have = had | Cat(passes(port) for port in outputs)
        m.d.comb += Assert(passes(dut.i) == have.all())
        m.d.sync += had.eq(have & ~have.all().replicate(len(outputs)))

    return build


class OffersAgain(Fork):
    """An output that has the word is offered it until all have it."""

    def elaborate(self, platform):
        m = Module()
        outputs = [getattr(self, f"o_{number}") for number in range(self.outputs)]
        for port in outputs:
            m.d.comb += [port.payload.eq(self.i.payload), port.valid.eq(self.i.valid)]
        m.d.comb += self.i.ready.eq(Cat(port.ready for port in outputs).all())
        return m


@pytest.mark.parametrize("latency_cycles", [1, 3])
def test_a_pipeline_of_joined_streams(latency_cycles, deeper):
    prove(pipeline(Pipeline(latency_cycles)), deeper(10))
    prove(exact_pipeline(Pipeline(latency_cycles)), 2 * latency_cycles + 2, unbounded=True)


@pytest.mark.parametrize("fault", [DropsUnderBackPressure, LosesWhileItStands, TakesOneWithoutTheOther])
@pytest.mark.parametrize("contract", [pipeline, exact_pipeline])
def test_a_faulty_pipeline_is_found(fault, contract):
    with pytest.raises(ProofError, match="the property is violated"):
        prove(contract(fault(2)), 10)


@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_a_fork(outputs):
    prove(fork(Fork(WIDTH, outputs)), 4, unbounded=True)


def test_a_faulty_fork_is_found():
    with pytest.raises(ProofError, match="the property is violated") as found:
        prove(fork(OffersAgain(WIDTH, 2)), 4)
    # The shortest way: one output takes the word, and is offered it again in the next cycle.
    signals = found.value.counterexample.signals
    assert signals["dut.i__valid"] == [1, 1]
    assert sorted((signals["dut.o_0__ready"][0], signals["dut.o_1__ready"][0])) == [0, 1]
