"""The tables of docs/accelerator.md, from the code that the hardware is made of: ``python -m sim.tables`` writes them."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from hw.files import write_whole
from hw.isa.commands import COMMANDS, Loop, Walk, layout
from hw.isa.registers import REGISTERS

PAGE = Path(__file__).parents[1] / "docs" / "accelerator.md"


def commands() -> Iterator[str]:
    """Each command's fields, those of walks and loops once."""
    for opcode, kind in COMMANDS.items():
        fields = list(layout(kind))
        words = 1 + sum(field.bits for field in fields) // 32
        summary = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
        yield from ("", f"### {opcode.name}", "", f"Opcode {opcode.value}, {words} words. {summary}")
        own = [(field.name, field.bits, field.signed, field.doc) for field in fields if not field.name.startswith("walk.")]
        flags = [(field.name, bit) for field in fields for bit in field.flags or ()]
        bits = sum(field.bits for field in layout(Walk))
        walk = [("walk", bits, False, "see below")] if len(own) < len(fields) else []
        yield from _fields([*walk, *own])
        if flags:
            rows = (f"| `{name}` | {bit.bit_length() - 1} | `{bit.key}` | {bit.doc} |" for name, bit in flags)
            yield from ("", "| bits of | bit | name | meaning |", "|---|---|---|---|", *rows)
    yield from ("", "### A walk", "", "Then `u` and `v`, four loops each, the innermost first.")
    yield from _fields((f.name, f.bits, f.signed, f.doc) for f in layout(Walk) if f.name.count(".") == 0)
    yield from ("", "### A loop")
    yield from _fields((f.name, f.bits, f.signed, f.doc) for f in layout(Loop))


def _fields(rows: Iterable[tuple[str, int, bool, str]]) -> Iterator[str]:
    lines = [f"| `{name}` | {bits}{', signed' if signed else ''} | {doc} |" for name, bits, signed, doc in rows]
    if lines:
        yield from ("", "| field | bits | meaning |", "|---|---|---|", *lines)


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
