"""The accelerator with memory and a host's line, for any device."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.accelerator.axi_lite import slave_members
from hw.accelerator.sat import SAT
from hw.boards.bridge import HostBridge
from hw.boards.memory import BoardMemory
from hw.boards.serial import Receiver, Transmitter
from hw.config import AcceleratorConfig
from hw.dma.port import master_members
from hw.errors import InputError
from hw.parts.modules import place

LEAST_DIVISOR, LEAST_MEMORY, MOST_MEMORY = 4, 4096, 1 << 30


def check_serial(config: AcceleratorConfig, baud: int, memory_bytes: int) -> int:
    """Clock cycles of a bit; `InputError` where there cannot be a `SerialBoard`."""
    if config.dram_channels != 1:
        raise InputError(f"a serial design has one memory port: dram_channels must be 1, not {config.dram_channels}")
    if memory_bytes & (memory_bytes - 1) or not LEAST_MEMORY <= memory_bytes <= MOST_MEMORY:
        raise InputError(f"memory must be a power of two in {LEAST_MEMORY}..{MOST_MEMORY} bytes, not {memory_bytes}")
    divisor = round(config.clock_hz / max(baud, 1))
    if baud < 1 or divisor < LEAST_DIVISOR or abs(config.clock_hz / divisor / baud - 1) > 0.02:
        most = int(config.clock_hz / LEAST_DIVISOR)
        raise InputError(
            f"baud must be at most {most}, and within 2 % of clock_hz / a whole number, {config.clock_hz:g} / {divisor}, "
            f"not {baud}"
        )
    return divisor


class SerialBoard(wiring.Component):
    """See `hw.boards`. Nothing can come while an answer is under way, so that no byte has to wait.

    Parameters
    ----------
    config : AcceleratorConfig
        With one memory channel.
    memory_bytes : int
        A power of two, at least 4096; byte 0 is at address 0 of the accelerator.
    divisor : int
        Clock cycles of a bit on the line.

    Members
    -------
    receive, transmit : In(1), Out(1)
        The line.
    irq : Out(1)
        The accelerator's.
    """

    def __init__(self, config: AcceleratorConfig, memory_bytes: int, divisor: int) -> None:
        self.config, self.memory_bytes, self.divisor = config, memory_bytes, divisor
        super().__init__({"receive": In(1), "transmit": Out(1, init=1), "irq": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, size = self.config, self.memory_bytes
        sat = place(m, platform, lambda: SAT(config), module="sat", name="sat")
        memory = place(m, platform, lambda: BoardMemory(config, size), module="board_memory", name="memory")
        bridge = place(m, platform, lambda: HostBridge((size - 1).bit_length()), module="host_bridge", name="bridge")
        receiver = place(m, platform, lambda: Receiver(self.divisor), module="receiver", name="receiver")
        transmitter = place(m, platform, lambda: Transmitter(self.divisor), module="transmitter", name="transmitter")
        m.d.comb += [
            receiver.line.eq(self.receive),
            bridge.byte.eq(receiver.byte),
            bridge.valid.eq(receiver.valid),
            transmitter.i.payload.eq(bridge.o.payload),
            transmitter.i.valid.eq(bridge.o.valid),
            bridge.o.ready.eq(transmitter.i.ready),
            self.transmit.eq(transmitter.line),
            self.irq.eq(sat.irq),
        ]
        for name in ("address", "data", "read", "write"):
            m.d.comb += getattr(memory, f"host_{name}").eq(getattr(bridge, name))
        m.d.comb += [bridge.ready.eq(memory.host_ready), bridge.read_data.eq(memory.host_read_data)]
        joined = [(sat, f"m_axi{name}", memory, f"axi{name}", member) for name, member in master_members(config, "").items()]
        joined += [(sat, name, bridge, f"m{name[1:]}", member) for name, member in slave_members().items()]
        for one, name, other, its_name, member in joined:
            mine, theirs = getattr(one, name), getattr(other, its_name)
            m.d.comb += theirs.eq(mine) if member.flow is Out else mine.eq(theirs)
        return m
