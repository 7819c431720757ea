"""Energy of a step: counts of its commands and of the accelerator's counters, times a table of joules; leakage and clocks are
not in it.

M. Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014, figure 1.1.9: 45 nm at 0.9 V.

======================== =================================================
8-bit integers           addition 0.03 pJ
16-bit floating point    multiplication 1.1 pJ
32-bit floating point    multiplication 3.7 pJ, addition 0.9 pJ
64 bits from SRAM        8 KiB 10 pJ, 32 KiB 20 pJ, 1 MiB 100 pJ
64 bits from DRAM        1.3 to 2.6 nJ, of which the lower is taken
======================== =================================================

What stands between its lines follows a power: a multiplication that of the significand's bits, 11 and 24, an SRAM that of its
size. A register is not in it; a bit of the 8-bit addition is taken. An FPGA of any node differs: the figure is for comparing
steps with each other.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from math import isfinite, log
from pathlib import Path
from typing import Any

from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.formats import BINARY16, BINARY32, FloatFormat
from hw.inputs import parse_json, parse_toml, read_text, shown

KIB = 1024


@dataclass(frozen=True, kw_only=True)
class Table:
    """Joules of an operation or an access.

    Parameters
    ----------
    source : str
        Where they come from.
    multiply_16, multiply_32, add_32 : float
        Of binary16 and binary32.
    sram_8_kib, sram_32_kib, sram_1_mib : float
        64 bits of a memory of that size.
    dram_64 : float
        64 bits of DRAM.
    register_bit : float
        A bit from a register to the next.
    """

    source: str = "Horowitz, ISSCC 2014, figure 1.1.9 (45 nm, 0.9 V)"
    multiply_16: float = 1.1e-12
    multiply_32: float = 3.7e-12
    add_32: float = 0.9e-12
    sram_8_kib: float = 10e-12
    sram_32_kib: float = 20e-12
    sram_1_mib: float = 100e-12
    dram_64: float = 1.3e-9
    register_bit: float = 0.03e-12 / 8

    def multiply(self, storage: FloatFormat) -> float:
        """A multiplication of two numbers of a format, by the bits of their significands.

        >>> from hw.formats import FORMATS
        >>> [round(Table().multiply(FORMATS[name]) * 1e12, 2) for name in ("binary16", "bfloat16", "float8_e4m3", "binary32")]
        [1.1, 0.67, 0.23, 3.7]
        """
        low, high, bits = (form.mantissa_bits + 1 for form in (BINARY16, BINARY32, storage))
        return float(self.multiply_16 * (bits / low) ** (log(self.multiply_32 / self.multiply_16) / log(high / low)))

    def sram_byte(self, size_bytes: int) -> float:
        """A byte from a memory of `size_bytes`, a power of the size between the table's (and beyond the last two).

        >>> [round(Table().sram_byte(size * 1024) * 8e12, 1) for size in (8, 16, 32, 1024, 2048)]
        [10.0, 14.1, 20.0, 100.0, 138.0]
        """
        lines = ((8 * KIB, self.sram_8_kib), (32 * KIB, self.sram_32_kib), (KIB * KIB, self.sram_1_mib))
        (low, less), (high, more) = lines[:2] if size_bytes <= 32 * KIB else lines[1:]
        return float(less / 8 * (size_bytes / low) ** (log(more / less) / log(high / low)))


HOROWITZ = Table()


def read_table(path: Path) -> Table:
    """A table from a TOML or JSON file of its fields; what the file leaves out is as usual.

    Raises
    ------
    InputError
        With the file, the field and what is allowed.
    """
    text = read_text(path)
    values = parse_json(text, str(path)) if path.suffix == ".json" else parse_toml(text, str(path))
    known = {field.name for field in fields(Table)}
    if not isinstance(values, dict):
        raise InputError(f"{path}: must be an object of joules by name; allowed: {', '.join(sorted(known))}")
    for name, value in values.items():
        if name not in known:
            raise InputError(f"{path}: unknown field {shown(name)}; allowed: {', '.join(sorted(known))}")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if name == "source" and not isinstance(value, str):
            raise InputError(f"{path}: source must be text, not {shown(value)}")
        if name != "source" and not (number and isfinite(value) and 0 < value < 1):
            raise InputError(f"{path}: {name} must be joules, above 0 and below 1, not {shown(value)}")
    return replace(HOROWITZ, **({"source": path.name} | values))


@dataclass(frozen=True)
class Term:
    """Some of a step's energy: so many, times so much.

    Parameters
    ----------
    key : str
        What it is spent on.
    what, table : str
        What is counted, and the line of the table.
    count : int
        How many.
    each : float
        Joules of one.
    """

    key: str
    what: str
    count: int
    table: str
    each: float


def terms(config: AcceleratorConfig, macs: int, work: Mapping[str, int], memory_bytes: int, table: Table) -> list[Term]:
    """All that is counted.

    Parameters
    ----------
    config : AcceleratorConfig
        The accelerator.
    macs : int
        Multiply-accumulates of the program.
    work : mapping of str to int
        Of its commands, see `dataflow.analysis.work.counts`.
    memory_bytes : int
        By the accelerator's counters.
    table : Table
        Joules.
    """
    multiply, west, north, sums = (
        table.multiply(config.storage_format),
        *(table.sram_byte(size) for size in (config.w2e_buffer_bytes, config.n2s_buffer_bytes, config.output_buffer_bytes)),
    )
    get = work.get
    return [
        Term("multiply_accumulate", "multiply-accumulates: multiplications", macs, f"multiply, {config.storage}", multiply),
        Term("multiply_accumulate", "multiply-accumulates: additions", macs, "add_32", table.add_32),
        Term("links", "bits from element to element", get("link_bits", 0), "register_bit", table.register_bit),
        Term("buffers", "bytes from the weights' buffer", get("west_bits", 0) // 8, "sram", west),
        Term("buffers", "bytes from the activations' buffer", get("north_bits", 0) // 8, "sram", north),
        Term("buffers", "bytes loaded to the weights' buffer", get("west_loaded_bytes", 0), "sram", west),
        Term("buffers", "bytes loaded to the activations' buffer", get("north_loaded_bytes", 0), "sram", north),
        Term("output_buffer", "bytes of sums, in and out", get("sum_bytes", 0), "sram", sums),
        Term("memory", "bytes of beats read and written", memory_bytes, "dram_64", table.dram_64 / 8),
        Term("vector", "multiplications of passes", get("multiplications", 0), "multiply_32", table.multiply_32),
        Term("vector", "additions of passes", get("additions", 0), "add_32", table.add_32),
        Term("update", "multiplications of updates", 3 * get("updated", 0), "multiply_32", table.multiply_32),
        Term("update", "additions of updates", 3 * get("updated", 0), "add_32", table.add_32),
    ]


def joules(parts: list[Term]) -> dict[str, float]:
    """By what they are spent on, and ``step``, their sum."""
    found: dict[str, float] = {}
    for part in parts:
        found[part.key] = found.get(part.key, 0.0) + part.count * part.each
    return found | {"step": sum(found.values())}


def as_rows(parts: list[Term]) -> list[dict[str, Any]]:
    """As plain data, with the joules of each."""
    return [asdict(part) | {"joules": part.count * part.each} for part in parts]
