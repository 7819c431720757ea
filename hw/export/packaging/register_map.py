"""The registers for drivers: as JSON, and as a C header."""

import json
from collections.abc import Iterator
from typing import Any

from hw.config import AcceleratorConfig
from hw.isa.registers import ADDRESS_BITS, IDENTITY, REGISTERS, VERSION, ErrorCode, Register, after_reset, unit_numbers


def register_json(config: AcceleratorConfig) -> str:
    """All registers, and what each reads as after a reset."""
    reset = after_reset(config)
    table = {"bytes": 1 << ADDRESS_BITS, "registers": [_describe(register, reset[register.name]) for register in REGISTERS]}
    return json.dumps(table, indent=2) + "\n"


def _describe(register: Register, reset: int) -> dict[str, Any]:
    described = {
        "name": register.name,
        "offset": register.offset,
        "access": "read-write" if register.writable else "read-only",
        "reset": reset,
        "meaning": register.meaning,
    }
    if register.fields:
        described["fields"] = [
            {"name": field.name, "bit": field.low, "bits": field.bits, "meaning": field.doc} for field in register.fields
        ]
    if register.values:
        described["values"] = register.values
    return described


def register_header() -> str:
    """Offsets, fields, error codes and units as constants of C."""
    lines = [
        "/* Registers of the accelerator: byte offsets, masks and lowest bits of fields, values. See registers.json. */",
        "#ifndef NMTRAIN_REGISTERS_H",
        "#define NMTRAIN_REGISTERS_H",
        *(f"#define NMTRAIN_{name.upper()} {value:#x}u" for name, value in _constants()),
        "#endif",
    ]
    return "\n".join(lines) + "\n"


def _constants() -> Iterator[tuple[str, int]]:
    yield from (("identity", IDENTITY), ("version", VERSION))
    for register in REGISTERS:
        yield f"reg_{register.name}", register.offset
    for register in REGISTERS:
        for field in register.fields:
            yield f"{register.name}_{field.name}_mask", ((1 << field.bits) - 1) << field.low
            yield f"{register.name}_{field.name}_bit", field.low
    for code in ErrorCode:
        yield f"error_{code.name}", code.value
    for name, number in unit_numbers().items():
        yield f"unit_{name}", number
