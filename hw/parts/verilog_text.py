"""What Yosys writes of a module, as simulators of either standard run it and engineers read it (plain Python).

Registers get their first values in an ``initial`` block, and blocks without an input that changes are started by a nonblocking
assignment there: an initialiser in a declaration is an event in Verilog-2005, and none in SystemVerilog.
"""

import re
from collections import Counter, defaultdict

NAME = re.compile(r"\\\S+(?=\s)|[A-Za-z_]\w*")
"""An identifier, an escaped one without the space that ends it."""
DECLARED = re.compile(r"^  (?:(?:input|output|wire|reg) )+(?:\[\d+:0\] )?(\\\S+ |\w+)")
WIRE = re.compile(r"^  wire (?:\[\d+:0\] )?(\\\S+ |\w+);$")
ASSIGNED = re.compile(r"^  assign (\\\S+ |\w+) = ")
FIRST = re.compile(r"^  ((?:output )?reg (?:\[\d+:0\] )?)(\\\S+ |\w+) = ([^;]+);$")
STORED = re.compile(r"^    (\\\S+ |\w+) <= (\\\$\d+ );$")
GENERATED = re.compile(r"(n_\d+|\w+_next|signal(_\d+)?|start)\b")
"""Names that signals get here which have none in the source."""
UNNAMED = re.compile(r"\\\$(\w+)(?:\$(\w+))?")


def tidy(text: str) -> str:
    """The text of modules, which means the same."""
    modules = re.split(r"^(?=module )", text, flags=re.MULTILINE)
    return "".join(_initialised(_named(_used(module))) if module.startswith("module ") else module for module in modules)


def _used(text: str) -> str:
    """Without the wires that nothing reads, such as the fields of a record that is used whole."""
    lines = text.split("\n")
    names = [[name.strip() for name in NAME.findall(line)] for line in lines]
    counts = Counter(name for line in names for name in line)
    places = defaultdict(list)
    for number, line in enumerate(lines):
        for pattern in (WIRE, ASSIGNED):
            if found := pattern.match(line):
                places[found[1].strip()].append(number)
    dropped = set[int]()
    candidates = list(places)
    while candidates:
        name = candidates.pop()
        here = places[name]
        declared = any(WIRE.match(lines[number]) for number in here)
        if not declared or counts[name] != len(here) or dropped.issuperset(here):
            continue
        for number in set(here) - dropped:
            dropped.add(number)
            counts.subtract(names[number])
            candidates += [other for other in names[number] if other in places and other != name]
    return "\n".join(line for number, line in enumerate(lines) if number not in dropped)


def _named(text: str) -> str:
    """With names for what has none: a register's next value is called so, all else is numbered."""
    taken = {name.strip() for name in NAME.findall(text)}
    names = dict[str, str]()
    stored = Counter(found[2] for line in text.split("\n") if (found := STORED.match(line)))
    for line in text.split("\n"):
        if (found := STORED.match(line)) and stored[found[2]] == 1 and re.fullmatch(r"\w+", found[1]):
            names[found[2].strip()] = f"{found[1]}_next"
    for name in sorted(taken):
        if found := UNNAMED.fullmatch(name):
            names.setdefault(name, "_".join(part for part in ("n" if found[1].isdigit() else "", *found.groups()) if part))
    given = Counter(names.values())
    names = {old: new for old, new in names.items() if given[new] == 1 and new not in taken}

    def renamed(found: re.Match[str]) -> str:
        new = names.get(found[0].rstrip())
        return new if new else found[0]

    return re.sub(r"\\\S+ ", renamed, text)


def _initialised(text: str) -> str:
    """With first values in a block of their own."""
    lines, first = list[str](), list[str]()
    for line in text.split("\n"):
        if found := FIRST.match(line):
            starts = found[2] == "start"
            lines.append(f"  {found[1]}{found[2]};")
            first.append(f"    {found[2]} {'<=' if starts else '='} {found[3]};")
        else:
            lines.append(line)
    if first:
        end = max(number for number, line in enumerate(lines) if line == "endmodule")
        lines[end:end] = ["  initial begin", *first, "  end"]
    return "\n".join(lines)
