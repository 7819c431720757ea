"""Turned blocks: control for all time, and where each element goes."""

import pytest
from amaranth.asserts import AnyConst
from amaranth.hdl import Array, Assert, Cat, Signal
from contracts import anything, ever_ready, offer, passes, take

from hw.engines.transpose import Transpose
from sim.formal import ProofError, prove

WIDTH = 1


def blocks(m, dut):
    """Words of the block that comes and of the one that leaves, and whole blocks inside."""
    coming, leaving = Signal(range(dut.block_words), name="coming"), Signal(range(dut.block_words), name="leaving")
    inside = Signal(range(3), name="inside")
    m.d.comb += [Assert(dut.o.valid == (inside != 0)), Assert(dut.i.ready == (inside != 2))]
    ends = [passes(port) & (count == dut.block_words - 1) for port, count in ((dut.i, coming), (dut.o, leaving))]
    m.d.sync += [
        coming.eq(coming + passes(dut.i)),
        leaving.eq(leaving + passes(dut.o)),
        inside.eq(inside + ends[0] - ends[1]),
    ]
    return coming, leaving


def control(dut):
    """A block leaves when it is whole, and two have room."""

    def build(m):
        m.submodules.dut = dut
        anything(m, dut.i)
        take(m, dut.o, "o")
        blocks(m, dut)

    return build


def elements(dut):
    """One element of a block, any, is remembered in each block as it comes; it leaves in its turned place."""
    width, lane_bits = (dut.size - 1).bit_length(), (dut.block_lanes - 1).bit_length()

    def word_of(row, column):
        """Bands of as many rows as lanes, each of them column by column."""
        return Cat(column, row[lane_bits:])

    def shown_at(port, row):
        return Array(port.payload[lane] for lane in range(dut.block_lanes))[row[:lane_bits]]

    def build(m):
        m.submodules.dut = dut
        offer(m, dut.i, "i")
        take(m, dut.o, "o")
        coming, leaving = blocks(m, dut)
        row, column = Signal(width, name="row"), Signal(width, name="column")
        m.d.comb += [row.eq(AnyConst(width)), column.eq(AnyConst(width))]
        came, left = Signal(), Signal()  # which of two blocks comes, and leaves
        remembered = Array(Signal(WIDTH, name=f"remembered_{block}") for block in range(2))
        with m.If(passes(dut.i) & (coming == word_of(row, column))):
            m.d.sync += remembered[came].eq(shown_at(dut.i, row))
        m.d.sync += [
            came.eq(came ^ (passes(dut.i) & (coming == dut.block_words - 1))),
            left.eq(left ^ (passes(dut.o) & (leaving == dut.block_words - 1))),
        ]
        shown = dut.o.valid & (leaving == word_of(column, row))
        m.d.comb += Assert(~shown | (shown_at(dut.o, column) == remembered[left]))

    return build


class Overruns(Transpose):
    """Forgets that the other half is not yet read."""

    def elaborate(self, platform):
        return ever_ready(self, Transpose(self.width, size=self.size, lanes=self.lanes))


class Straight(Transpose):
    """Reads a block as it was written."""

    def _turned(self, word, lane):
        return word


@pytest.mark.parametrize("size, lanes", [(2, 2), (4, 2), (2, 4)])
def test_control(size, lanes, deeper):
    dut = Transpose(WIDTH, size=size, lanes=lanes)
    prove(control(dut), deeper(4 * dut.block_words + 2))


@pytest.mark.parametrize("size, lanes", [(2, 2), (4, 2)])
def test_rows_become_columns(size, lanes, deeper):
    dut = Transpose(WIDTH, size=size, lanes=lanes)
    prove(elements(dut), deeper(3 * dut.block_words + 2))


@pytest.mark.parametrize("contract, fault", [(control, Overruns), (elements, Straight)])
def test_faults_are_found(contract, fault):
    with pytest.raises(ProofError, match="the property is violated"):
        prove(contract(fault(WIDTH, size=2, lanes=2)), 10)
