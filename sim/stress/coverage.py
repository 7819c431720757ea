"""``python -m sim.stress.coverage [FOLDER]``: what of the RTL its traffic exercises, and why the rest is not.

Counted are lines, branches and, both ways, toggles of the bits of every signal that has a name; what Yosys named itself lies
between signals that have one. Of the units around the array and the vector blocks, whose addresses and counts are wide and
seldom large, lines and branches alone are counted.
"""

import re
import shutil
import sys
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from hw.files import write_json
from hw.formats import BINARY16, BINARY32
from hw.parts.verilog_text import GENERATED
from sim.simulators.verilator import coverage_in
from sim.stress.every_block import play_array, play_vectors
from sim.stress.every_unit import SMALL, play_accelerator

KINDS = ("line", "branch", "toggle")

LOW = "|".join(str(bit) for bit in range(256) if bit % BINARY32.width < BINARY32.mantissa_bits - BINARY16.mantissa_bits)
"""Mantissa bits of binary32 that binary16 does not have, in up to eight numbers side by side."""

REASONS: dict[str, str] = {
    r".* branch .*if \(start ?\).*": "Yosys's own: starts a combinational process at time 0, never true",
    r"float_\w+ toggle (is_zero|zeros)_\S+ 1->0": "padding of a count of leading zeros to a power of two: always zeros",
    rf"(float_convert_binary16_binary32|vpu_lane) toggle (\w+__)?(o|b|r|round_bits|unrounded)\[({LOW})\] .*": (
        "mantissa bits that a widened binary16 leaves zero"
    ),
    r"(float_multiply_binary16|uspe) toggle (\w+__)?(o|a|round_bits|unrounded)\[[01]\] .*": (
        "mantissa bits that a product of two binary16 leaves zero"
    ),
    r"float_convert_binary16_binary32 toggle (unpack_)?headroom\[8\] .*": "exponents of binary32 that binary16 does not have",
    r"float_((convert|multiply)_binary32\w* toggle \w+_right\[([7-9]|10)|scale_binary32 toggle \w+_right\[[89])\] .*": (
        "shifts further than the smallest exponent asks for"
    ),
    r"(pregenerate|sore) toggle \S+\.n\[[34]\] .*": "N above 4, for which SORE has no slots; the field is as wide as that of M",
    r"sore(_lane_4)? toggle (lane_\d__)?active\[3\] 1->0": "the youngest slot takes part in every group, as N is at least 1",
    r"(pregenerate|stream_fork) toggle (fork__|turn__)?(o_2__ready|i__ready|done\[2\]) 1->0": (
        "a transposition that is full, after a stall of the backward copy longer than a block (proved in tests/formal)"
    ),
    r"(stationary_sequencer|sequencer|stce) toggle (\S+\.)?(tiles?|(last_)?round[s_]?|vectors|period|step)\[(?![0-3]\]).*": (
        "upper bits of sizes and their counters, for larger products than are played"
    ),
    r"(stationary_sequencer|sequencer|stce) toggle (\S+\.)?(slot_\w+\[[3-7]|column\[[2-7])\] .*": (
        "upper bits of interleave slots, of which there are 4"
    ),
    r"(stationary_sequencer|sequencer|stce) toggle (\S+\.)?(group_rounds\[[5-7]|in_group\[[4-7])\] .*": (
        "upper bits of the rounds of a group, of which there are at most 16"
    ),
    r"stce\.partial toggle (w_rdy 1->0|(inner_level\[3\]|([rw]_)?level\[4\]) .*)": (
        "a full FIFO of partial sums: a tile's last ones are still in the array when its first ones leave"
    ),
    r"(plain_walker|fetch_reader) (line|branch|toggle) .*": (
        "programs are fetched by the simplest of walks, a run of words: what else walks and readers do is covered in the others"
    ),
    r"walker_\d+ branch .* else: end else if \(.*": "the inner tile counter counts up or starts again: never neither",
    r"reader_16x(16|32) branch .*\? lane_([89]|1[0-5]) .*": "a beat of 8 bytes has no more than 8 elements",
    r"walker_16 branch .* cond_else: .* 8'h10;": "a chunk of more than 16 elements, the same",
    rf"feed branch .* cond_else: .* 32'd{SMALL.stationary_period_steps} .*": (
        "tiles of more vectors than the array is deep, for which the buffers of this size have no room"
    ),
    r"activations_feed branch .* else: if \(.*": "activations have no blocks of rows",
    r"result_buffer branch .* else: if \(n_\d+.*": "a word of sums is one word of the lanes, which are as many as the rows",
    r"control branch .* else: if \(bus__strobes.*": "the harness writes whole registers",
    r"axi_lite branch .* else: if \(s_axi_arready.*": "the harness takes what it reads at once",
}
"""Why what matches is not covered: a regular expression for ``module kind name``, see `Item`, and the reason."""


@dataclass(frozen=True, order=True)
class Item:
    """Something that is counted.

    Parameters
    ----------
    module : str
        The Verilog module.
    kind : str
        One of `KINDS`.
    name : str
        Of a toggle, the bit and its change: ``left[2] 0->1``. Otherwise line within the module, Verilator's number of the
        place in it, part and text: ``12:5 if: if (rst) begin``.
    """

    module: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.module} {self.kind} {self.name}"


