"""The accelerator or one of its blocks as a folder for an FPGA project: Verilog, what tools want beside it, a manifest of all.

Each distinct module stands once in the Verilog.
"""

import hashlib
import inspect
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from amaranth.hdl import Shape, ShapeLike, Value
from amaranth.lib import data, wiring

from hw.accelerator.sat import SAT
from hw.accelerator.units import check_sat
from hw.array.array import Element
from hw.array.stce import STCE
from hw.array.uspe import USPE
from hw.boards.pins import find_board
from hw.boards.top import SerialBoard, check_serial
from hw.config import AcceleratorConfig
from hw.engines.functions import FunctionUnit
from hw.engines.pregenerate import Pregenerate, check_pregeneration
from hw.engines.reductions import ReductionUnit
from hw.engines.sore import SORE
from hw.engines.transpose import Transpose, check_lanes
from hw.engines.vpu import VPU
from hw.engines.wuve import WUVE
from hw.errors import InputError
from hw.export.packaging import (
    ecp5_board,
    fusesoc_core,
    out_of_context,
    register_map,
    register_standards,
    vcu1525,
    verilog_file,
    vivado_ip,
)
from hw.export.packaging.interfaces import with_interfaces
from hw.files import hash_files
from hw.mac.dsp48e2 import MODELS
from hw.parts.modules import ModuleLibrary, port_name

TOP = "stce"
PACKAGING = Path(__file__).with_name("packaging")
Definitions = dict[str, str]
"""Verilog by module; those that a module places come before it."""
HOST_FILES = ("nmtrain_host.py", "nmtrain.h")
"""Of the host's side, as they stand there."""


def _sat(config: AcceleratorConfig) -> SAT:
    check_sat(config)  # first: Amaranth complains of components that are never used
    return SAT(config)


def _transpose(config: AcceleratorConfig) -> Transpose:
    check_lanes(config.sore_lanes, config.max_group)
    return Transpose(config.storage_format.width, size=config.max_group, lanes=config.sore_lanes)


def _pregenerate(config: AcceleratorConfig) -> Pregenerate:
    check_pregeneration(config)
    return Pregenerate(config)


BLOCKS: dict[str, Callable[[AcceleratorConfig], wiring.Component]] = {
    "sat": _sat,
    TOP: STCE,
    "uspe": USPE,
    "sore": SORE,
    "wuve": WUVE,
    "vpu": VPU,
    "functions": FunctionUnit,
    "reductions": ReductionUnit,
    "transpose": _transpose,
    "pregenerate": _pregenerate,
}
"""What can be exported by itself, by the name of its top module."""


def to_verilog(component: wiring.Component, name: str) -> str:
    """`component` as Verilog with `name` on top; modules that it is made of come first, each once."""
    return verilog_file.whole(_definitions(component, name))


def export(config: AcceleratorConfig, element: Element = USPE) -> tuple[str, dict[str, Any]]:
    """The Verilog text of the array, with any processing element, and its manifest.

    Parameters
    ----------
    config : AcceleratorConfig
        The accelerator.
    element : type of Component
        Its processing element, see `hw.array.stce.STCE`.

    Returns
    -------
    verilog : str
        The same text for the same configuration and version, byte by byte.
    manifest : dict
        ``top``, ``parameters`` (the fields of the configuration), ``ports`` (name, direction, width in bits, and of a record
        its fields: name, lowest bit, bits, whether signed), ``clock``, ``reset``, ``prefix``, ``modules``, ``source_hash`` (of
        the hardware's source files) and ``verilog_hash``, both SHA-256.
    """
    return _describe(STCE(config, element), config, TOP, TOP)


