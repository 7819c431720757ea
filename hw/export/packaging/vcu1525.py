"""The project of Vivado for the VCU1525: block design and constraints."""

from importlib.metadata import version

from hw.config import AcceleratorConfig
from hw.dma.port import masters
from hw.export.packaging import PART, VENDOR
from hw.export.packaging.templates import fill
from hw.isa.registers import ADDRESS_BITS


def script(config: AcceleratorConfig, block: str, clock: str, reset: str) -> str:
    """``vcu1525.tcl``: XDMA, the accelerator's IP, and a DDR4 controller, with their clocks, resets and addresses."""
    names = masters(config)
    return fill(
        "vcu1525.tcl",
        config=config.name,
        block=block,
        clock=clock,
        reset=reset,
        part=PART,
        vendor=VENDOR,
        library=config.name,
        version=".".join(version("nmtrain").split(".")[:2]),
        clock_mhz=f"{config.clock_hz / 1e6:.3f}",
        masters=", ".join(names),
        m_axi="\n".join(f"bus {block}/{name} memory/S{number:02}_AXI" for number, name in enumerate(names, 1)),
        spaces=" ".join(f"{block}/{name}" for name in names),
        memory_slaves=1 + len(names),
        register_bytes=1 << ADDRESS_BITS,
        register_kilobytes=(1 << ADDRESS_BITS) // 1024,
    )


def constraints() -> str:
    """XDC beside what the board's files and the IPs say: the reference clock of PCIe, and how the device is configured."""
    return """\
create_clock -name pcie_refclk -period 10.000 [get_ports pcie_refclk_clk_p]
set_property CONFIG_VOLTAGE 1.8 [current_design]
set_property BITSTREAM.GENERAL.COMPRESS true [current_design]
set_property BITSTREAM.CONFIG.SPI_BUSWIDTH 4 [current_design]
"""
