"""The accelerator's registers, behind AXI4-Lite (plain Python): one table for hardware, documentation and drivers."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from hw.config import AcceleratorConfig
from hw.isa.commands import Sink, Source
from hw.isa.microarchitecture import PAGE_BYTES

IDENTITY = 0x4E4D5452
"""``NMTR``."""

VERSION = 6

WATCHDOG_CYCLES = 1 << 20
"""After a reset; 5 ms at 200 MHz, longer than any memory takes to answer."""


class ErrorCode(IntEnum):
    """Why the accelerator stopped."""

    NONE = 0
    ILLEGAL_COMMAND = 1
    ILLEGAL_FIELD = 2
    OUTSIDE_WINDOW = 3
    READ_RESPONSE = 4
    WRITE_RESPONSE = 5
    BEYOND_BUFFER = 6
    NO_PROGRESS = 7
    NO_HALT = 8
    ILLEGAL_SETTING = 9


class Unit(IntEnum):
    """Who stopped; a reader or a writer is told by its number behind the first."""

    CONTROL = 0
    ARRAY = 1
    VECTOR = 2
    READERS = 16
    WRITERS = 32


def unit_numbers() -> dict[str, int]:
    """What `error_unit` may hold, by name."""
    numbers = {unit.name.lower(): unit.value for unit in (Unit.CONTROL, Unit.ARRAY, Unit.VECTOR)}
    numbers |= {f"reader_{source.name.lower()}": Unit.READERS + source for source in Source}
    return numbers | {f"writer_{sink.name.lower()}": Unit.WRITERS + sink for sink in Sink}


@dataclass(frozen=True)
class Field:
    """Bits of a register.

    Parameters
    ----------
    name : str
        In hardware and drivers.
    low, bits : int
        The lowest bit, and how many.
    doc : str
        What they hold, or do when 1 is written.
    """

    name: str
    low: int
    bits: int
    doc: str

    @property
    def place(self) -> str:
        """Which bits, in words."""
        return f"bit {self.low}" if self.bits == 1 else f"bits {self.low + self.bits - 1}..{self.low}"


@dataclass(frozen=True)
class Register:
    """A 32-bit register.

    Parameters
    ----------
    name : str
        In hardware and drivers.
    offset : int
        Byte address.
    writable : bool
        Whether writes have an effect.
    doc : str
        What it holds, beside its fields and values.
    fields : tuple of Field
        Its parts, where it is not one number.
    values : dict of str to int, optional
        The numbers that it may hold, by name, where these are few.
    multiple, least : int
        What a program is not started without: the number is a multiple, and not less.
    """

    name: str
    offset: int
    writable: bool
    doc: str
    fields: tuple[Field, ...] = ()
    values: dict[str, int] | None = None
    multiple: int = 1
    least: int = 0

    @property
    def summary(self) -> str:
        """What it holds, beside its fields and values, and what a program is not started without."""
        rules = [f"a multiple of {self.multiple}"] if self.multiple > 1 else []
        rules += [f"at least {self.least}"] if self.least else []
        return ", ".join(filter(None, [self.doc, *rules]))

    @property
    def meaning(self) -> str:
        """All that it holds, in words."""
        parts = [f"{field.place} {field.doc}" for field in self.fields]
        parts += [f"{number} {name.replace('_', ' ')}" for name, number in (self.values or {}).items()]
        return ": ".join(part for part in (self.summary, "; ".join(parts)) if part)


COUNTERS = {
    "cycles": "cycles from start to the end of the program",
    "read_beats": "beats read from memory",
    "write_beats": "beats written to memory",
    "array_busy": "cycles in which a tile was in the array or waited for it",
    "array_waits_operands": "cycles in which a part waited for its operands",
    "array_waits_room": "cycles in which a tile waited for the output buffer",
    "load_waits_free": "cycles in which a block waited for a share of an operand buffer",
    "vector_busy": "cycles in which a pass or an update was under way",
    "vector_waits_operands": "cycles in which the vector unit waited for an operand",
    "vector_waits_room": "cycles in which it waited for a writer",
    "read_waits_memory": "cycles in which a reader waited for a beat, added up over all readers",
    "write_waits_memory": "cycles in which a writer waited for the port, added up over all writers",
}
"""Performance counters, since the last start."""


def _bits(**docs: str) -> tuple[Field, ...]:
    """Fields of a bit each, from bit 0 on."""
    return tuple(Field(name, place, 1, doc) for place, (name, doc) in enumerate(docs.items()))


def _halves(**docs: str) -> tuple[Field, ...]:
    """Fields of half a word each, the lower one first."""
    return tuple(Field(name, 16 * place, 16, doc) for place, (name, doc) in enumerate(docs.items()))


STORAGE_FIELDS = (
    Field("exponent_bits", 0, 15, "exponent bits"),
    Field("finite", 15, 1, "no infinities"),
    Field("mantissa_bits", 16, 16, "mantissa bits"),
)


def _table() -> tuple[Register, ...]:
    control = _bits(start="starts the program", reset="resets all units", clear="clears the interrupt and `refused`")
    status = _bits(
        idle="idle", running="running", done="done", error="error", overflow="overflow", resetting="reset under way",
        refused="a start was refused: a program was running, an error stood, or a reset was under way",
    )  # fmt: skip
    rows: list[tuple[Any, ...]] = [
        ("identity", False, f"{IDENTITY:#010x}, NMTR in ASCII"),
        ("version", False, f"{VERSION}: of registers and commands"),
        ("control", True, "write 1", control),
        ("status", False, "", status),
        ("error_code", False, "", (), {code.name.lower(): code.value for code in ErrorCode}),
        ("error_unit", False, "", (), unit_numbers()),
        ("error_address", False, "where: the low half of an address in the window, of a setting its register's offset, or 0"),
        ("error_command", False, "commands that had been begun, the last one included"),
        ("window_base_low", True, "address of the window", (), None, PAGE_BYTES),
        ("window_base_high", True, "its upper half"),
        ("window_bytes", True, "length of the window", (), None, 4),
        ("window_bytes_high", True, "its upper half"),
        ("program_address", True, "byte in the window of the program's first word, within `address_bits`", (), None, 4),
        ("program_address_high", True, "its upper half"),
        ("program_bytes", True, "length of the program, of as many words as `count_bits` count", (), None, 4, 4),
        ("interrupt_enable", True, "", _bits(enable="interrupts at the end of a program and at an error")),
        ("interrupt_status", False, "", _bits(pending="a program has ended, or there was an error")),
        ("watchdog_cycles", True, "cycles without any progress after which the program is stopped; 0: never"),
        ("array_size", False, "", _halves(rows="rows", columns="columns")),
        ("array_slots", False, "", _halves(slots="interleave slots", max_group="max_group")),
        ("lanes", False, "", _halves(lanes="vector lanes", beat_bytes="bytes of a beat")),
        ("storage", False, "", STORAGE_FIELDS),
    ]
    rows += [(f"{name}_{half}", False, f"{doc}, {half} half") for name, doc in COUNTERS.items() for half in ("low", "high")]
    return tuple(Register(name, 4 * place, *row) for place, (name, *row) in enumerate(rows))


REGISTERS = _table()
OFFSETS = {register.name: register.offset for register in REGISTERS}
FIELDS = {register.name: register.fields for register in REGISTERS}
ADDRESS_BITS = 12


def setting_bits(config: AcceleratorConfig) -> dict[str, int]:
    """How many of a setting's bits may be set, where that is not all of them: no program is started with others."""
    bits = {
        "program_address": config.address_bits,
        "program_address_high": max(0, config.address_bits - 32),
        "program_bytes": config.count_bits + 2,
    }
    return {name: count for name, count in bits.items() if count < 32}


def constants(config: AcceleratorConfig) -> dict[str, int]:
    """What the registers hold that tell what the accelerator is."""
    storage = config.storage_format
    return {
        "identity": IDENTITY,
        "version": VERSION,
        "array_size": config.rows | config.columns << 16,
        "array_slots": config.interleave_slots | config.max_group << 16,
        "lanes": config.vpu_lanes | config.axi_data_bytes << 16,
        "storage": storage.exponent_bits | storage.finite << 15 | storage.mantissa_bits << 16,
    }


def after_reset(config: AcceleratorConfig) -> dict[str, int]:
    """What each register reads as after a reset."""
    states = {"status": 1 << FIELDS["status"][0].low, "watchdog_cycles": WATCHDOG_CYCLES}
    return {register.name: 0 for register in REGISTERS} | states | constants(config)
