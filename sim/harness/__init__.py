"""What stands around the RTL in a simulation: SystemVerilog that streams files, and the cocotb tests that start it."""
