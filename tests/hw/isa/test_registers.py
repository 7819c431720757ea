"""The register map, which drivers are written for: offsets, bits and numbers as they are published."""

from dataclasses import replace

import pytest

from hw.config import PRESETS
from hw.isa import registers
from hw.isa.registers import COUNTERS, FIELDS, OFFSETS, REGISTERS, ErrorCode, after_reset

TINY = PRESETS["tiny"]


def test_offsets_and_bits():
    """Words one behind the other, counters in two halves behind all others, in a space of 4 KiB."""
    due = {
        "identity": 0x00, "version": 0x04, "control": 0x08, "status": 0x0C, "error_code": 0x10, "error_unit": 0x14,
        "error_address": 0x18, "error_command": 0x1C, "window_base_low": 0x20, "window_base_high": 0x24, "window_bytes": 0x28,
        "window_bytes_high": 0x2C, "program_address": 0x30, "program_address_high": 0x34, "program_bytes": 0x38,
        "interrupt_enable": 0x3C, "interrupt_status": 0x40, "watchdog_cycles": 0x44, "array_size": 0x48, "array_slots": 0x4C,
        "lanes": 0x50, "storage": 0x54, "cycles_low": 0x58, "cycles_high": 0x5C,
    }  # fmt: skip
    assert {name: OFFSETS[name] for name in due} == due
    assert len(REGISTERS) == 22 + 2 * len(COUNTERS) and OFFSETS["write_waits_memory_high"] == 4 * (len(REGISTERS) - 1)
    assert registers.ADDRESS_BITS == 12
    status = ["idle", "running", "done", "error", "overflow", "resetting", "refused"]
    assert [(field.name, field.low, field.bits) for field in FIELDS["status"]] == [
        (one, at, 1) for at, one in enumerate(status)
    ]
    control = ["start", "reset", "clear"]
    assert [(field.name, field.low, field.bits) for field in FIELDS["control"]] == [
        (one, at, 1) for at, one in enumerate(control)
    ]
    halves = [("rows", 0, 16), ("columns", 16, 16)]
    assert [(field.name, field.low, field.bits) for field in FIELDS["array_size"]] == halves
    storage = [("exponent_bits", 0, 15), ("finite", 15, 1), ("mantissa_bits", 16, 16)]
    assert [(field.name, field.low, field.bits) for field in FIELDS["storage"]] == storage
    assert [field.place for field in FIELDS["storage"]] == ["bits 14..0", "bit 15", "bits 31..16"]


def test_numbers_of_errors_and_units():
    names = "none illegal_command illegal_field outside_window read_response write_response beyond_buffer no_progress"
    assert [code.name.lower() for code in ErrorCode] == [*names.split(), "no_halt", "illegal_setting"]
    assert [code.value for code in ErrorCode] == list(range(10))
    units = registers.unit_numbers()
    assert (units["control"], units["array"], units["vector"]) == (0, 1, 2)
    assert (units["reader_fetch"], units["reader_weights"], units["writer_results"]) == (16, 17, 32)
    assert len(set(units.values())) == len(units)


@pytest.mark.parametrize(
    "name, doc",
    [
        ("window_base_low", "address of the window, a multiple of 4096"),
        ("window_bytes", "length of the window, a multiple of 4"),
        ("program_bytes", "length of the program, of as many words as `count_bits` count, a multiple of 4, at least 4"),
        ("window_base_high", "its upper half"),
    ],
)
def test_what_a_program_is_not_started_without(name, doc):
    (register,) = (one for one in REGISTERS if one.name == name)
    assert register.writable and register.meaning == doc


def test_what_registers_read_as():
    """NMTR in ASCII; binary16 has 5 and 10 bits and infinities; the watchdog 2²⁰ cycles; idle is bit 0."""
    found = after_reset(TINY)
    assert found["identity"].to_bytes(4, "big") == b"NMTR" and found["version"] == 6
    assert (found["status"], found["watchdog_cycles"], found["control"], found["cycles_low"]) == (1, 1_048_576, 0, 0)
    assert found["array_size"] == TINY.rows + 65536 * TINY.columns
    assert found["array_slots"] == TINY.interleave_slots + 65536 * TINY.max_group
    assert found["lanes"] == TINY.vpu_lanes + 65536 * TINY.axi_data_bytes
    assert found["storage"] == 5 + 65536 * 10
    eight = registers.constants(replace(TINY, storage="float8_e4m3fn"))
    assert eight["storage"] == 4 + 32768 + 65536 * 3  # without infinities
    assert registers.constants(TINY).items() <= found.items()


def test_bits_that_settings_may_have():
    """Addresses as wide as the window's, and as many words of a program as are counted, 4 bytes each."""
    narrow = replace(TINY, address_bits=20, count_bits=16)
    assert registers.setting_bits(narrow) == {"program_address": 20, "program_address_high": 0, "program_bytes": 18}
    assert registers.setting_bits(replace(TINY, address_bits=40))["program_address_high"] == 8
    assert "program_address" not in registers.setting_bits(replace(TINY, address_bits=32))
