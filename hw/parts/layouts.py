"""Words that several blocks share: commands as signals, as `hw.isa.commands` has them; weights and sums of the array."""

from collections.abc import Mapping
from dataclasses import fields

from amaranth.hdl import Cat, Const, ShapeLike, Value, ValueLike, signed
from amaranth.lib import data

from hw.config import AcceleratorConfig
from hw.formats import BINARY32
from hw.isa.bits import Bits
from hw.isa.commands import LOOPS, Loop, Walk


def command_layout(kind: type) -> data.StructLayout:
    """The fields of a command, or of a part of one, without gaps: its words behind the header, the first word lowest."""
    members: dict[str, ShapeLike] = {}
    for entry in fields(kind):
        if "bits" in entry.metadata:
            bits, flags = entry.metadata["bits"], entry.metadata["flags"]
            members[entry.name] = flags_layout(flags, bits) if flags else signed(bits) if entry.metadata["signed"] else bits
        elif entry.name == "walk":
            members[entry.name] = command_layout(Walk)
        elif "doc" in entry.metadata:
            members[entry.name] = data.ArrayLayout(command_layout(Loop), LOOPS)
    return data.StructLayout(members)


def flags_layout(kind: type[Bits], bits: int | None = None) -> data.StructLayout:
    """A signal for each bit; in a field of `bits`, those above are `undefined`."""
    members: dict[str, ShapeLike] = {bit.key: 1 for bit in kind}
    if bits is not None:
        members["undefined"] = bits - len(members)
    return data.StructLayout(members)


def pack(layout: data.StructLayout, fields: Mapping[str, ValueLike]) -> Value:
    """The fields of a structure, each cut or extended to its width."""
    return Cat(_fitted(Value.cast(fields[name]), field.width) for name, field in layout)


def _fitted(value: Value, width: int) -> Value:
    more = max(0, width - len(value))
    above = value[-1].replicate(more) if value.shape().signed else Const(0, more)
    return Cat(value, above)[:width]


def weight_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A kept weight and its index within the group."""
    return data.StructLayout({"value": config.storage_format.width, "index": config.index_bits})


def weights_layout(config: AcceleratorConfig) -> data.ArrayLayout:
    """One step's weights: one for each row."""
    return data.ArrayLayout(weight_layout(config), config.rows)


def sums_layout(config: AcceleratorConfig) -> data.ArrayLayout:
    """One word of results: a binary32 sum from each row."""
    return data.ArrayLayout(BINARY32.width, config.rows)
