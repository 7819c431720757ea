"""SAT, the sparse training accelerator as a whole: an AXI4-Lite slave, AXI4 masters, an interrupt."""

from amaranth.hdl import Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from hw.accelerator.axi_lite import slave_members
from hw.accelerator.control import Control
from hw.accelerator.units import SUMS, Units, check_sat
from hw.array.array import Element
from hw.array.uspe import USPE
from hw.config import AcceleratorConfig
from hw.dma.port import master_members, masters
from hw.parts.modules import place
from hw.parts.streams import move


class SAT(wiring.Component):
    """The accelerator.

    ::

        s_axi ◄──► control ──start, reset──► units ◄──► m_axi
        irq ◄─────────┘  ◄─errors, counters────┘

    Parameters
    ----------
    config : AcceleratorConfig
        See `hw.accelerator.units.check_sat`.
    element : type of Component
        Its processing element, see `hw.array.stce.STCE`.

    Members
    -------
    s_axi_… : AXI4-Lite slave, see `hw.isa.registers`
    m_axi_…, or with several memory channels m_axi_0_…, … : AXI4 masters
    irq : Out(1)
        High from the end of a program, or an error, until it is cleared.
    """

    def __init__(self, config: AcceleratorConfig, element: Element = USPE) -> None:
        check_sat(config)
        self.config = config
        self.element = element
        self.memory = {name: member for master in masters(config) for name, member in master_members(config, master).items()}
        super().__init__({**slave_members(), **self.memory, "irq": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        control = place(m, platform, lambda: Control(self.config), module="control", name="control")
        units = place(m, platform, lambda: Units(self.config, self.element), module="units", name="units", reset=control.reset)
        move(m, control.program, units.program, control.program.payload)
        for name in ("base", "window", "halt", "clear_overflow"):
            m.d.comb += getattr(units, name).eq(getattr(control, name))
        told = ("stop", "done", "idle", "port_idle", "overflow", "commands", "progress", "events", *SUMS)
        for name in told:
            m.d.comb += Value.cast(getattr(control, name)).eq(getattr(units, name))
        outer = [(control, name, member) for name, member in slave_members().items()]
        outer += [(units, name, member) for name, member in self.memory.items()]
        for part, name, member in outer:
            own, port = getattr(part, name), getattr(self, name)
            m.d.comb += port.eq(own) if member.flow is Out else own.eq(port)
        m.d.comb += self.irq.eq(control.interrupt)
        return m
