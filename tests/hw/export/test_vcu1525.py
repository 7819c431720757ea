"""The block design for the VCU1525, run in Tcl with stand-ins for Vivado's commands: what is connected to what."""

from dataclasses import replace

import pytest
from test_packaging import Vivado

from hw.config import PRESETS
from hw.export.packaging import vcu1525

CELLS = {
    "util_ds_buf": ({"IBUF_DS_ODIV2", "IBUF_OUT"}, set(), set(), {"CLK_IN_D"}),
    "xdma": (
        {"axi_aclk", "axi_aresetn"},
        {"sys_clk", "sys_clk_gt", "sys_rst_n", "usr_irq_req"},
        {"M_AXI", "M_AXI_LITE", "pcie_mgt"},
        set(),
    ),
    "ddr4": (
        {"c0_ddr4_ui_clk", "c0_ddr4_ui_clk_sync_rst"},
        {"sys_rst", "c0_ddr4_aresetn"},
        {"C0_DDR4"},
        {"C0_SYS_CLK", "C0_DDR4_S_AXI"},
    ),
    "clk_wiz": ({"clk_out1", "locked"}, {"clk_in1"}, set(), set()),
    "proc_sys_reset": (
        {"peripheral_reset", "peripheral_aresetn"},
        {"ext_reset_in", "slowest_sync_clk", "dcm_locked"},
        set(),
        set(),
    ),
    "util_vector_logic": ({"Res"}, {"Op1"}, set(), set()),
    "xlconstant": ({"dout"}, set(), set(), set()),
}  # fmt: skip
"""Of each IP, as its guide of AMD names them: outputs, inputs, interfaces as master and as slave."""
OPEN = {"memory_reset/dcm_locked"}
"""An input that may be open: it is high then."""


class Designer(Vivado):
    """Notes cells, nets and addresses; a name that no cell has is an error."""

    def __init__(self, masters):
        super().__init__()
        sat = ({"irq"}, {"clk", "rst"}, set(masters), {"s_axi"})
        self.kinds, self.cells, self.ports, self.addresses = CELLS | {"sat": sat}, {}, {}, []
        self.drivers, self.buses, self.properties = {}, [], {}
        quiet = ("update_ip_catalog", "create_bd_design", "validate_bd_design", "save_bd_design")
        for name in quiet:
            self.command(name, lambda *arguments: "")
        self.command("current_project", lambda: "project")
        self.command("current_fileset", lambda: "files")
        self.command("get_board_parts", lambda pattern: "xilinx.com:vcu1525:part0:1.2 xilinx.com:vcu1525:part0:1.3")
        self.command("create_bd_cell", self.cell)
        self.command("create_bd_port", lambda *arguments: self.port(arguments[-1], arguments))
        self.command("create_bd_intf_port", lambda *arguments: self.port(arguments[-1], arguments))
        for name in ("get_bd_ports", "get_bd_intf_ports"):
            self.command(name, lambda name: f"port:{self.ports[name] and name}")
        self.command("get_bd_pins", lambda name: self.pin(name, (0, 1)))
        self.command("get_bd_intf_pins", lambda name: self.pin(name, (2, 3)))
        self.command("connect_bd_net", self.net)
        self.command("connect_bd_intf_net", self.bus)
        self.command("get_bd_addr_segs", lambda name: name)
        self.command("get_bd_addr_spaces", lambda name: self.pin(name, (2,)))
        self.command(
            "assign_bd_address",
            lambda *arguments: self.addresses.append((arguments[5], arguments[1], arguments[3], arguments[6])),
        )
        self.command("make_wrapper", lambda *arguments: "system_wrapper.v")
        self.command("add_files", lambda *arguments: "")
        self.command("get_files", lambda name: name)

    def cell(self, *arguments):
        name, kind = arguments[-1], arguments[-2].split(":")[2]
        assert name not in self.cells
        self.cells[name] = kind
        return name

    def port(self, name, arguments):
        assert name not in self.ports
        self.ports[name] = arguments
        return f"port:{name}"

    def set_property(self, name, value, object):
        if name == "-dict":
            words = self.tcl.splitlist(value)
            self.properties[object] = dict(zip(words[::2], words[1::2], strict=True))
        else:
            self.properties.setdefault(object, {})[name] = value

    def ends(self, cell):
        """Its outputs, inputs, masters and slaves."""
        if self.cells[cell] != "smartconnect":
            return self.kinds[self.cells[cell]]
        count = {key: int(self.properties[cell][f"CONFIG.NUM_{key}"]) for key in ("SI", "MI", "CLKS")}
        clocks = {f"aclk{number or ''}" for number in range(count["CLKS"])}
        masters, slaves = ({f"{side}{number:02}_AXI" for number in range(count[f"{side}I"])} for side in "MS")
        return set(), {"aresetn", *clocks}, masters, slaves

    def pin(self, name, which):
        cell, _, pin = name.partition("/")
        assert any(pin in self.ends(cell)[number] for number in which), f"no pin {name}"
        return name

    def net(self, source, taker):
        cell, _, pin = source.partition("/")
        assert source.startswith("port:") or pin in self.ends(cell)[0], f"{source} is no output"
        cell, _, pin = taker.partition("/")
        assert pin in self.ends(cell)[1], f"{taker} is no input"
        assert taker not in self.drivers, f"{taker} is driven twice"
        self.drivers[taker] = source

    def bus(self, one, other):
        self.buses += [one, other]
        if not one.startswith("port:"):
            sides = [
                [end.partition("/")[2] in self.ends(end.partition("/")[0])[side] for side in (2, 3)] for end in (one, other)
            ]
            assert sides == [[True, False], [False, True]], (one, other)


