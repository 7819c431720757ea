"""Programs as text, and back (plain Python).

::

    # 1: word 14
    PASS  words=12 steps=0x10 options=0x1        opcode, then what is not as `hw.isa.commands` has it by default
    STORE.RESULTS  ?                             a stream behind a dot; ? where it is skipped after an overflow
      walk.base=0x1c0 walk.size_log2=1           lines that begin with a space go on
      walk.u.0.count=12

What stands behind ``#`` is a comment. Numbers are decimal, or hexadecimal behind ``0x``.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby

from hw.errors import InputError
from hw.inputs import shown
from hw.isa.commands import COMMANDS, STREAMS, Command, Field, Opcode, Sink, Source, layout
from hw.isa.encoding import build, values, words

CONDITIONAL = "?"
LONGEST = 80
"""Characters of a number: 64 bits, as binary digits with their sign, prefix and separators."""
HEXADECIMAL = {"walk.base", "walk.run_limit", "steps", "options", "scale", "weight_decay", "momentum", "learning_rate"}
"""Fields that are written so."""


def listing(commands: Iterable[Command]) -> str:
    """The text of a program; `parse` gives the same commands back."""
    lines, place = list[str](), 0
    for number, command in enumerate(commands):
        lines.append(f"# {number}: word {place}")
        lines += _lines(command)
        place += words(type(command))
    return "\n".join(lines) + "\n"


def parse(text: str, source: str = "program") -> list[Command]:
    """The commands of a text.

    Raises
    ------
    InputError
        With `source` and the line, for what is no opcode, stream, field or number.
    """
    commands: list[tuple[int, list[str]]] = []
    for number, line in enumerate(text.splitlines(), 1):
        content = line.partition("#")[0]
        if not content.split():
            continue
        if not content[0].isspace():
            commands.append((number, content.split()))
        elif commands:
            commands[-1][1].extend(content.split())
        else:
            raise InputError(f"{source}:{number}: fields without a command before them")
    return [_command(parts, f"{source}:{number}") for number, parts in commands]


def _lines(command: Command) -> Iterator[str]:
    head = command.OPCODE.name
    kind = type(command)
    if kind in STREAMS:
        head += f".{getattr(command, STREAMS[kind][0]).name}"
    changed = [
        (field.name, f"{field.name}={value:#x}" if field.name in HEXADECIMAL else f"{field.name}={value}")
        for field, value, usual in zip(layout(kind), values(command), values(kind()), strict=True)
        if value != usual
    ]
    groups = [(key, " ".join(text for _, text in part)) for key, part in groupby(changed, lambda entry: _group(entry[0]))]
    plain = [text for key, text in groups if not key]
    yield "  ".join([head, *([CONDITIONAL] if command.conditional else []), *plain])
    yield from (f"  {text}" for key, text in groups if key)


def _group(name: str) -> str:
    """What stands on a line together: a command's own fields, a walk's, each of its loops'."""
    return name.rpartition(".")[0]


def _command(parts: list[str], where: str) -> Command:
    head, *rest = parts
    name, _, stream = head.partition(".")
    if name not in Opcode.__members__:
        raise InputError(f"{where}: {shown(name)} is no opcode; allowed: {', '.join(Opcode.__members__)}")
    kind = COMMANDS[Opcode[name]]
    fields = list(layout(kind))
    numbers = dict(zip((field.name for field in fields), values(kind()), strict=True))
    conditional = rest[:1] == [CONDITIONAL]
    for part in rest[conditional:]:
        field, _, number = part.partition("=")
        if field not in numbers:
            raise InputError(f"{where}: {name} has no field {shown(field)}; allowed: {', '.join(_short(fields))}")
        try:
            if len(number) > LONGEST:
                raise ValueError
            numbers[field] = int(number, 0)
        except ValueError:
            raise InputError(f"{where}: {field} must be a whole number, not {shown(number)}") from None
    return build(kind, iter(numbers.values()), conditional=conditional, **_stream(kind, stream, where))


def _stream(kind: type[Command], name: str, where: str) -> dict[str, Source | Sink]:
    """The stream of a load or a store, by the name of its field."""
    if kind not in STREAMS:
        if name:
            raise InputError(f"{where}: {kind.OPCODE.name} has no stream {shown(name)}")
        return {}
    field, allowed = STREAMS[kind]
    known = {one.name: one for one in allowed if one is not Source.FETCH}
    if name not in known:
        raise InputError(f"{where}: {kind.OPCODE.name} has no stream {shown(name)}; allowed: {', '.join(known)}")
    return {field: known[name]}


def _short(fields: Iterable[Field]) -> Iterator[str]:
    """Names of fields, of the loops the first one's."""
    return (field.name for field in fields if ".1." not in field.name and ".2." not in field.name and ".3." not in field.name)
