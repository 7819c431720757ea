"""What the machine does with commands that no unit takes, and with spaces of which a block has a part."""

from dataclasses import replace

import pytest

from dataflow.machine.executor import execute
from dataflow.machine.timing import Memory
from hw.config import PRESETS
from hw.isa.bits import UpdateCopy
from hw.isa.commands import Halt, Load, Loop, Pass, Sink, Source, Store, Update, Walk

TINY = PRESETS["tiny"]
ONE = (Loop(),) * 3


def line(count, size_log2):
    return Walk(
        size_log2=size_log2, boundary=TINY.vpu_lanes, u_size=count, u_tile=count, u=(Loop(count=count), *ONE)
    )  # fmt: skip


def test_an_update_whose_copies_nothing_stores_does_not_end():
    words = 64
    loads = [Load(source=source, walk=line(4 * words, size)) for source, size in ((Source.ELEMENTS, 2), (Source.FACTORS, 3))]
    update = Update(words=words, copies=UpdateCopy.DENSE)
    with pytest.raises(RuntimeError, match=r"^the program does not end"):
        execute(TINY, [*loads, update, Store(sink=Sink.RESULTS, walk=line(4 * words, 3)), Halt()], Memory())


def test_a_space_that_moves_with_no_counter_is_its_first_tile():
    """A block has as many elements as a tile, whatever the size."""
    part = replace(line(8, 1), u_size=16, u=(Loop(count=16), *ONE))
    said = [
        execute(TINY, [Load(source=Source.ELEMENTS, walk=walk), Pass(words=2), Store(walk=line(8, 1)), Halt()], Memory())
        for walk in (part, line(8, 1))
    ]
    assert said[0] == said[1]
