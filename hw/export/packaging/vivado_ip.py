"""The script that has Vivado package the accelerator as an IP."""

from importlib.metadata import version
from typing import Any

from hw.config import AcceleratorConfig
from hw.dma.port import masters
from hw.export.packaging import PART, VENDOR
from hw.export.packaging.templates import fill
from hw.isa.microarchitecture import OUTSTANDING_BURSTS
from hw.isa.registers import ADDRESS_BITS


def script(config: AcceleratorConfig, block: str, manifest: dict[str, Any]) -> str:
    """``package_ip.tcl``, with the ports of `manifest` that belong to the AXI interfaces mapped one by one."""
    ports = [port["name"] for port in manifest["ports"]]
    return fill(
        "package_ip.tcl",
        top=manifest["top"],
        block=block,
        clock=manifest["clock"],
        reset=manifest["reset"],
        config=config.name,
        part=PART,
        vendor=VENDOR,
        library=config.name,
        version=".".join(version("nmtrain").split(".")[:2]),
        description=f"N:M sparse training accelerator, {config.rows} x {config.columns}",
        clock_hz=round(config.clock_hz),
        s_axi=_port_maps("s_axi_", ports),
        m_axi="\n".join(f"{name} {{\n{_port_maps(f'{name}_', ports)}\n}}" for name in masters(config)),
        interfaces=":".join(["s_axi", *masters(config)]),
        register_bytes=1 << ADDRESS_BITS,
        burst_beats=config.axi_burst_beats,
        outstanding=OUTSTANDING_BURSTS,
        data_bits=config.axi_data_bits,
    )


def _port_maps(prefix: str, ports: list[str]) -> str:
    """A line for each port of an interface: its name in AMBA AXI, its name here."""
    return "\n".join(f"    {port.removeprefix(prefix).upper()} {port}" for port in ports if port.startswith(prefix))
