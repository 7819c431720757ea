"""Memory in the device: what the accelerator works in, and what a host reads and writes a byte at a time."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.dma.port import master_members
from hw.parts.ram import place_ram

DECERR = 3


class BoardMemory(wiring.Component):
    """A slave of the accelerator's AXI4 port; a read and a write burst at a time, a beat a cycle each.

    Bursts are as the accelerator makes them: whole beats, at addresses that count up, within 4 KiB. One beyond the memory is
    answered with DECERR, and writes nothing.

    Parameters
    ----------
    config : AcceleratorConfig
        The port.
    size : int
        Bytes: a power of two, at least 4096.

    Members
    -------
    axi_… : the slave
    host_address, host_data, host_read, host_write : In
        A byte of the memory; it goes before the accelerator's. A write is done in its cycle.
    host_ready : Out(1)
        A read is done in this cycle, and `host_read_data` is there in the next one.
    host_read_data : Out(8)
    """

    def __init__(self, config: AcceleratorConfig, size: int) -> None:
        self.config, self.size = config, size
        self.words = size // config.axi_data_bytes
        self.lane_bits = (config.axi_data_bytes - 1).bit_length()
        super().__init__(
            {
                **{name: member.flip() for name, member in master_members(config, "axi").items()},
                "host_address": In((size - 1).bit_length()),
                "host_data": In(8),
                "host_read": In(1),
                "host_write": In(1),
                "host_ready": Out(1),
                "host_read_data": Out(8),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes = [place_ram(m, platform, f"lane_{number}", self.words, 1, 8) for number in range(self.config.axi_data_bytes)]
        lane, word = self.host_address[: self.lane_bits], self.host_address[self.lane_bits :]
        read_address, (write_address, strobes) = self._reads(m, word), self._writes(m, word)
        of = Signal.like(lane)
        m.d.sync += of.eq(lane)
        for number, memory in enumerate(lanes):
            byte = self.axi_wdata[8 * number : 8 * number + 8]
            m.d.comb += [
                memory.read_address.eq(read_address),
                self.axi_rdata[8 * number : 8 * number + 8].eq(memory.read_data),
                memory.write_address.eq(write_address),
                memory.write_data.eq(Mux(self.host_write, self.host_data, byte)),
                memory.write_parts.eq(Mux(self.host_write, lane == number, strobes[number])),
            ]
        m.d.comb += self.host_read_data.eq(self.axi_rdata.word_select(of, 8))
        return m

    def _word(self, address: Value) -> Value:
        return address[self.lane_bits : (self.size - 1).bit_length()]

    def _beyond(self, address: Value) -> Value:
        return address[(self.size - 1).bit_length() :].any()

    def _reads(self, m: Module, host_word: Value) -> Value:
        """The word that is read in this cycle: the host's, the next of a burst, or once more the one that is not taken yet."""
        busy, left, outside = Signal(), Signal(8), Signal()
        word, shown = Signal(range(self.words)), Signal(range(self.words))
        stalled, issues, address = Signal(), Signal(), Signal(range(self.words))
        m.d.comb += [
            stalled.eq(self.axi_rvalid & ~self.axi_rready),
            self.host_ready.eq(self.host_read & ~stalled),
            issues.eq(busy & ~stalled & ~self.host_read),
            address.eq(Mux(stalled, shown, Mux(self.host_read, host_word, word))),
            self.axi_arready.eq(~busy & ~stalled),
            self.axi_rresp.eq(Mux(outside, DECERR, 0)),
        ]
        with m.If(~stalled):
            m.d.sync += [self.axi_rvalid.eq(issues), self.axi_rlast.eq(issues & (left == 0))]
        with m.If(issues):
            m.d.sync += [shown.eq(word), word.eq(word + 1), left.eq(left - 1), busy.eq(left != 0)]
        with m.If(self.axi_arvalid & self.axi_arready):
            m.d.sync += [busy.eq(1), word.eq(self._word(self.axi_araddr)), left.eq(self.axi_arlen)]
            m.d.sync += [self.axi_rid.eq(self.axi_arid), outside.eq(self._beyond(self.axi_araddr))]
        return address

    def _writes(self, m: Module, host_word: Value) -> tuple[Value, Value]:
        """The word that is written in this cycle, and which of the burst's bytes."""
        busy, outside, word = Signal(), Signal(), Signal(range(self.words))
        taken = self.axi_wvalid & self.axi_wready
        strobes = Signal(self.config.axi_data_bytes)
        m.d.comb += [
            self.axi_awready.eq(~busy & ~self.axi_bvalid),
            self.axi_wready.eq(busy & ~self.host_write),
            self.axi_bresp.eq(Mux(outside, DECERR, 0)),
            strobes.eq(Mux(taken & ~outside, self.axi_wstrb, 0)),
        ]
        with m.If(self.axi_bready):
            m.d.sync += self.axi_bvalid.eq(0)
        with m.If(taken):
            m.d.sync += word.eq(word + 1)
            with m.If(self.axi_wlast):
                m.d.sync += [busy.eq(0), self.axi_bvalid.eq(1)]
        with m.If(self.axi_awvalid & self.axi_awready):
            m.d.sync += [busy.eq(1), word.eq(self._word(self.axi_awaddr))]
            m.d.sync += [self.axi_bid.eq(self.axi_awid), outside.eq(self._beyond(self.axi_awaddr))]
        return Mux(self.host_write, host_word, word), strobes
