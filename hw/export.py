"""Verilog of an accelerator, each distinct module once, and the manifest that describes it."""

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from amaranth.hdl import Value
from amaranth.lib import wiring

from hw.array import Element
from hw.config import AcceleratorConfig
from hw.modules import ModuleLibrary, port_name
from hw.stce import STCE
from hw.uspe import USPE

TOP = "stce"


def to_verilog(component: wiring.Component, name: str) -> str:
    """`component` as Verilog with `name` on top; modules that it is made of come first, each once."""
    library = ModuleLibrary()
    library.define(component, name)
    return "\n".join(library.definitions.values())


def export(config: AcceleratorConfig, element: Element = USPE) -> tuple[str, dict[str, Any]]:
    """The Verilog text of an accelerator, and its manifest.

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
    top = STCE(config, element)
    library = ModuleLibrary()
    library.define(top, TOP)
    verilog = "\n".join(library.definitions.values())
    ports = [
        {
            "name": port_name(path),
            "direction": "input" if member.flow == wiring.In else "output",
            "width": len(Value.cast(signal)),
        }
        for path, member, signal in top.signature.flatten(top)
    ]
    manifest = {
        "top": TOP,
        "parameters": asdict(config),
        "clock": "clk",
        "reset": "rst",
        "ports": ports,
        "modules": list(library.definitions),
        "source_hash": source_hash(),
        "verilog_hash": hashlib.sha256(verilog.encode()).hexdigest(),
    }
    return verilog, manifest


def source_hash() -> str:
    """SHA-256 over the hardware's source files, names and contents, in order."""
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()
