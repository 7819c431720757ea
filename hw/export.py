"""The accelerator or one of its blocks as a folder for an FPGA project: Verilog, what tools want beside it, a manifest of all.

Each distinct module stands once in the Verilog.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from amaranth.hdl import Value
from amaranth.lib import wiring

from hw.array import Element
from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.files import hash_files
from hw.functions import FunctionUnit
from hw.mac.dsp48e2 import MODELS
from hw.modules import ModuleLibrary, port_name
from hw.packaging import fusesoc_core, out_of_context, register_map, vivado_ip
from hw.pregenerate import Pregenerate, check_pregeneration
from hw.reductions import ReductionUnit
from hw.sat import SAT
from hw.sore import SORE
from hw.stce import STCE
from hw.transpose import Transpose, check_lanes
from hw.units import check_sat
from hw.uspe import USPE
from hw.vpu import VPU
from hw.wuve import WUVE

TOP = "stce"


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
    return "\n".join(_definitions(component, name).values())


def export(config: AcceleratorConfig, element: Element = USPE) -> tuple[str, dict[str, Any]]:
    """The Verilog text of the array, with any processing element, and its manifest.

    Parameters
    ----------
    config : AcceleratorConfig
        The accelerator.
    element : type of Component
        Its processing element, see `hw.stce.STCE`.

    Returns
    -------
    verilog : str
        The same text for the same configuration and version, byte by byte.
    manifest : dict
        ``top``, ``parameters`` (the fields of the configuration), ``ports`` (name, direction, width in bits), ``clock``,
        ``reset``, ``modules``, ``source_hash`` (of the hardware's source files) and ``verilog_hash``, both SHA-256.
    """
    return _describe(STCE(config, element), TOP, config)


def export_block(config: AcceleratorConfig, block: str) -> tuple[str, dict[str, Any]]:
    """As `export`, of the one of `BLOCKS` that is named; `InputError` names them all, or says what `config` lacks."""
    return _describe(find_block(config, block), block, config)


def export_folder(config: AcceleratorConfig, block: str) -> dict[str, str]:
    """All files of an export by name, as `hw.packaging` draws them.

    The manifest comes last, and says in ``files`` what SHA-256 each other file has: where it is as the files are, an export was
    written to its end.
    """
    verilog, manifest = export_block(config, block)
    files = {
        f"{block}.v": verilog,
        f"{block}.core": fusesoc_core.core(config, block, [MODELS.name] if needs_models(verilog) else []),
        f"{block}_ooc.xdc": out_of_context.constraints(config, block),
        f"{block}_ooc.tcl": out_of_context.project_setting(block),
    }
    if needs_models(verilog):
        files[MODELS.name] = MODELS.read_text(encoding="utf-8")
    if block == "sat":
        files["package_ip.tcl"] = vivado_ip.script(config, manifest)
        files["registers.json"] = register_map.register_json(config)
        files["registers.h"] = register_map.register_header()
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


def _definitions(top: wiring.Component, name: str) -> dict[str, str]:
    """Verilog by module, with module `name` on top, which is the last."""
    library = ModuleLibrary()
    library.define(top, name)
    return library.verilog()


def _describe(top: wiring.Component, name: str, config: AcceleratorConfig) -> tuple[str, dict[str, Any]]:
    """Verilog with module `name` on top, and its manifest."""
    definitions = _definitions(top, name)
    verilog = "\n".join(definitions.values())
    ports = [
        {
            "name": port_name(path),
            "direction": "input" if member.flow == wiring.In else "output",
            "width": len(Value.cast(signal)),
        }
        for path, member, signal in top.signature.flatten(top)
    ]
    manifest = {
        "top": name,
        "parameters": asdict(config),
        "clock": "clk",
        "reset": "rst",
        "ports": ports,
        "modules": list(definitions),
        "source_hash": source_hash(),
        "verilog_hash": _sha256(verilog),
    }
    return verilog, manifest


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def source_hash() -> str:
    """SHA-256 over the hardware's source files, names and contents, in order."""
    folder = Path(__file__).parent
    return hash_files(folder, folder.rglob("*.py"))
