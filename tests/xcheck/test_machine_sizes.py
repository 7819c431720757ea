"""The machine has the RTL's sizes, and tells of programs that cannot end."""

import pytest

from dataflow.machine.executor import execute
from dataflow.machine.units import array, dispatch, port, reader, vector
from dataflow.machine.units.port import Memory
from hw import array_unit, feed, operand_feed, vector_unit
from hw import dispatch as hw_dispatch
from hw.config import PRESETS
from hw.dma import bursts, writer
from hw.dma import port as hw_port
from hw.dma import reader as hw_reader
from hw.isa.commands import Halt, Load, Walk

TINY = PRESETS["tiny"]
PAGE = 4096


def test_the_sizes_of_fifos_are_the_rtls():
    assert reader.REQUEST_WORDS == hw_reader.REQUEST_FIFO_WORDS
    assert reader.OUTPUT_WORDS == hw_reader.OUTPUT_FIFO_WORDS
    assert reader.PAGE_BYTES == bursts.PAGE_BYTES
    assert reader.UNFINISHED_WALKS == writer.UNFINISHED_WALKS
    assert (port.OUTSTANDING_BURSTS, port.WRITES_AHEAD) == (hw_port.OUTSTANDING_BURSTS, hw_port.WRITES_AHEAD)
    assert (array.FEED_WORDS, array.PART_WORDS) == (operand_feed.FIFO_WORDS, operand_feed.PART_WORDS)
    assert (array.TILE_WORDS, array.RESULT_TILES) == (array_unit.TILE_WORDS, feed.RESULT_TILES)
    assert vector.SINK_WORDS == vector_unit.FIFO_WORDS
    assert (dispatch.QUEUED, dispatch.QUIET_CYCLES) == (hw_dispatch.QUEUED, hw_dispatch.QUIET_CYCLES)


def test_a_program_that_cannot_end_is_told():
    with pytest.raises(RuntimeError, match=r"^the program does not end: nothing moves after cycle [0-9]+$"):
        execute(TINY, [Load(walk=Walk(), shares=1), Load(walk=Walk(), shares=1), Halt()], Memory())
