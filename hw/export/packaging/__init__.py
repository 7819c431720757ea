"""What an FPGA's tools want beside the Verilog of a block, one file of an export each.

::

    modules ────► verilog_file       sat.v               header, warnings that are meant; interfaces: attributes for Vivado
    manifest ─┬─► fusesoc_core       sat.core            FuseSoC: lint with Verilator, synthesis with Vivado
              ├─► out_of_context     sat_ooc.xdc, .tcl   Vivado: the clock, and no pins
              ├─► vivado_ip          package_ip.tcl      Vivado: an IP with AXI interfaces
              └─► vcu1525            vcu1525.tcl, .xdc   Vivado: a project with that IP
    registers ┬─► register_map       registers.json, .h
              └─► register_standards registers.rdl, .xml SystemRDL, IP-XACT

All of it is text, the same for the same configuration; `hw.export.folder` puts it together. From `vivado_ip` on, and the
attributes, it is of the whole accelerator alone, the block with AXI.
"""

PART = "xcvu9p-fsgd2104-2L-e"
"""Of the VCU1525 board; FuseSoC and Vivado take another one."""

VENDOR = "nmtrain"
"""Of cores and IPs; their library is the configuration, so that two accelerators stand beside each other."""
