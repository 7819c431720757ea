"""The accelerator's registers, behind AXI4-Lite (plain Python): one table for hardware, documentation and drivers."""

from dataclasses import dataclass
from enum import IntEnum

IDENTITY = 0x4E4D5452
"""``NMTR``."""

VERSION = 1


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


class Unit(IntEnum):
    """Who stopped; a reader or a writer is told by its number behind the first."""

    CONTROL = 0
    ARRAY = 1
    VECTOR = 2
    READERS = 16
    WRITERS = 32


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
        What it holds.
    """

    name: str
    offset: int
    writable: bool
    doc: str


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


def _table() -> tuple[Register, ...]:
    rows = [
        ("identity", False, f"{IDENTITY:#010x}, NMTR in ASCII"),
        ("version", False, f"{VERSION}: of registers and commands"),
        ("control", True, "write 1: bit 0 starts the program, bit 1 resets all units, bit 2 clears the interrupt"),
        ("status", False, "bit 0 idle, 1 running, 2 done, 3 error, 4 overflow, 5 reset under way"),
        ("error_code", False, "; ".join(f"{code.value} {code.name.lower().replace('_', ' ')}" for code in ErrorCode)),
        ("error_unit", False, "; ".join(f"{unit.value} {unit.name.lower()}" for unit in Unit)),
        ("error_address", False, "where: a byte in the window, or 0"),
        ("error_command", False, "commands that had been begun, the last one included"),
        ("window_base_low", True, "address of the window, a multiple of 4096"),
        ("window_base_high", True, "its upper half"),
        ("window_bytes", True, "length of the window"),
        ("program_address", True, "byte in the window of the program's first word, a multiple of 4"),
        ("program_bytes", True, "length of the program, a multiple of 4"),
        ("interrupt_enable", True, "bit 0: interrupt at the end of a program and at an error"),
        ("interrupt_status", False, "bit 0: there was one"),
        ("watchdog_cycles", True, "cycles without any progress after which the program is stopped; 0: never"),
        ("array_size", False, "rows in bits 15..0, columns in 31..16"),
        ("array_slots", False, "interleave slots in bits 15..0, max_group in 31..16"),
        ("lanes", False, "vector lanes in bits 15..0, bytes of a beat in 31..16"),
        ("storage", False, "exponent bits in 15..0, mantissa bits in 31..16"),
    ]
    counters = [(f"{name}_{half}", False, f"{doc}, {half} half") for name, doc in COUNTERS.items() for half in ("low", "high")]
    return tuple(Register(name, 4 * place, writable, doc) for place, (name, writable, doc) in enumerate((*rows, *counters)))


REGISTERS = _table()
OFFSETS = {register.name: register.offset for register in REGISTERS}
ADDRESS_BITS = 12
