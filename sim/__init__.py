"""The RTL, simulated: built, driven, and compared.

A folder imports those below it, never one above:

    cli/           the command line, one file a command
    stress/        random steps, faults, changed command words, all values; what of the RTL they reach
    learning/      networks that learn on the RTL
    validation/    parts of large programs on the RTL
    steps/         programs and whole training steps, beside NumPy and the machine
    rtl/           what runs on the RTL: the accelerator, products, single blocks
    simulators/    Verilator and Icarus: built once, kept
    harness/       what stands around the RTL in a simulation: SystemVerilog, C++, cocotb tests
    area/          area and depth of the exported Verilog
    kit, pytest_kit   the testbench kit, for others, too
"""
