"""An AXI4-Lite slave in front of registers."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.isa.registers import ADDRESS_BITS


def slave_members() -> dict[str, wiring.Member]:
    """The signals of the AXI4-Lite slave, by the names of AMBA AXI (IHI 0022)."""
    inputs = {"awaddr": ADDRESS_BITS, "awprot": 3, "awvalid": 1, "wdata": 32, "wstrb": 4, "wvalid": 1, "bready": 1}
    inputs |= {"araddr": ADDRESS_BITS, "arprot": 3, "arvalid": 1, "rready": 1}
    outputs = {"awready": 1, "wready": 1, "bresp": 2, "bvalid": 1, "arready": 1, "rdata": 32, "rresp": 2, "rvalid": 1}
    return {f"s_axi_{name}": In(bits) for name, bits in inputs.items()} | {
        f"s_axi_{name}": Out(bits) for name, bits in outputs.items()
    }


class AxiLite(wiring.Component):
    """Takes a write's address and data in any order, and one write and one read at a time.

    An address may be of any byte of a word, as AXI has it: strobes say which bytes are written, and a read gives all of them.

    Members
    -------
    s_axi_… : the AXI4-Lite slave
    write, write_word, write_data, strobes : Out
        For a cycle: bytes of a word are written. Words count from address 0.
    read_word, read_data : Out, In(32)
        What is read, in the same cycle.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                **slave_members(),
                "write": Out(1),
                "write_word": Out(ADDRESS_BITS - 2),
                "write_data": Out(32),
                "strobes": Out(4),
                "read_word": Out(ADDRESS_BITS - 2),
                "read_data": In(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        has_address, has_data = Signal(), Signal()
        m.d.comb += [
            self.s_axi_awready.eq(~has_address),
            self.s_axi_wready.eq(~has_data),
            self.write.eq(has_address & has_data & (~self.s_axi_bvalid | self.s_axi_bready)),
            self.s_axi_arready.eq(~self.s_axi_rvalid | self.s_axi_rready),
            self.read_word.eq(self.s_axi_araddr[2:]),
        ]
        with m.If(self.s_axi_bready):
            m.d.sync += self.s_axi_bvalid.eq(0)
        with m.If(self.write):
            m.d.sync += [has_address.eq(0), has_data.eq(0), self.s_axi_bvalid.eq(1)]
        with m.If(self.s_axi_awvalid & self.s_axi_awready):
            m.d.sync += [has_address.eq(1), self.write_word.eq(self.s_axi_awaddr[2:])]
        with m.If(self.s_axi_wvalid & self.s_axi_wready):
            m.d.sync += [has_data.eq(1), Cat(self.write_data, self.strobes).eq(Cat(self.s_axi_wdata, self.s_axi_wstrb))]
        with m.If(self.s_axi_arready):
            m.d.sync += self.s_axi_rvalid.eq(self.s_axi_arvalid)
            m.d.sync += self.s_axi_rdata.eq(Mux(self.s_axi_arvalid, self.read_data, 0))
        return m
