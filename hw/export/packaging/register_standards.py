"""The registers as SystemRDL 2.0, and from that, by the library that reads it, as IP-XACT (IEEE 1685-2014)."""

from collections.abc import Iterator
from importlib.metadata import version

from hw.config import AcceleratorConfig
from hw.export.packaging import VENDOR
from hw.isa.registers import REGISTERS, Field, Register, after_reset, constants
from hw.processes import scratch

MAP = "nmtrain_registers"
"""Name of the address map."""
WHOLE = (Field("value", 0, 32, ""),)
"""The field of a register that is one number."""


def register_rdl(config: AcceleratorConfig) -> str:
    """All registers in SystemRDL; error codes and units are enumerations."""
    enumerations = (line for register in REGISTERS if register.values for line in _enumeration(register.name, register.values))
    reset, fixed = after_reset(config), constants(config)
    registers = (line for one in REGISTERS for line in _register(one, reset[one.name], one.name in fixed))
    title = f"Registers of the N:M sparse training accelerator {config.name}, {config.rows} x {config.columns}"
    return "\n".join(
        [
            f"// {title}; SPDX-License-Identifier: Apache-2.0",
            *enumerations,
            f"addrmap {MAP} {{",
            f'  name = "{title}";',
            "  default regwidth = 32;",
            *registers,
            "};",
            "",
        ]
    )


def _enumeration(name: str, values: dict[str, int]) -> Iterator[str]:
    yield f"enum {name}_values {{"
    yield from (f"  {value} = 32'd{number};" for value, number in values.items())
    yield "};"


def _register(register: Register, reset: int, fixed: bool) -> Iterator[str]:
    """Fields that a program writes, that only the hardware writes, or that never change; bits of `control` are no storage."""
    if register.name == "control":
        access = "sw = w; hw = r; singlepulse;"
    elif register.writable:
        access = "sw = rw; hw = r;"
    else:
        access = f"sw = r; hw = {'na' if fixed else 'w'};"
    yield "  reg {" + (f' desc = "{register.summary}";' if register.summary else "")
    for field in register.fields or WHOLE:
        start = reset >> field.low & (1 << field.bits) - 1
        words = [access, *([f'desc = "{field.doc}";'] if field.doc else [])]
        if register.values:
            words.append(f"encode = {register.name}_values;")
        bits = f"[{field.low + field.bits - 1}:{field.low}]"
        yield f"    field {{ {' '.join(words)} }} {field.name}{bits} = {field.bits}'d{start};"
    yield f"  }} {register.name} @ {register.offset:#05x};"


def register_ipxact(config: AcceleratorConfig, rdl: str) -> str:
    """IP-XACT of the registers that are in `rdl`."""
    from peakrdl_ipxact import IPXACTExporter  # slow to import
    from systemrdl import RDLCompiler

    with scratch() as folder:
        source, written = folder / "registers.rdl", folder / "registers.xml"
        source.write_text(rdl, encoding="utf-8")
        compiler = RDLCompiler()
        compiler.compile_file(str(source))
        exporter = IPXACTExporter(vendor=VENDOR, library=config.name, version=version("nmtrain"))
        exporter.export(compiler.elaborate(), str(written), component_name=MAP)
        return written.read_text(encoding="utf-8")
