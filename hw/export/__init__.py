"""The accelerator and its blocks as folders for FPGA projects: Verilog, and what tools want beside it."""
