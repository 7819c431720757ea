"""The machine tells of programs that cannot end."""

import pytest

from dataflow.machine.executor import execute
from dataflow.machine.timing import Memory
from hw.config import PRESETS
from hw.errors import InputError
from hw.isa.commands import Halt, Load, Source, Walk
from hw.isa.encoding import encode

TINY = PRESETS["tiny"]


def test_a_program_that_cannot_end_is_told():
    with pytest.raises(RuntimeError, match=r"^the program does not end: nothing moves after cycle [0-9]+$"):
        execute(TINY, [Load(source=Source.GATE, walk=Walk(boundary=TINY.vpu_lanes)), Halt()], Memory())


@pytest.mark.parametrize("behind, address", [(4, 0), (1 << 20, 0), (0, 1 << TINY.address_bits)])
def test_a_program_that_is_longer_than_can_be_counted_or_begins_too_late_is_told(behind, address):
    """What stands behind it counts, a word of 4 bytes each."""
    halt, most = len(encode([Halt()])) // 4, TINY.most_counted
    room = 4 * (most - halt) if behind else 0
    words = most + behind // 4 if behind else halt
    said = f"^a program has at most {most} words and begins before byte {1 << TINY.address_bits}; it has {words}, at {address}$"
    with pytest.raises(InputError, match=said):
        execute(TINY, [Halt()], Memory(), address, behind=room + behind)
