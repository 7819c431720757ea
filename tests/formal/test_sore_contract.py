"""The reduction engine keeps the N largest of M, whatever comes and whenever: with its real lane on FP8 elements."""

import pytest
from amaranth.asserts import AnySeq
from amaranth.hdl import Array, Assert, Assume, Cat, Module, Mux, Signal, Value
from contracts import anything, ever_ready, offer, passes, take
from stand_ins import StandIns

from hw.config import AcceleratorConfig
from hw.engines.sore import SORE, SoreLane
from sim.formal import ProofError, prove

GROUP = 4
CONFIG = AcceleratorConfig(name="formal", rows=1, columns=1, max_group=GROUP, sore_lanes=1, storage="float8_e4m3")
KEPT = 2


class Groups:
    """The words of a group, and how many packed words are due: what SORE's control must know."""

    def __init__(self, m, dut):
        word = dut.i.payload
        self.place, self.owed = Signal(range(GROUP), name="place"), Signal(range(KEPT + 1), name="owed")
        self.ends = passes(dut.i) & (self.place + 1 == word.m)
        ratio, held = Cat(word.n, word.m), Signal(len(word.n) + len(word.m), name="ratio")
        m.d.comb += [
            Assume((word.n >= 1) & (word.n <= word.m) & (word.n <= KEPT) & (word.m <= GROUP)),
            Assume((self.place == 0) | (ratio == held)),
            Assert((self.place == 0) | (self.place < held[len(word.n) :])),
            Assert(dut.o.valid == (self.owed != 0)),
            Assert(~self.ends | (self.owed == passes(dut.o))),
            Assert(dut.i.ready | (self.place + 1 == word.m) & (self.owed > dut.o.ready)),
        ]
        with m.If(passes(dut.i)):
            m.d.sync += [self.place.eq(Mux(self.ends, 0, self.place + 1)), held.eq(ratio)]
        m.d.sync += self.owed.eq(self.owed - passes(dut.o) + Mux(self.ends, word.n, 0))


def control(dut, lane):
    """N words out for M in, none early, none late; `i` waits only for `o`; the lane is told what to do."""

    def build(m):
        m.submodules.dut = dut
        anything(m, dut.i)
        m.d.comb += dut.o.ready.eq(AnySeq(1))
        groups = Groups(m, dut)
        m.d.comb += [
            Assert(lane.en == passes(dut.i)),
            Assert(lane.index == groups.place),
            Assert(~passes(dut.i) | (lane.last == groups.ends)),
            Assert(~dut.o.valid | (lane.pick == KEPT - groups.owed)),
        ]

    return build


def largest(dut):
    """Any one group is remembered, and compared with what comes out when it is its turn."""

    def build(m):
        m.submodules.dut = dut
        offer(m, dut.i, "i")
        take(m, dut.o, "o")
        groups, word, packed = Groups(m, dut), dut.i.payload, dut.o.payload[0]
        elements = Array(Signal(CONFIG.storage_format.width, name=f"element_{number}") for number in range(GROUP))
        chosen, size = Signal(), Signal(len(word.m))
        kept, left = Signal(GROUP), Signal(range(KEPT + 1))
        with m.If(passes(dut.i) & ~chosen):
            m.d.sync += elements[groups.place].eq(word.values[0])
        with m.If(groups.ends & ~chosen):
            m.d.sync += [chosen.eq(AnySeq(1)), size.eq(word.m), left.eq(word.n)]
        # Nothing is owed when a group ends but its own words: the next ones are those of the chosen group.
        watched = Signal()
        m.d.comb += watched.eq(chosen & (left != 0) & dut.o.valid)
        now = kept | 1 << packed.index
        with m.If(watched):
            m.d.comb += [
                Assert(packed.index < size),
                Assert(packed.value == elements[packed.index]),
                Assert((kept >> packed.index) == 0),  # in ascending order
            ]
        with m.If(watched & dut.o.ready):
            m.d.sync += [kept.eq(now), left.eq(left - 1)]
        with m.If(watched & (left == 1)):
            for one in range(GROUP):
                for other in range(GROUP):
                    larger = elements[one][:-1] > elements[other][:-1]
                    equal = elements[one][:-1] == elements[other][:-1]
                    beats = larger | equal if one < other else larger
                    m.d.comb += Assert(~now[one] | now[other] | (other >= size) | beats)

    return build


class LosesUnderBackPressure(SORE):
    """The next group ends although the words of the one before have not left."""

    def elaborate(self, platform):
        return ever_ready(self, SORE(self.config, self.max_kept))


class KeepsNegativeOfTies(SoreLane):
    """Of equal magnitudes a negative one counts for more."""

    def _magnitude(self, element):
        width = self.config.storage_format.width
        return Cat(element[width - 1], super()._magnitude(element))


class AnyLane(SoreLane):
    """Gives anything at all: control does not look at it."""

    def elaborate(self, platform):
        m = Module()
        m.d.comb += Value.cast(self.o).eq(AnySeq(len(Value.cast(self.o))))
        return m


FAULTY_LANE = StandIns(sore_lane_2=lambda: KeepsNegativeOfTies(CONFIG, KEPT))


def test_control_for_all_time():
    lane = AnyLane(CONFIG, KEPT)
    prove(control(SORE(CONFIG, KEPT), lane), 4, unbounded=True, platform=StandIns(sore_lane_2=lambda: lane))


def test_the_largest_are_kept(deeper):
    prove(largest(SORE(CONFIG, KEPT)), deeper(10))


def test_faulty_control_is_found():
    lane = AnyLane(CONFIG, KEPT)
    with pytest.raises(ProofError, match="the property is violated"):
        prove(control(LosesUnderBackPressure(CONFIG, KEPT), lane), 10, platform=StandIns(sore_lane_2=lambda: lane))


def test_a_faulty_lane_is_found():
    with pytest.raises(ProofError, match="the property is violated"):
        prove(largest(SORE(CONFIG, KEPT)), 10, platform=FAULTY_LANE)
