"""Headers that are none are refused by their word."""

import struct

import pytest

from hw.errors import InputError
from hw.isa.commands import Halt, Load, Source
from hw.isa.encoding import decode, encode

GOOD = encode([Load(source=Source.WEIGHTS), Halt()])


@pytest.mark.parametrize("bit", range(17, 24))
def test_bits_without_a_meaning_are_0(bit):
    (header,) = struct.unpack("<I", GOOD[:4])
    with pytest.raises(InputError, match=f"^word 0: bits 17 to 23 of a header are 0, not {1 << bit - 17:#x}$"):
        decode(struct.pack("<I", header | 1 << bit) + GOOD[4:])


def test_a_program_cannot_load_itself():
    (header,) = struct.unpack("<I", GOOD[:4])
    with pytest.raises(InputError, match=r"^word 0: LOAD has no unit 0$"):
        decode(struct.pack("<I", header & ~0xFF00) + GOOD[4:])
