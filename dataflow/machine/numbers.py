"""What the machine's C++ is told, as whole numbers, and what it tells: sizes, commands, counts; and the header of them in C++.

Each struct of the header has the fields of the same name here, in their order, of 64 bits each.
"""

from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from enum import IntEnum, IntFlag
from typing import NamedTuple

from hw.config import AcceleratorConfig
from hw.isa import microarchitecture
from hw.isa.bits import PassOption, PassStep, UpdateCopy, takes_pairs, takes_residual, takes_third
from hw.isa.bounds import GUARD_BITS
from hw.isa.commands import COMMANDS, LOOPS, NO_LIMIT, Command, Counter, Loop, Opcode, Pass, Sink, Source, Walk
from hw.isa.encoding import words
from hw.isa.operands import MASK_SETS, chunk_elements, feed_words, read_cycles
from hw.isa.reductions import across_cycles, partial_sums, result_cycles
from hw.isa.registers import COUNTERS

CONSTANTS = {"LOOPS": LOOPS, "NO_LIMIT": NO_LIMIT, "GUARD_BITS": GUARD_BITS, "MASK_SETS": MASK_SETS}
ENUMS: tuple[type[IntEnum | IntFlag], ...] = (Opcode, Source, Sink, Counter, PassStep, PassOption, UpdateCopy)

OF_CONFIG = (
    "rows", "columns", "vpu_lanes", "axi_data_bytes", "axi_burst_beats", "axi_fifo_beats", "writer_beats", "address_bits",
    "interleave_slots", "add_latency_cycles", "uspe_latency_cycles", "drain_steps", "array_latency_cycles",
    "result_buffer_words", "stationary_steps", "stationary_skew_steps", "stationary_period_steps", "vpu_latency_cycles",
    "wuve_latency_cycles", "turned_block_words",
)  # fmt: skip
"""Attributes of `AcceleratorConfig`."""

COUNTED = tuple(name for name in COUNTERS if name != "cycles")
"""What a machine counts of a program."""


class Run(NamedTuple):
    """How a program is run.

    Parameters
    ----------
    latency_cycles, interval_cycles : int
        Of the memory.
    words, address : int
        Of the program as it is read: how many, and its byte in the window.
    overflow, skips : bool
        Whether conditional commands are skipped; whether the machine skips what happens again.
    """

    latency_cycles: int
    interval_cycles: int
    words: int
    address: int
    overflow: bool
    skips: bool


class Moment(NamedTuple):
    """What has been counted when results are complete."""

    cycle: int
    array_busy: int
    array_waits_operands: int
    array_waits_room: int
    vector_busy: int
    beats: int
    stepped: int = 0


def sizes(config: AcceleratorConfig) -> dict[str, int]:
    """Of an accelerator, in registers, elements, words and cycles."""
    found = {name: int(getattr(config, name)) for name in OF_CONFIG} | {"ports": config.dram_channels}
    for name, lines in (("weight", config.rows), ("activation", config.columns)):
        weights = name == "weight"
        found |= {f"{name}_chunk": chunk_elements(config, lines), f"{name}_feed_words": feed_words(lines, weights=weights)}
        found[f"{name}_read_cycles"] = read_cycles(lines, weights=weights)
    return found | {"across_cycles": across_cycles(config.vpu_lanes, config.vector_latency_cycles)}


def derived(config: AcceleratorConfig, command: Pass) -> dict[str, int]:
    """What follows from a pass's fields: of the operands that it takes, and of its reductions."""
    in_turn, across = (bool(command.options & option) for option in (PassOption.IN_TURN, PassOption.ACROSS))
    partials = partial_sums(config.vpu_lanes, in_turn=in_turn, across=across)
    latency = config.vector_latency_cycles
    return {
        "takes_pairs": int(takes_pairs(command.steps, command.options)),
        "takes_third": int(takes_third(command.steps)),
        "takes_residual": int(takes_residual(command.steps)),
        "result_cycles": result_cycles(command.groups, command.terms, latency, partials) if command.groups else 0,
    }


def flat(part: Command | Walk | Loop) -> Iterator[int]:
    """Fields, and those of what stands in them."""
    for entry in fields(part):
        value = getattr(part, entry.name)
        for one in value if isinstance(value, tuple) else (value,):
            if is_dataclass(one):
                yield from flat(one)  # type: ignore[arg-type]  # a walk or a loop
            else:
                yield int(one)


def numbers(config: AcceleratorConfig, commands: Sequence[Command]) -> list[int]:
    """Of each command: opcode, length in words, how many numbers there are, and these."""
    found: list[int] = []
    for command in commands:
        of_command = [*flat(command), *(derived(config, command).values() if isinstance(command, Pass) else ())]
        found += [command.OPCODE, words(type(command)), len(of_command), *of_command]
    return found


def header(config: AcceleratorConfig) -> str:
    """The C++ header; `config` is any."""
    lines = ["// Made by dataflow/machine/numbers.py of hw/isa.", "#pragma once", "#include <cstdint>", "namespace machine {"]
    lines.append("using Int = std::int64_t;")
    constants = CONSTANTS | {name: value for name, value in vars(microarchitecture).items() if name.isupper()}
    lines += [f"constexpr Int {name} = {value};" for name, value in constants.items()]
    for kind in ENUMS:
        members = ", ".join(f"{member.name} = {int(member)}" for member in kind)
        lines.append(f"namespace {kind.__name__} {{ enum : Int {{ {members} }}; }}")
    lines.append(_struct("Sizes", sizes(config)))
    lines += [_struct("Run", Run._fields), _struct("Counters", COUNTED), _struct("Moment", Moment._fields)]
    lines += [_struct(kind.__name__, _members(kind)) for kind in (Loop, Walk)]
    lines.append(_struct("Header", ["conditional"]))
    for command in COMMANDS.values():
        lines.append(_struct(command.__name__, [*_members(command), *(derived(config, Pass()) if command is Pass else ())]))
    return "\n".join([*lines, "}", ""])


def _members(kind: type) -> Iterator[str]:
    """Fields as members, with their type where it is no number."""
    example = kind()
    for entry in fields(kind):
        value = getattr(example, entry.name)
        if isinstance(value, tuple):
            yield f"Loop {entry.name}[LOOPS]"
        else:
            yield f"Walk {entry.name}" if isinstance(value, Walk) else entry.name


def _struct(name: str, members: Iterator[str] | Sequence[str] | dict[str, int]) -> str:
    declared = " ".join(f"{member};" if " " in member else f"Int {member};" for member in members)
    return f"struct {name} {{ {declared} }};"
