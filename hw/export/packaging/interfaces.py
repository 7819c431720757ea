"""Attributes at the ports of the whole accelerator, by which Vivado finds its interfaces in the Verilog itself."""

import re

from hw.config import AcceleratorConfig

AXI = "xilinx.com:interface:aximm:1.0"


def with_interfaces(config: AcceleratorConfig, module: str, clock: str, reset: str) -> str:
    """The text of the top module with ``X_INTERFACE_INFO``, and ``X_INTERFACE_PARAMETER``, at each port."""

    def attributed(found: re.Match[str]) -> str:
        return f"  (* {_attributes(config, found['name'], clock, reset)} *)\n{found[0]}"

    return re.sub(r"^  (?:input|output) (?:\[\d+:0\] )?(?P<name>\w+);$", attributed, module, flags=re.MULTILINE)


def _attributes(config: AcceleratorConfig, port: str, clock: str, reset: str) -> str:
    signals = {
        clock: (
            "clock:1.0 {} CLK",
            f"ASSOCIATED_BUSIF s_axi:m_axi, ASSOCIATED_RESET {reset}, FREQ_HZ {round(config.clock_hz)}",
        ),
        reset: ("reset:1.0 {} RST", "POLARITY ACTIVE_HIGH"),
        "irq": ("interrupt:1.0 {} INTERRUPT", "SENSITIVITY LEVEL_HIGH"),
    }
    if port in signals:
        kind, parameter = signals[port]
        return f'X_INTERFACE_INFO = "xilinx.com:signal:{kind.format(port)}", X_INTERFACE_PARAMETER = "{parameter}"'
    bus, _, signal = port.rpartition("_")
    return f'X_INTERFACE_INFO = "{AXI} {bus} {signal.upper()}"'
