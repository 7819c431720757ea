"""The tables of docs/accelerator.md, from the code that the hardware is made of: ``python -m sim.tables`` writes them."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from hw.files import write_whole
from hw.isa.bounds import BOUNDS, SAID
from hw.isa.commands import COMMANDS, Field, Loop, Walk, layout
from hw.isa.registers import REGISTERS

PAGE = Path(__file__).parents[1] / "docs" / "accelerator.md"


def commands() -> Iterator[str]:
    """Each command's fields, those of walks and loops once."""
    for opcode, kind in COMMANDS.items():
        fields = list(layout(kind))
        words = 1 + sum(field.bits for field in fields) // 32
        summary = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
        yield from ("", f"### {opcode.name}", "", f"Opcode {opcode.value}, {words} words. {summary}")
        own = [(kind, field) for field in fields if not field.name.startswith("walk.")]
        flags = [(field.name, bit) for field in fields for bit in field.flags or ()]
        walk = Field("walk", sum(field.bits for field in layout(Walk)), False, "see below")
        yield from _fields([*([(Walk, walk)] if len(own) < len(fields) else []), *own])
        if flags:
            rows = (f"| `{name}` | {bit.bit_length() - 1} | `{bit.key}` | {bit.doc} |" for name, bit in flags)
            yield from ("", "| bits of | bit | name | meaning |", "|---|---|---|---|", *rows)
    yield from ("", "### A walk", "", "Then `u` and `v`, four loops each, the innermost first.")
    yield from _fields((Walk, field) for field in layout(Walk) if field.name.count(".") == 0)
    yield from ("", "### A loop")
    yield from _fields((Loop, field) for field in layout(Loop))


def _fields(rows: Iterable[tuple[type, Field]]) -> Iterator[str]:
    lines = [
        f"| `{field.name}` | {field.bits}{', signed' if field.signed else ''} | {_range(kind, field.name)} | {field.doc} |"
        for kind, field in rows
    ]
    if lines:
        yield from ("", "| field | bits | range | meaning |", "|---|---|---|---|", *lines)


def _range(kind: type, name: str) -> str:
    """What a field may be; nothing where that is anything."""
    bound = BOUNDS[kind].get(name)
    if bound is None:
        return ""
    return (
        SAID.get(bound, "of the accelerator")
        if callable(bound)
        else f"{bound[0]} to {bound[1]}"
        if bound[0] != bound[1]
        else str(bound[0])
    )


def registers() -> Iterator[str]:
    """The register map."""
    yield from ("", "| offset | register | access | meaning |", "|---|---|---|---|")
    for register in REGISTERS:
        access = "read, write" if register.writable else "read"
        yield f"| `{register.offset:#05x}` | `{register.name}` | {access} | {register.meaning} |"


def page(text: str) -> str:
    """A page's text with the tables behind their marks made anew."""
    for name, lines in (("commands", commands()), ("registers", registers())):
        before, _, rest = text.partition(f"<!-- {name} -->\n")
        after = rest[rest.index("\n## ") :] if "\n## " in rest else ""
        text = f"{before}<!-- {name} -->\n" + "\n".join(lines) + "\n" + after
    return text


if __name__ == "__main__":
    write_whole(PAGE, page(PAGE.read_text(encoding="utf-8")))