def export_block(
    config: AcceleratorConfig, block: str, *, prefix: str = "", top: str = "", definitions: Definitions | None = None
) -> tuple[str, dict[str, Any]]:
    """As `export`, of the one of `BLOCKS` that is named; `InputError` names them all, or says what `config` lacks.

    `prefix` stands before the name of each module; `top` is the name of the uppermost, in place of prefix and block.
    `definitions` are its modules, where they are there already.
    """
    for option, name in (("prefix", prefix), ("top", top)):
        if not re.fullmatch(r"([A-Za-z_]\w*)?", name):
            raise InputError(f"{option} must be letters, digits and '_', no digit first, not {name!r}")
    return _describe(find_block(config, block), config, block, top or prefix + block, prefix, definitions)


def usual_prefix(config: AcceleratorConfig) -> str:
    """Before the names of an exported folder's modules, so that two configurations can stand in one design."""
    return re.sub(r"\W", "_", config.name) + "_"


def export_folder(
    config: AcceleratorConfig,
    block: str,
    *,
    prefix: str | None = None,
    top: str = "",
    definitions: Definitions | None = None,
) -> dict[str, str]:
    """All files of an export by name, as `hw.export.packaging` draws them; `prefix` is `usual_prefix` unless it is given.

    The manifest comes last, and says in ``files`` what SHA-256 each other file has: where it is as the files are, an export was
    written to its end.
    """
    prefix = usual_prefix(config) if prefix is None else prefix
    verilog, manifest = export_block(config, block, prefix=prefix, top=top, definitions=definitions)
    top = manifest["top"]
    files = {
        f"{block}.v": verilog,
        f"{block}.core": fusesoc_core.core(config, block, top, [MODELS.name] if needs_models(verilog) else []),
        f"{block}_ooc.xdc": out_of_context.constraints(config, block),
        f"{block}_ooc.tcl": out_of_context.project_setting(block),
    }
    if needs_models(verilog):
        files[MODELS.name] = MODELS.read_text(encoding="utf-8")
    if block == "sat":
        files["package_ip.tcl"] = vivado_ip.script(config, block, manifest)
        files["vcu1525.tcl"] = vcu1525.script(config, block, manifest["clock"], manifest["reset"])
        files["vcu1525.xdc"] = vcu1525.constraints()
        files["registers.json"] = register_map.register_json(config)
        files["registers.h"] = register_map.register_header()
        files["registers.rdl"] = register_standards.register_rdl(config)
        files["registers.xml"] = register_standards.register_ipxact(config, files["registers.rdl"])
        files |= {name: (PACKAGING / name).read_text(encoding="utf-8") for name in HOST_FILES}
    manifest["files"] = {name: _sha256(text) for name, text in files.items()}
    return files | {"manifest.json": json.dumps(manifest, indent=2) + "\n"}


def export_serial(
    config: AcceleratorConfig, baud: int, memory_bytes: int, *, prefix: str | None = None, board: str | None = None
) -> dict[str, str]:
    """As `export_folder`, of the whole accelerator, with a design around it: its memory, and a serial line for the host.

    Of a board also its top, its constraints and what makes a bitstream, see `hw.boards.pins`.

    Raises
    ------
    InputError
        If the configuration cannot have it, see `hw.boards.top.check_serial` and `hw.boards.pins.find_board`.
    """
    prefix = usual_prefix(config) if prefix is None else prefix
    check_sat(config)
    divisor = check_serial(config, baud, memory_bytes)
    found = find_board(config, board) if board else None
    top, sat = f"{prefix}serial", f"{prefix}sat"
    design = _with_sources(SerialBoard(config, memory_bytes, divisor), top, prefix)
    count = [*design].index(sat) + 1  # the accelerator, and before it all that it places
    inside, own = dict([*design.items()][:count]), dict([*design.items()][count:])
    files = export_folder(config, "sat", prefix=prefix, definitions=inside)
    manifest = json.loads(files.pop("manifest.json"))
    files["serial.v"] = verilog_file.whole(own, verilog_file.header(config, "sat with memory and a serial line", top))
    manifest["serial"] = {"top": top, "modules": list(own), "memory_bytes": memory_bytes, "baud": baud}
    if found:
        files |= ecp5_board.files(found, top)
        manifest["board"] = {"name": found.name, "top": found.module}
    manifest["files"] = {name: _sha256(text) for name, text in files.items()}
    return files | {"manifest.json": json.dumps(manifest, indent=2) + "\n"}


