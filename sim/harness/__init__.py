"""What stands around the RTL in a simulation: SystemVerilog that streams files, and the cocotb tests that start it."""

from pathlib import Path

HARNESS = Path(__file__).parent
"""Its folder."""

PROCESS = "simulation.pid"
"""In the working folder of a simulation, once it has begun: its process's number."""
