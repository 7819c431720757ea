"""Programs as text give the same commands back; what is wrong in a text is told with its line."""

from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.errors import InputError
from hw.isa.commands import COMMANDS, STREAMS, Halt, Load, Opcode, Pass, Source, layout
from hw.isa.encoding import build, decode, encode, values, words
from hw.isa.listing import listing, parse


@st.composite
def commands(draw):
    """Any command whose fields fit their bits."""
    kind = COMMANDS[draw(st.sampled_from(Opcode))]
    numbers = []
    for field in layout(kind):
        low = -(1 << field.bits - 1) if field.signed else 0
        numbers.append(draw(st.sampled_from([0, 1, low, low + (1 << field.bits) - 1])))
    more = {"conditional": draw(st.booleans())}
    if kind in STREAMS:
        name, streams = STREAMS[kind]
        more[name] = draw(st.sampled_from([one for one in streams if one is not Source.FETCH]))
    return build(kind, iter(numbers), **more)


@settings(max_examples=60, deadline=None)
@given(program=st.lists(commands(), max_size=6))
def test_text_and_bytes_give_the_same_commands_back(program):
    assert parse(listing(program)) == program
    ends = [number for number, command in enumerate(program) if isinstance(command, Halt)]
    assert decode(encode(program)) == (program[: ends[0] + 1] if ends else program)


def test_a_listing_shows_what_is_not_usual():
    load = Load(source=Source.GATE, conditional=True)
    text = listing([replace(load, walk=replace(load.walk, base=0x40, u_size=3)), Pass(words=2, steps=0x30), Halt()])
    assert text.splitlines() == [
        "# 0: word 0",
        "LOAD.GATE  ?",
        "  walk.base=0x40 walk.u_size=3",
        f"# 1: word {words(Load)}",
        "PASS  words=2 steps=0x30",
        f"# 2: word {words(Load) + words(Pass)}",
        "HALT",
    ]
    assert sum(1 for _ in values(load)) == sum(1 for _ in layout(Load))
    assert "conditional" in {entry.name for entry in fields(load)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("HALT\nJUMP", "mine:2: 'JUMP' is no opcode; allowed: HALT, SYNC, LOAD, STORE, PRODUCT, PASS, UPDATE"),
        ("  words=1", "mine:1: fields without a command before them"),
        ("PASS words=many", "mine:1: words must be a whole number, not 'many'"),
        ("PASS\n\n  wards=1", "mine:1: PASS has no field 'wards'; allowed: words, steps, options"),
        ("LOAD", "mine:1: LOAD has no stream ''; allowed: WEIGHTS"),
        ("STORE.GATE", "mine:1: STORE has no stream 'GATE'; allowed: RESULTS, COPY, FORWARD, BACKWARD"),
        ("HALT.GATE", "mine:1: HALT has no stream 'GATE'"),
    ],
)
def test_a_text_that_is_wrong(text, message):
    with pytest.raises(InputError) as told:
        parse(text, "mine")
    assert str(told.value).startswith(message)
    with pytest.raises(InputError, match=r"^command 0, PASS: words must be in 0\.\.4294967295, not -1$"):
        encode(parse("PASS words=-1"))
