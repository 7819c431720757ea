"""Bits of fields stand where programs that are written down have them, and nothing else is allowed."""

import pytest
from amaranth.lib import data

from hw.config import PRESETS
from hw.isa.bits import PassOption, PassStep, UpdateCopy
from hw.isa.checks import problems
from hw.isa.commands import Pass, Update
from hw.isa.encoding import encode
from hw.parts.layouts import command_layout

TINY = PRESETS["tiny"]


def test_bits_stand_where_they_are_in_a_words_half():
    """A program of before must mean the same: `steps` is the lower half of the second word behind the header."""
    places = {
        PassStep: ["widen", "scale", "shift", "residual", "narrow", "relu", "gate", "multiply", "itself", "third", "round"],
        PassOption: [
            "from_sums",
            "shift_factor",
            "scale_factor",
            "note_overflow",
            "largest",
            "in_turn",
            "places",
            "at_place",
            "by_row",
            "across",
            "beside",
        ],
        UpdateCopy: ["dense", "forward", "backward"],
    }
    for kind, names in places.items():
        assert {bit.key: bit.value for bit in kind} == {name: 1 << place for place, name in enumerate(names)}
    body = encode([Pass(steps=PassStep.GATE | PassStep.WIDEN, options=PassOption.NOTE_OVERFLOW)])[4:]
    assert body[4:8] == bytes([0x41, 0, 0x08, 0])


def test_signals_are_the_bits():
    layout = command_layout(Pass)
    body = int.from_bytes(encode([Pass(steps=PassStep.RELU | 1 << 15, options=PassOption.SCALE_FACTOR)])[4:], "little")
    step = layout.from_bits(body)
    assert isinstance(step, data.Const)
    assert {name: step.steps[name] for name in ("widen", "relu", "gate", "undefined")} == {
        "widen": 0, "relu": 1, "gate": 0, "undefined": 1 << 4,
    }  # fmt: skip
    assert (step.options.from_sums, step.options.scale_factor, step.options.undefined) == (0, 1, 0)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (Pass(steps=1 << 11), "steps must be in 0..2047, not 2048"),
        (Pass(options=1 << 11), "options must be in 0..2047, not 2048"),
        (Update(copies=1 << 3), "copies must be in 0..7, not 8"),
    ],
)
def test_bits_that_mean_nothing_are_told(command, told):
    assert list(problems(TINY, command)) == [told]
