"""Constraints of Vivado for a block by itself, as a part of a design that is not there yet."""

from hw.config import AcceleratorConfig


def constraints(config: AcceleratorConfig, top: str) -> str:
    """XDC with the clock. Resets are synchronous and timed as all else is: no path is excepted."""
    return f"""\
# {top} of {config.name} by itself: within a design the clock comes from there.
create_clock -name clk -period {1e9 / config.clock_hz:.3f} [get_ports clk]

# Place and route by itself also wants to know which clock buffer drives it; its name is the part's:
# set_property HD.CLK_SRC BUFGCE_X0Y0 [get_ports clk]
"""


def project_setting(top: str) -> str:
    """Tcl that has a project synthesise the block without pins, of which no package has enough."""
    return f"""\
# {top} is a part of a design: no buffers at its ports.
set_property -name {{STEPS.SYNTH_DESIGN.ARGS.MORE OPTIONS}} -value {{-mode out_of_context}} -objects [get_runs synth_1]
"""
