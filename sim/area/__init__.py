"""Area and depth of the exported Verilog, by Yosys."""
