"""Segments of the table of functions, as words of the memory."""

import re

import numpy as np
from amaranth.back.rtlil import convert

from hw.engines.functions.table import FunctionTable
from hw.isa.functions import WIDTHS, Segment, table


def test_a_words_fields_are_the_segments():
    """c0, c1 and c2 in two's complement, then s without a sign, from the lowest bit on: 72 bits."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        signed = [int(rng.integers(-(1 << width - 1), 1 << width - 1)) for width in WIDTHS[:3]]
        segment = Segment(*signed, s=int(rng.integers(1 << WIDTHS[3])))
        bits = f"{segment.word:072b}"
        c0, c1, c2, s = bits[47:], bits[23:47], bits[5:23], bits[:5]
        assert [int(field, 2) - (int(field[0]) << len(field)) for field in (c0, c1, c2)] == signed
        assert int(s, 2) == segment.s


def test_the_memory_has_a_word_for_each_address():
    """11 bits of address: 2,048 words, of which the first hold the table."""
    text = convert(FunctionTable(), name="table")
    memories = re.findall(r"memory width (\d+) size (\d+)", text)
    assert memories == [("72", "2048")]
    assert len(table()) <= 2048