@pytest.mark.parametrize("channels", [1, 2])
def test_all_is_connected_once(tmp_path, channels):
    config = replace(PRESETS["vcu1525"], dram_channels=channels)
    masters = ["m_axi"] if channels == 1 else ["m_axi_0", "m_axi_1"]
    (tmp_path / "vcu1525.tcl").write_text(vcu1525.script(config, "sat", "clk", "rst"))
    (tmp_path / "ip").mkdir()
    (tmp_path / "ip" / "component.xml").write_text("it was packaged before")
    designer = Designer(masters)
    designer.tcl.call("set", "argv", "")
    try:
        designer.tcl.call("source", str(tmp_path / "vcu1525.tcl"))
    except designer.broken:
        raise designer.faults[0] if designer.faults else AssertionError(designer.tcl.getvar("errorInfo")) from None

    inputs = {f"{cell}/{pin}" for cell in designer.cells for pin in designer.ends(cell)[1]}
    assert inputs - designer.drivers.keys() == OPEN
    buses = [f"{cell}/{name}" for cell in designer.cells for side in (2, 3) for name in designer.ends(cell)[side]]
    buses += [f"port:{name}" for name in designer.ports if name != "pcie_perstn"]
    assert sorted(designer.buses) == sorted(buses)
    assert designer.drivers["sat/clk"] == "accelerator_clock/clk_out1"
    assert designer.drivers["sat/rst"] == "accelerator_reset/peripheral_reset", "active high"
    assert designer.properties["accelerator_clock"]["CONFIG.CLKOUT1_REQUESTED_OUT_FREQ"] == "200.000"
    assert designer.properties["project"]["board_part"] == "xilinx.com:vcu1525:part0:1.3", "the newest"
    memory = "ddr4/C0_DDR4_MEMORY_MAP/C0_DDR4_ADDRESS_BLOCK"
    assert designer.addresses == [
        *((space, "0x0", "16G", memory) for space in ("xdma/M_AXI", *(f"sat/{name}" for name in masters))),
        ("xdma/M_AXI_LITE", "0x0", "4096", "sat/s_axi/registers"),
    ]
    called = [name for name, *_ in designer.called]
    assert called.index("connect_bd_net") < called.index("validate_bd_design") < called.index("make_wrapper")
    assert "launch_runs" not in called
