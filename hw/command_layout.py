"""Commands as signals: the layouts that follow from `hw.commands`."""

from dataclasses import fields

from amaranth.hdl import ShapeLike, Value, signed
from amaranth.lib import data

from hw.checks import COUNT_BITS
from hw.commands import LOOPS, Loop, Walk


def command_layout(kind: type) -> data.StructLayout:
    """The fields of a command, or of a part of one, without gaps: its words behind the header, the first word lowest."""
    members: dict[str, ShapeLike] = {}
    for entry in fields(kind):
        if "bits" in entry.metadata:
            bits = entry.metadata["bits"]
            members[entry.name] = signed(bits) if entry.metadata["signed"] else bits
        elif entry.name == "walk":
            members[entry.name] = command_layout(Walk)
        elif "doc" in entry.metadata:
            members[entry.name] = data.ArrayLayout(command_layout(Loop), LOOPS)
    return data.StructLayout(members)


def is_count(value: Value) -> Value:
    """Whether a field is in 1..`hw.checks.LARGEST`, which the counters behind it can reach."""
    return (value != 0) & ~value[COUNT_BITS:].any()
