"""Composing an accelerator's area from that of its modules.

::

    sat ─┬─ control          a group: all instances of one parent's modules that differ in their sizes alone
         └─ units ─┬─ reader × 7 ─┬─ walker × 7
                   │              └─ splitter × 7
                   └─ …
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

KINDS = ("lut", "ff", "dsp", "bram", "uram")


@dataclass(frozen=True)
class Module:
    """A module's own cells.

    Parameters
    ----------
    cells : dict of str to float
        Of `KINDS`, without what is inside the modules that it places.
    places : dict of str to int
        Instances of other modules.
    """

    cells: dict[str, float]
    places: dict[str, int]


def totals(modules: Mapping[str, Module]) -> dict[str, dict[str, float]]:
    """Of each module, all cells, those of the modules that it places included; in the order of `modules`."""
    found: dict[str, dict[str, float]] = {}
    for name, module in modules.items():
        inside = {kind: sum(count * found[other][kind] for other, count in module.places.items()) for kind in KINDS}
        found[name] = {kind: module.cells[kind] + inside[kind] for kind in KINDS}
    return found


def instances(modules: Mapping[str, Module]) -> dict[str, int]:
    """How many of each module there are in the last one."""
    *_, top = modules
    counts = dict.fromkeys(modules, 0) | {top: 1}
    for name in reversed(list(modules)):
        for other, count in modules[name].places.items():
            counts[other] += counts[name] * count
    return counts


@dataclass(frozen=True)
class Group:
    """Instances of modules that differ in their sizes alone.

    Parameters
    ----------
    name : str
        What the modules are called, without their sizes.
    instances : int
        How many there are in the whole.
    cells : dict of str to float
        Of `KINDS`, of all of them together with what they place.
    own : dict of str to float
        Without what they place.
    parts : tuple of Group
        What they place.
    """

    name: str
    instances: int
    cells: dict[str, float]
    own: dict[str, float]
    parts: tuple["Group", ...]


def hierarchy(modules: Mapping[str, Module]) -> Group:
    """The whole, which is the last of `modules`, in groups."""
    *_, top = modules
    whole = totals(modules)

    def group(name: str, members: Mapping[str, int]) -> Group:
        def cells(of: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
            return {kind: sum(count * of[member][kind] for member, count in members.items()) for kind in KINDS}

        parts: dict[str, Counter[str]] = {}
        for member, count in members.items():
            for part, placed in modules[member].places.items():
                parts.setdefault(without_sizes(part), Counter())[part] += count * placed
        inside = tuple(group(part, found) for part, found in parts.items())
        own = cells({member: modules[member].cells for member in members})
        return Group(name, sum(members.values()), cells(whole), own, inside)

    return group(top, {top: 1})


def without_sizes(module: str) -> str:
    """A module's name without the sizes behind it.

    >>> [without_sizes(name) for name in ("reader_32x64_words", "walker_16", "float_add_binary32", "vpu")]
    ['reader', 'walker', 'float_add_binary32', 'vpu']
    """
    return re.sub(r"_\d+(x\d+)*(_words)?$", "", module)
