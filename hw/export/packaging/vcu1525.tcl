# A project of Vivado for the VCU1525: a host behind PCIe, @config, and a memory that both work in, byte 0 at address 0.
#   vivado -mode batch -source vcu1525.tcl                      makes the project, in the folder vcu1525 beside this file
#   vivado -mode batch -source vcu1525.tcl -tclargs build       and runs it to the bitstream
# It takes pins and the memory's parameters from the board's files, which Vivado has or gets (get_board_parts *vcu1525*).
#
#   pci_express_x16 -- xdma -+- M_AXI_LITE -- registers -- s_axi -- @block -- @masters -+
#                            +- M_AXI -------------------- memory ------------------------+- ddr4 -- ddr4_sdram_c0

set here [file dirname [file normalize [info script]]]
if {![file exists [file join $here ip component.xml]]} { source [file join $here package_ip.tcl] }

create_project -force -part @part vcu1525 [file join $here vcu1525]
set_property board_part [lindex [lsort [get_board_parts *:vcu1525:part0:*]] end] [current_project]
set_property ip_repo_paths [file join $here ip] [current_project]
update_ip_catalog
add_files -norecurse -fileset constrs_1 [file join $here vcu1525.xdc]
create_bd_design system

proc cell {name vlnv args} {
    set cell [create_bd_cell -type ip -vlnv $vlnv $name]
    set properties {}
    foreach {property value} $args { lappend properties CONFIG.$property $value }
    if {[llength $properties]} { set_property -dict $properties $cell }
}

proc outside {name mode kind {hertz 0}} {
    set port [create_bd_intf_port -mode $mode -vlnv xilinx.com:interface:$kind:1.0 $name]
    if {$hertz} { set_property CONFIG.FREQ_HZ $hertz $port }
}

# A net from its source to all that take it; an interface from its master, or a port, to its slave.
proc net {source args} {
    foreach taker $args { connect_bd_net [get_bd_pins $source] [get_bd_pins $taker] }
}
proc bus {one other} { connect_bd_intf_net [get_bd_intf_pins $one] [get_bd_intf_pins $other] }
proc bus_outside {port pin} { connect_bd_intf_net [get_bd_intf_ports $port] [get_bd_intf_pins $pin] }

outside pci_express_x16 Master pcie_7x_mgt_rtl
outside pcie_refclk Slave diff_clock_rtl 100000000
outside ddr4_sdram_c0 Master ddr4_rtl
outside default_300mhz_clk0 Slave diff_clock_rtl 300000000
set_property CONFIG.POLARITY ACTIVE_LOW [create_bd_port -dir I -type rst pcie_perstn]

cell refclk xilinx.com:ip:util_ds_buf C_BUF_TYPE IBUFDSGTE DIFF_CLK_IN_BOARD_INTERFACE pcie_refclk USE_BOARD_FLOW true
cell xdma xilinx.com:ip:xdma \
    PCIE_BOARD_INTERFACE pci_express_x16 SYS_RST_N_BOARD_INTERFACE pcie_perstn mode_selection Advanced \
    pl_link_cap_max_link_width X16 pl_link_cap_max_link_speed 8.0_GT/s axi_data_width 512_bit axisten_freq 250 \
    axilite_master_en true axilite_master_scale Kilobytes axilite_master_size @register_kilobytes
cell ddr4 xilinx.com:ip:ddr4 \
    C0_DDR4_BOARD_INTERFACE ddr4_sdram_c0 C0_CLOCK_BOARD_INTERFACE default_300mhz_clk0 C0.DDR4_AxiAddressWidth 34
cell accelerator_clock xilinx.com:ip:clk_wiz \
    PRIM_SOURCE No_buffer PRIM_IN_FREQ 300.000 CLKOUT1_REQUESTED_OUT_FREQ @clock_mhz USE_RESET false
cell accelerator_reset xilinx.com:ip:proc_sys_reset C_EXT_RESET_HIGH 0
cell memory_reset xilinx.com:ip:proc_sys_reset C_EXT_RESET_HIGH 1
cell perst xilinx.com:ip:util_vector_logic C_OPERATION not C_SIZE 1
cell no_interrupt xilinx.com:ip:xlconstant CONST_VAL 0
cell memory xilinx.com:ip:smartconnect NUM_SI @memory_slaves NUM_MI 1 NUM_CLKS 3
cell registers xilinx.com:ip:smartconnect NUM_SI 1 NUM_MI 1 NUM_CLKS 2
cell @block @vendor:@library:@block:@version

bus_outside pci_express_x16 xdma/pcie_mgt
bus_outside pcie_refclk refclk/CLK_IN_D
bus_outside ddr4_sdram_c0 ddr4/C0_DDR4
bus_outside default_300mhz_clk0 ddr4/C0_SYS_CLK
bus xdma/M_AXI_LITE registers/S00_AXI
bus registers/M00_AXI @block/s_axi
bus xdma/M_AXI memory/S00_AXI
@m_axi
bus memory/M00_AXI ddr4/C0_DDR4_S_AXI

net refclk/IBUF_DS_ODIV2 xdma/sys_clk
net refclk/IBUF_OUT xdma/sys_clk_gt
connect_bd_net [get_bd_ports pcie_perstn] [get_bd_pins xdma/sys_rst_n]
connect_bd_net [get_bd_ports pcie_perstn] [get_bd_pins perst/Op1]
net perst/Res ddr4/sys_rst
net ddr4/c0_ddr4_ui_clk accelerator_clock/clk_in1 memory_reset/slowest_sync_clk memory/aclk2
net ddr4/c0_ddr4_ui_clk_sync_rst memory_reset/ext_reset_in
net memory_reset/peripheral_aresetn ddr4/c0_ddr4_aresetn
net accelerator_clock/clk_out1 @block/@clock accelerator_reset/slowest_sync_clk memory/aclk1 registers/aclk1
net accelerator_clock/locked accelerator_reset/dcm_locked
net accelerator_reset/peripheral_reset @block/@reset
net xdma/axi_aclk memory/aclk registers/aclk
net xdma/axi_aresetn memory/aresetn registers/aresetn accelerator_reset/ext_reset_in
# The host's driver looks at the status: the interrupt, a level in another clock, goes nowhere.
net no_interrupt/dout xdma/usr_irq_req

set block [get_bd_addr_segs ddr4/C0_DDR4_MEMORY_MAP/C0_DDR4_ADDRESS_BLOCK]
foreach space {xdma/M_AXI @spaces} {
    assign_bd_address -offset 0x0 -range 16G -target_address_space [get_bd_addr_spaces $space] $block
}
assign_bd_address -offset 0x0 -range @register_bytes -target_address_space [get_bd_addr_spaces xdma/M_AXI_LITE] \
    [get_bd_addr_segs @block/s_axi/registers]

validate_bd_design
save_bd_design
add_files -norecurse [make_wrapper -top -files [get_files system.bd]]
set_property top system_wrapper [current_fileset]
update_compile_order -fileset sources_1
if {[lindex $argv 0] eq "build"} {
    launch_runs impl_1 -to_step write_bitstream
    wait_on_run impl_1
}
