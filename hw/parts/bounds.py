"""The ranges of commands' fields as hardware."""

from amaranth.hdl import Cat, Const, Value
from amaranth.lib import data

from hw.config import AcceleratorConfig
from hw.isa.bounds import Range, field_range
from hw.isa.commands import Loop, Walk
from hw.parts.layouts import command_layout


def in_bounds(config: AcceleratorConfig, kind: type, fields: Value) -> Value:
    """Whether each field of a command, or of a part of one, is what `hw.isa.bounds` says it may be; `fields` are its words."""
    shape = command_layout(kind)
    view = data.View(shape, fields[: shape.size])
    checks: list[Value] = []
    for name, member in shape.members.items():
        part = Value.cast(view[name])
        if name == "walk":
            checks.append(in_bounds(config, Walk, part))
        elif isinstance(member, data.ArrayLayout):
            size = member.size // member.length
            checks += [in_bounds(config, Loop, part.word_select(number, size)) for number in range(member.length)]
        elif (found := field_range(config, kind, name)) is not None:
            checks += _within(part, found)
    return Cat(checks).all() if checks else Const(1)


def _within(value: Value, found: Range) -> list[Value]:
    """The comparisons that the field's width leaves to be made."""
    (least, most), signed, width = found, value.shape().signed, len(value)
    lowest, highest = (-(1 << width - 1), (1 << width - 1) - 1) if signed else (0, (1 << width) - 1)
    checks = []
    if least > lowest:
        checks.append(value != 0 if (least, signed) == (1, False) else value >= least)
    if most < highest:
        whole = not signed and most & (most + 1) == 0
        checks.append(~value[most.bit_length() :].any() if whole else value <= most)
    return checks
