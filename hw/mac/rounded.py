"""The multiply-accumulate of formats whose products are rounded or leave the range of binary32."""

from amaranth.hdl import Module, Mux
from amaranth.lib import wiring

from hw.config import AcceleratorConfig
from hw.formats import BINARY32
from hw.fp.add import FloatAdd
from hw.fp.multiply import FloatMultiply
from hw.mac.forms import mac_ports
from hw.parts.modules import place


class RoundedMac(wiring.Component):
    """IEEE multiplication and addition in binary32, one after the other.

    Parameters
    ----------
    config : AcceleratorConfig
        Format and latencies. The other members are `hw.mac.forms.mac_ports`.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(mac_ports(config))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, storage = self.config, self.config.storage_format
        multiply = place(
            m,
            platform,
            lambda: FloatMultiply(storage, BINARY32, config.multiply_latency_cycles),
            module=f"float_multiply_{config.storage}",
            name="multiply",
        )
        add = place(m, platform, lambda: FloatAdd(BINARY32, config.add_latency_cycles), module="float_add_binary32", name="add")
        m.d.comb += [
            multiply.en.eq(self.en),
            multiply.a.eq(self.weight),
            multiply.b.eq(self.activation),
            add.en.eq(self.en),
            add.a.eq(multiply.o),
            add.b.eq(Mux(self.first, 0, Mux(self.stationary, self.west, add.o))),
            self.o.eq(add.o),
        ]
        return m
