"""What stands around the RTL in a simulation: SystemVerilog that streams files, and the cocotb tests that start it."""

from pathlib import Path

HARNESS = Path(__file__).parent
"""Its folder."""
