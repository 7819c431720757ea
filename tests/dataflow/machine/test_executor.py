"""The machine tells of programs that cannot end."""

import pytest

from dataflow.machine.executor import execute
from dataflow.machine.timing import Memory
from hw.config import PRESETS
from hw.isa.commands import Halt, Load, Source, Walk

TINY = PRESETS["tiny"]


def test_a_program_that_cannot_end_is_told():
    with pytest.raises(RuntimeError, match=r"^the program does not end: nothing moves after cycle [0-9]+$"):
        execute(TINY, [Load(source=Source.GATE, walk=Walk(boundary=TINY.vpu_lanes)), Halt()], Memory())
