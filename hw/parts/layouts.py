"""Words that several blocks share: commands as signals, as `hw.isa.commands` has them; weights and sums of the array."""

from collections.abc import Mapping
from dataclasses import fields

from amaranth.hdl import Cat, Const, Shape, ShapeLike, Value, ValueLike, signed
from amaranth.lib import data

from hw.config import AcceleratorConfig
from hw.formats import BINARY32
from hw.isa.bits import Bits
from hw.isa.bounds import field_range
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


def bound_layout(config: AcceleratorConfig, kind: type) -> data.StructLayout:
    """As `command_layout`, each field as wide as what `hw.isa.bounds` allows; of deltas the low `address_bits`."""
    members: dict[str, ShapeLike] = {}
    for name, shape in command_layout(kind).members.items():
        if isinstance(shape, data.ArrayLayout):
            members[name] = data.ArrayLayout(bound_layout(config, Loop), LOOPS)
        elif name == "walk":
            members[name] = walk_layout(config)
        elif name == "delta":
            members[name] = signed(config.address_bits)
        else:
            found = None if Shape.cast(shape).signed else field_range(config, kind, name)
            members[name] = shape if found is None else max(1, found[1].bit_length())
    return data.StructLayout(members)


def walk_layout(config: AcceleratorConfig) -> data.StructLayout:
    """`bound_layout` of a walk."""
    return bound_layout(config, Walk)


def narrowed(value: data.View, layout: data.StructLayout) -> Value:
    """A structure's fields within bounds, in a layout of the same fields that are narrower."""
    parts = []
    for name, field in layout:
        inner = field.shape
        if isinstance(inner, data.ArrayLayout):
            parts += [narrowed(value[name][number], inner.elem_shape) for number in range(inner.length)]
        else:
            parts.append(Value.cast(value[name])[: field.width])
    return Cat(parts)


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