def needs_models(verilog: str) -> bool:
    """Whether there are primitives of a device in it, which simulators have no models of."""
    return "  DSP48E2 #(" in verilog


def find_block(config: AcceleratorConfig, block: str) -> wiring.Component:
    """The one of `BLOCKS` that is named; `InputError` names them all, or says what `config` lacks."""
    if block not in BLOCKS:
        raise InputError(f"unknown block {block!r}; allowed: {', '.join(BLOCKS)}")
    return BLOCKS[block](config)


def modules_of(config: AcceleratorConfig, block: str) -> dict[str, str]:
    """The Verilog of each module that the one of `BLOCKS` is made of, by name; those that one places come before it."""
    return _definitions(find_block(config, block), block)


def _definitions(top: wiring.Component, name: str, prefix: str = "") -> Definitions:
    """Verilog by module, with module `name` on top, which is the last."""
    library = ModuleLibrary(prefix)
    library.define(top, name)
    return library.verilog()


def _with_sources(top: wiring.Component, name: str, prefix: str) -> Definitions:
    """As `_definitions`, each module with the file and line of its class as attribute ``src``, as Yosys has it."""
    library = ModuleLibrary(prefix)
    library.define(top, name)
    return {module: f'(* src = "{_place(library.classes[module])}" *)\n{text}' for module, text in library.verilog().items()}


def _place(kind: type) -> str:
    """File and line of a class."""
    return f"{kind.__module__.replace('.', '/')}.py:{inspect.getsourcelines(kind)[1]}"


def _describe(
    top: wiring.Component,
    config: AcceleratorConfig,
    block: str,
    name: str,
    prefix: str = "",
    definitions: Definitions | None = None,
) -> tuple[str, dict[str, Any]]:
    """Verilog with module `name` on top, and its manifest."""
    if definitions is None:
        definitions = _with_sources(top, name, prefix)
    else:
        definitions, top._MustUse__used = dict(definitions), True  # its elaboration is done
    if block == "sat":
        definitions[name] = with_interfaces(config, definitions[name], "clk", "rst")
    verilog = verilog_file.whole(definitions, verilog_file.header(config, block, name))
    ports = [
        {
            "name": port_name(path),
            "direction": "input" if member.flow == wiring.In else "output",
            "width": len(Value.cast(signal)),
        }
        | _record(member.shape)
        for path, member, signal in top.signature.flatten(top)
    ]
    manifest = {
        "top": name,
        "prefix": prefix,
        "parameters": asdict(config),
        "clock": "clk",
        "reset": "rst",
        "ports": ports,
        "modules": list(definitions),
        "source_hash": source_hash(),
        "verilog_hash": _sha256(verilog),
    }
    return verilog, manifest


def _record(shape: ShapeLike) -> dict[str, Any]:
    """The fields of a port that is a record, those of records in it by their dotted names."""
    return {"fields": list(_fields(shape, "", 0))} if isinstance(shape, data.Layout) else {}


def _fields(shape: ShapeLike, name: str, low: int) -> Iterator[dict[str, Any]]:
    if isinstance(shape, data.Layout):
        for key, field in shape:
            part = f"[{key}]" if isinstance(key, int) else f".{key}" if name else str(key)
            yield from _fields(field.shape, name + part, low + field.offset)
    else:
        plain = Shape.cast(shape)
        yield {"name": name, "bit": low, "bits": plain.width, "signed": plain.signed}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def source_hash() -> str:
    """SHA-256 over the hardware's source files, names and contents, in order."""
    folder = Path(__file__).parents[1]
    return hash_files(folder, folder.rglob("*.py"))
