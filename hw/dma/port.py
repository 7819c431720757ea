"""A memory port: readers and writers on an AXI4 master."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.dma.bursts import burst_layout
from hw.dma.writer import beat_layout
from hw.isa.microarchitecture import OUTSTANDING_BURSTS, WRITES_AHEAD

ID_BITS = 4
ADDRESS_BITS = 64

FAULT = data.StructLayout({"valid": 1, "stream": ID_BITS, "address": 32})
"""A response that is an error: which reader's or writer's, and the address in the window of its burst."""


def masters(config: AcceleratorConfig) -> list[str]:
    """Names of the AXI4 masters, one for each memory channel."""
    return ["m_axi"] if config.dram_channels == 1 else [f"m_axi_{number}" for number in range(config.dram_channels)]


def master_members(config: AcceleratorConfig, name: str = "m_axi") -> dict[str, wiring.Member]:
    """The signals of an AXI4 master, by the names of AMBA AXI (IHI 0022) behind its own."""
    address = {"id": ID_BITS, "addr": ADDRESS_BITS, "len": 8, "size": 3, "burst": 2, "lock": 1, "cache": 4, "prot": 3, "qos": 4}
    outputs = {f"{channel}{name}": bits for channel in ("ar", "aw") for name, bits in address.items()}
    outputs |= {"arvalid": 1, "awvalid": 1, "wdata": config.axi_data_bits, "wstrb": config.axi_data_bytes, "wlast": 1}
    outputs |= {"wvalid": 1, "rready": 1, "bready": 1}
    inputs = {"arready": 1, "awready": 1, "wready": 1, "rid": ID_BITS, "rdata": config.axi_data_bits, "rresp": 2, "rlast": 1}
    inputs |= {"rvalid": 1, "bid": ID_BITS, "bresp": 2, "bvalid": 1}
    return {f"{name}_{signal}": Out(bits) for signal, bits in outputs.items()} | {
        f"{name}_{signal}": In(bits) for signal, bits in inputs.items()
    }


class Port(wiring.Component):
    """Joins readers and writers, whose numbers are their AXI IDs.

    Reads and writes do not wait for each other. Of several bursts on offer the one of the lowest number goes first, a read and
    a write burst a cycle. Beats that are written follow in the order of their addresses without a pause. Beats that are read,
    and answers, are always taken.

    Parameters
    ----------
    config : AcceleratorConfig
        The port.
    readers, writers : sequence of int
        Their numbers.

    Members
    -------
    ar_<number>, … : In(stream of burst_layout)
        A burst is taken in the cycle before it stands at the port.
    r_<number>, … : Out(stream of axi_data_bits)
        Beats of each reader's bursts, which it must take at once, in the cycle in which they come.
    aw_<number>, …, w_<number>, … : In(stream of burst_layout), In(stream of beat_layout)
        All beats of a burst must be there when it is offered.
    b_<number>, … : Out(9)
        Beats of each writer's burst that is answered in this cycle, or 0.
    base : In(64)
        Where the window begins, a multiple of 4 KiB.
    read_fault, write_fault : Out(FAULT)
        For a cycle.
    idle, writes_idle : Out(1)
        No burst waits for its answer; no write does.
    read_beat, write_beat : Out(1)
        A beat is taken in this cycle, for counters.
    m_axi_… : the AXI4 master
    """

    def __init__(self, config: AcceleratorConfig, readers: Sequence[int], writers: Sequence[int]) -> None:
        self.config = config
        self.readers, self.writers = readers, writers
        streams = {f"ar_{number}": In(stream.Signature(burst_layout(config))) for number in readers}
        streams |= {f"r_{number}": Out(stream.Signature(config.axi_data_bits)) for number in readers}
        streams |= {f"aw_{number}": In(stream.Signature(burst_layout(config))) for number in writers}
        streams |= {f"w_{number}": In(stream.Signature(beat_layout(config))) for number in writers}
        super().__init__(
            {
                **streams,
                **{f"b_{number}": Out(9) for number in writers},
                "base": In(ADDRESS_BITS),
                "read_fault": Out(FAULT),
                "write_fault": Out(FAULT),
                "idle": Out(1),
                "writes_idle": Out(1),
                "read_beat": Out(1),
                "write_beat": Out(1),
                **master_members(config),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for channel in ("ar", "aw"):
            fixed = {
                "size": self.config.axi_data_bytes.bit_length() - 1,
                "burst": 1,
                "cache": 3,
            }  # INCR; bufferable, modifiable
            m.d.comb += [getattr(self, f"m_axi_{channel}{name}").eq(value) for name, value in fixed.items()]
        reading, writing = self._reads(m), self._writes(m)
        m.d.comb += [self.idle.eq(~reading & ~writing), self.writes_idle.eq(~writing)]
        return m

    def _reads(self, m: Module) -> Value:
        free = Signal()
        m.d.comb += [free.eq(~self.m_axi_arvalid | self.m_axi_arready), self.m_axi_rready.eq(1)]
        with m.If(free):
            m.d.sync += self.m_axi_arvalid.eq(0)
        end = self.m_axi_rvalid & self.m_axi_rlast
        bad = self.m_axi_rvalid & self.m_axi_rresp[1]
        waiting = self._bursts(m, "ar", free, end, bad, self.read_fault, self.m_axi_rid)
        for number in self.readers:
            beat = getattr(self, f"r_{number}")
            m.d.comb += [beat.payload.eq(self.m_axi_rdata), beat.valid.eq(self.m_axi_rvalid & (self.m_axi_rid == number))]
        m.d.comb += self.read_beat.eq(self.m_axi_rvalid)
        return self.m_axi_arvalid | waiting

    def _writes(self, m: Module) -> Value:
        """Addresses, and their beats burst after burst."""
        order_layout = data.StructLayout({"beats": 8, "number": ID_BITS})
        m.submodules.order = order = SyncFIFO(width=order_layout.size, depth=WRITES_AHEAD)
        burst, entry = (data.View(order_layout, word) for word in (order.r_data, order.w_data))
        done = Signal(8)
        free, last = Signal(), done == burst.beats
        beat_taken = self.m_axi_wvalid & self.m_axi_wready
        m.d.comb += [
            free.eq((~self.m_axi_awvalid | self.m_axi_awready) & order.w_rdy),
            self.m_axi_bready.eq(1),
            self.m_axi_wlast.eq(last),
            self.write_beat.eq(beat_taken),
            order.r_en.eq(beat_taken & last),
        ]
        with m.If(self.m_axi_awready):
            m.d.sync += self.m_axi_awvalid.eq(0)
        with m.If(beat_taken):
            m.d.sync += done.eq(Mux(last, 0, done + 1))
        bad = self.m_axi_bvalid & self.m_axi_bresp[1]
        waiting = self._bursts(m, "aw", free, self.m_axi_bvalid, bad, self.write_fault, self.m_axi_bid)
        for number in self.writers:
            given, beat = getattr(self, f"aw_{number}"), getattr(self, f"w_{number}")
            with m.If(given.valid & given.ready):
                m.d.comb += [order.w_en.eq(1), entry.beats.eq(given.payload.beats), entry.number.eq(number)]
            with m.If(order.r_rdy & (burst.number == number)):
                m.d.comb += [
                    Cat(self.m_axi_wdata, self.m_axi_wstrb).eq(beat.payload),
                    self.m_axi_wvalid.eq(beat.valid),
                    beat.ready.eq(self.m_axi_wready),
                ]
        return self.m_axi_awvalid | order.r_rdy | waiting

    def _bursts(
        self,
        m: Module,
        channel: str,
        free: Value,
        end: Value,
        bad: Value,
        fault: data.View,
        answered: Value,
    ) -> Value:
        """The most urgent burst to the address channel; bursts wait until their answer has come."""
        signals = {name: getattr(self, f"m_axi_{channel}{name}") for name in ("id", "addr", "len", "valid")}
        before: Value = Signal(1, name=f"{channel}_none")
        waiting, layout = [], burst_layout(self.config)
        for number in self.readers if channel == "ar" else self.writers:
            burst = getattr(self, f"{channel}_{number}")
            m.submodules[f"{channel}_bursts_{number}"] = bursts = SyncFIFO(width=layout.size, depth=OUTSTANDING_BURSTS)
            oldest, ends, wants = data.View(layout, bursts.r_data), end & (answered == number), burst.valid & bursts.w_rdy
            m.d.comb += [
                burst.ready.eq(free & bursts.w_rdy & ~before),
                bursts.w_data.eq(burst.payload),
                bursts.w_en.eq(burst.valid & burst.ready),
                bursts.r_en.eq(ends),
            ]
            if channel == "aw":
                m.d.comb += getattr(self, f"b_{number}").eq(Mux(ends, oldest.beats + 1, 0))
            with m.If(burst.valid & burst.ready):
                m.d.sync += [
                    signals["id"].eq(number),
                    signals["addr"].eq(self.base + burst.payload.address),
                    signals["len"].eq(burst.payload.beats),
                    signals["valid"].eq(1),
                ]
            with m.If(bad & (answered == number)):
                m.d.comb += fault.address.eq(oldest.address)
            before = before | wants
            waiting.append(bursts.r_rdy)
        m.d.comb += [fault.valid.eq(bad), fault.stream.eq(answered)]
        return Cat(waiting).any()