def read_counts(folder: Path) -> Counter[Item]:
    """How often each item occurred, over all instances of its module and all ``*.dat`` files in a folder.

    Parameters
    ----------
    folder : Path
        As `sim.simulators.verilator.coverage_in` leaves it: with the Verilog (``.v``) whose modules
        count, not the harnesses (``.sv``).
    """
    counts: Counter[Item] = Counter()
    texts = {path.name: _Text(path.read_text(encoding="utf-8")) for path in folder.glob("*.v")}
    for path in sorted(folder.glob("*.dat")):
        for record, count in re.findall(r"^C '(.*)' (\d+)$", path.read_text(encoding="utf-8"), re.MULTILINE):
            fields = dict(field.split("\x02", 1) for field in record.split("\x01") if field)
            if fields["f"] in texts and (item := _item(fields, texts[fields["f"]])):
                counts[item] += int(count)
    wholes = {(item.module, whole) for item in counts for whole in _wholes(item)}
    return Counter({item: count for item, count in counts.items() if (item.module, _signal(item)) not in wholes})


def _signal(item: Item) -> str:
    """The signal whose bit toggles: ``o.value`` of ``o.value[3] 0->1``."""
    return re.sub(r"(\[\d+\])? [01]->[01]$", "", item.name) if item.kind == "toggle" else ""


def _wholes(item: Item) -> list[str]:
    """The signals of which a field is one: ``o.value`` is part of ``o``."""
    signal = _signal(item)
    return [signal[: dot.start()] for dot in re.finditer(r"\.", signal)]


class _Text:
    """Verilog, by lines."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()
        self.modules = [number for number, line in enumerate(self.lines, 1) if line.startswith("module ")]

    def in_module(self, line: int) -> int:
        """A line's number within its module."""
        return line - self.modules[bisect(self.modules, line) - 1]


def _item(fields: Mapping[str, str], text: _Text) -> Item | None:
    """What a record of Verilator's counts; None for a wire without a name."""
    kind, _, module = fields["page"].removeprefix("v_").partition("/")
    # Verilator writes what is no letter or digit as its code.
    module, what = (
        re.sub(r"__0([0-9A-F]{2})", lambda code: chr(int(code[1], 16)), name, flags=re.I) for name in (module, fields["o"])
    )
    if kind == "toggle":
        return None if GENERATED.match(what) else Item(module, kind, what.replace(":", " "))
    line = int(fields["l"])
    return Item(module, kind, f"{text.in_module(line)}:{fields['n']} {what}: {text.lines[line - 1].strip()}")


def explain(counts: Mapping[Item, int], reasons: Mapping[str, str]) -> tuple[dict[str, list[Item]], list[Item]]:
    """Items that never occurred, by the first reason that holds for them, and those without one."""
    explained: dict[str, list[Item]] = defaultdict(list)
    holes: list[Item] = []
    for item in sorted(item for item, count in counts.items() if not count):
        reason = next((why for pattern, why in reasons.items() if re.fullmatch(pattern, str(item))), None)
        (explained[reason] if reason else holes).append(item)
    return dict(explained), holes


def report(counts: Mapping[Item, int], reasons: Mapping[str, str], out: Path) -> int:
    """Print the coverage of each module and the reasons for the rest, and write them to `out`; 1 where a reason is missing."""
    console = Console(highlight=False)
    explained, holes = explain(counts, reasons)
    covered = {module: _covered(counts, module) for module in sorted({item.module for item in counts})}
    table = Table("module", *(f"{kind} of" for kind in KINDS), box=box.SIMPLE)
    for module, parts in covered.items():
        table.add_row(module, *(f"{hit:,} of {total:,}" if total else "" for hit, total in parts.values()))
    console.print(table)
    why = Table("not covered", "items", "for example", box=box.SIMPLE)
    for reason, items in explained.items():
        why.add_row(reason, f"{len(items):,}", str(items[0]))
    console.print(why)
    for hole in holes:
        console.print(f"not covered, without a reason: {hole}", markup=False, soft_wrap=True)
    found = {"modules": covered, "explained": {why: _names(items) for why, items in explained.items()}}
    write_json(out, found | {"unexplained": _names(holes)})
    return int(bool(holes))


def _covered(counts: Mapping[Item, int], module: str) -> dict[str, tuple[int, int]]:
    """Items of a module that occurred, of how many, by kind."""
    by_kind = {kind: [count for item, count in counts.items() if (item.module, item.kind) == (module, kind)] for kind in KINDS}
    return {kind: (sum(map(bool, each)), len(each)) for kind, each in by_kind.items()}


def _names(items: Iterable[Item]) -> list[str]:
    return [str(item) for item in items]


def main(out: Path) -> int:
    """Play every block and report in the folder `out`."""
    blocks, units = out / "coverage" / "blocks", out / "coverage" / "units"
    shutil.rmtree(out / "coverage", ignore_errors=True)
    with coverage_in(blocks):
        play_vectors(seed=1)
        play_array(seed=1)
    with coverage_in(units, toggles=False):
        play_accelerator(seed=1)
    counts = read_counts(blocks)
    played = {item.module for item in counts}
    counts.update({item: count for item, count in read_counts(units).items() if item.module not in played})
    return report(counts, REASONS, out / "coverage.json")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "out")))
