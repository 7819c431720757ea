"""Commands as words, and back (plain Python)."""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

from hw.errors import InputError
from hw.isa.commands import COMMANDS, LOOPS, STREAMS, Command, Halt, Load, Loop, Opcode, Walk, layout

CONDITIONAL = 1 << 16
"""In a header: the command is skipped after an overflow."""

UNUSED = 0x7F << 17
"""Of a header: bits that are 0."""


def encode(commands: Iterable[Command]) -> bytes:
    """A program's bytes, the lowest of a word first; `InputError` names the command and the field that does not fit."""
    program: list[int] = []
    for number, command in enumerate(commands):
        try:
            program += _words(command)
        except InputError as error:
            raise InputError(f"command {number}, {command.OPCODE.name}: {error}") from None
    return struct.pack(f"<{len(program)}I", *program)


def decode(program: bytes) -> list[Command]:
    """The commands of a program's bytes, up to its first HALT, behind which anything may stand.

    `InputError` names the word that is no header, or the field that cannot be.
    """
    if len(program) % 4:
        raise InputError(f"a program is a whole number of 4-byte words, not {len(program)} bytes")
    numbers = struct.unpack(f"<{len(program) // 4}I", program)
    commands, place = list[Command](), 0
    while place < len(numbers) and not (commands and isinstance(commands[-1], Halt)):
        command, length = _command(numbers, place)
        commands.append(command)
        place += length
    return commands


def _words(command: Command) -> Iterator[int]:
    value, bits = 0, 0
    for field, number in zip(layout(type(command)), values(command), strict=True):
        low, high = (-(1 << field.bits - 1), (1 << field.bits - 1) - 1) if field.signed else (0, (1 << field.bits) - 1)
        if not low <= number <= high:
            raise InputError(f"{field.name} must be in {low}..{high}, not {number}")
        value |= (number & (1 << field.bits) - 1) << bits
        bits += field.bits
    yield command.OPCODE | command.unit << 8 | (CONDITIONAL if command.conditional else 0) | words(type(command)) << 24
    for place in range(0, bits, 32):
        yield value >> place & 0xFFFFFFFF


def words(kind: type[Command]) -> int:
    """Of a command, its header included."""
    return 1 + sum(field.bits for field in layout(kind)) // 32


def values(part: Any) -> Iterator[int]:  # noqa: ANN401 (a command, a walk or a loop)
    """The numbers of the fields, in the order of `layout`."""
    for entry in fields(part):
        value = getattr(part, entry.name)
        if "bits" in entry.metadata:
            yield int(value)
        elif isinstance(value, Walk):
            yield from values(value)
        elif "doc" in entry.metadata:
            for loop in value:
                yield from values(loop)


def _command(program: tuple[int, ...], place: int) -> tuple[Command, int]:
    """The command whose header is at `place`, and its words."""
    header = program[place]
    opcode, unit, length = header & 0xFF, header >> 8 & 0xFF, header >> 24
    if opcode not in COMMANDS:
        raise InputError(f"word {place}: {opcode} is no opcode; allowed: {', '.join(f'{o.value} {o.name}' for o in Opcode)}")
    if header & UNUSED:
        raise InputError(f"word {place}: bits 17 to 23 of a header are 0, not {header >> 17 & 0x7F:#x}")
    kind = COMMANDS[Opcode(opcode)]
    described = list(layout(kind))
    due = words(kind)
    if length != due or place + due > len(program):
        raise InputError(f"word {place}: {Opcode(opcode).name} has {due} words, not {min(length, len(program) - place)}")
    value = sum(word << 32 * number for number, word in enumerate(program[place + 1 : place + due]))
    numbers = []
    for field in described:
        number = value & (1 << field.bits) - 1
        numbers.append(number - (1 << field.bits) if field.signed and number >> field.bits - 1 else number)
        value >>= field.bits
    try:
        stream, streams = STREAMS.get(kind, ("", None))
        named = {stream: streams(unit)} if streams else {}
        if unit == 0 if kind is Load else unit and not streams:  # the program is read by itself
            raise ValueError
    except ValueError:
        raise InputError(f"word {place}: {Opcode(opcode).name} has no unit {unit}") from None
    return build(kind, iter(numbers), conditional=bool(header & CONDITIONAL), **named), due


def build(kind: type, numbers: Iterator[int], **more: Any) -> Any:  # noqa: ANN401
    """A command, a walk or a loop from the numbers of its fields, in the order of `layout`, and what else it has."""
    fields_of: dict[str, Any] = dict(more)
    for entry in fields(kind):
        if "bits" in entry.metadata:
            fields_of[entry.name] = next(numbers)
        elif entry.name == "walk":
            fields_of[entry.name] = build(Walk, numbers)
        elif "doc" in entry.metadata:
            fields_of[entry.name] = tuple(build(Loop, numbers) for _ in range(LOOPS))
    return kind(**fields_of)
