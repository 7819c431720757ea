# Packages @block of @config as an IP of Vivado with its AXI interfaces, in the folder ip beside this file:
#   vivado -mode batch -source package_ip.tcl
# A project finds it where that folder is one of its ip_repo_paths.

set here [file dirname [file normalize [info script]]]
set work [file join $here package_ip.work]
set constraints [file join $here @{block}_ooc.xdc]

create_project -force -part @part package_ip $work
add_files -norecurse [file join $here @block.v]
add_files -norecurse -fileset constrs_1 $constraints
set_property used_in {synthesis implementation out_of_context} [get_files $constraints]
set_property top @top [current_fileset]
update_compile_order -fileset sources_1

ipx::package_project -root_dir [file join $here ip] -vendor @vendor -library @library -taxonomy /UserIP -import_files -force
set core [ipx::current_core]
set_property name @block $core
set_property version @version $core
set_property display_name {@config @block} $core
set_property description {@description} $core
set families {}
foreach part [get_parts] { dict set families [get_property family $part] Production }
set_property supported_families $families $core

# What Vivado made of the ports' names goes: all interfaces are said below.
ipx::remove_all_bus_interface $core
ipx::remove_all_memory_map $core
ipx::remove_all_address_space $core

proc interface {name mode type ports} {
    global core
    set bus [ipx::add_bus_interface $name $core]
    set_property bus_type_vlnv xilinx.com:$type:1.0 $bus
    set_property abstraction_type_vlnv xilinx.com:${type}_rtl:1.0 $bus
    set_property interface_mode $mode $bus
    foreach {logical physical} $ports {
        set_property physical_name $physical [ipx::add_port_map $logical $bus]
    }
    return $bus
}

proc parameter {name value bus} {
    set parameter [ipx::add_bus_parameter $name $bus]
    set_property value $value $parameter
    return $parameter
}

set clock [interface @clock slave signal:clock {CLK @clock}]
parameter ASSOCIATED_BUSIF @interfaces $clock
parameter ASSOCIATED_RESET @reset $clock
# user: another clock may be connected.
set_property value_resolve_type user [parameter FREQ_HZ @clock_hz $clock]

set reset [interface @reset slave signal:reset {RST @reset}]
parameter POLARITY ACTIVE_HIGH $reset

set interrupt [interface irq master signal:interrupt {INTERRUPT irq}]
parameter SENSITIVITY LEVEL_HIGH $interrupt

set s_axi [interface s_axi slave interface:aximm {
@s_axi
}]
parameter PROTOCOL AXI4LITE $s_axi
set registers [ipx::add_address_block registers [ipx::add_memory_map s_axi $core]]
set_property range @register_bytes $registers
set_property width 32 $registers
set_property usage register $registers
set_property access read-write $registers
set_property slave_memory_map_ref s_axi $s_axi

foreach {name ports} {
@m_axi
} {
    set m_axi [interface $name master interface:aximm $ports]
    parameter PROTOCOL AXI4 $m_axi
    parameter MAX_BURST_LENGTH @burst_beats $m_axi
    parameter SUPPORTS_NARROW_BURST 0 $m_axi
    # Bursts that each of its streams may have under way.
    parameter NUM_READ_OUTSTANDING @outstanding $m_axi
    parameter NUM_WRITE_OUTSTANDING @outstanding $m_axi
    set memory [ipx::add_address_space $name $core]
    set_property range 16E $memory
    set_property width @data_bits $memory
    set_property master_address_space_ref $name $m_axi
}

set_property core_revision 1 $core
ipx::create_xgui_files $core
ipx::update_checksums $core
ipx::check_integrity $core
ipx::save_core $core
close_project
file delete -force $work
