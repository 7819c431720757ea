"""Requests of a host on a line of bytes: registers by AXI4-Lite, and memory.

A request is a letter, an address and a number of 32 bits each, the lowest byte first; the answer is a number of 32 bits.

======  =============================  ==================================  =====================================
letter  number                         what follows                        answer
======  =============================  ==================================  =====================================
``r``   0                                                                  what the register at the address holds
``w``   goes to the register                                               0
``R``   how many bytes                                                     how many, and the bytes of memory
``W``   how many bytes                 the bytes, which go to memory       their sum
======  =============================  ==================================  =====================================

Other letters are skipped. A request of which no byte has come for `QUIET_CYCLES` is forgotten, so that a host can begin anew.
"""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.accelerator.axi_lite import slave_members

REQUEST_BYTES = 9
ANSWER_BYTES = 4
LETTERS = {name: ord(letter) for name, letter in {"get": "r", "set": "w", "load": "R", "store": "W"}.items()}
QUIET_CYCLES = 1 << 24
"""0.7 s at 25 MHz."""


class HostBridge(wiring.Component):
    """Does what requests ask for, one after the other; see above.

    Parameters
    ----------
    address_bits : int
        Of the memory.
    quiet_cycles : int
        See above.

    Members
    -------
    byte, valid : In
        A byte of a request, for a cycle.
    o : Out(stream of 8)
        Answers.
    m_axi_… : an AXI4-Lite master
    address, data, read, write, ready, read_data
        The memory, see `hw.boards.memory.BoardMemory`.
    """

    def __init__(self, address_bits: int, quiet_cycles: int = QUIET_CYCLES) -> None:
        self.quiet_cycles = quiet_cycles
        super().__init__(
            {
                "byte": In(8),
                "valid": In(1),
                "o": Out(stream.Signature(8)),
                **{f"m{name[1:]}": member.flip() for name, member in slave_members().items()},
                "address": Out(address_bits),
                "data": Out(8),
                "read": Out(1),
                "write": Out(1),
                "ready": In(1),
                "read_data": In(8),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        request, met = Signal(8 * REQUEST_BYTES), Signal(range(REQUEST_BYTES + 1))
        letter, place, number = request[:8], request[8:40], request[40:]
        answer, told = Signal(32), Signal(range(ANSWER_BYTES + 1))
        quiet = Signal(range(self.quiet_cycles + 1))
        m.d.comb += [
            self.address.eq(place),
            self.data.eq(self.byte),
            self.m_axi_awaddr.eq(place),
            self.m_axi_araddr.eq(place),
            self.m_axi_wdata.eq(number),
            self.m_axi_wstrb.eq(-1),
            self.m_axi_bready.eq(1),
            self.m_axi_rready.eq(1),
        ]
        m.d.sync += quiet.eq(quiet + 1)
        with m.If(self.valid):
            m.d.sync += quiet.eq(0)
        for channel in ("aw", "w", "ar"):
            with m.If(getattr(self, f"m_axi_{channel}ready")):
                m.d.sync += getattr(self, f"m_axi_{channel}valid").eq(0)

        with m.FSM():
            with m.State("REQUEST"):
                with m.If(self.valid & ((met != 0) | Cat(self.byte == known for known in LETTERS.values()).any())):
                    m.d.sync += [request.eq(Cat(request[8:], self.byte)), met.eq(met + 1)]
                with m.Elif(quiet == self.quiet_cycles):
                    m.d.sync += met.eq(0)
                with m.If(met == REQUEST_BYTES):
                    m.d.sync += [met.eq(0), answer.eq(0), told.eq(0)]
                    with m.Switch(letter):
                        with m.Case(LETTERS["get"]):
                            m.d.sync += self.m_axi_arvalid.eq(1)
                            m.next = "GET"
                        with m.Case(LETTERS["set"]):
                            m.d.sync += [self.m_axi_awvalid.eq(1), self.m_axi_wvalid.eq(1)]
                            m.next = "SET"
                        with m.Case(LETTERS["load"]):
                            m.d.sync += answer.eq(number)
                            m.next = "ANSWER"
                        with m.Default():
                            m.next = "STORE"
            with m.State("GET"), m.If(self.m_axi_rvalid):
                m.d.sync += answer.eq(self.m_axi_rdata)
                m.next = "ANSWER"
            with m.State("SET"), m.If(self.m_axi_bvalid):
                m.next = "ANSWER"
            with m.State("STORE"):
                with m.If(number == 0):
                    m.next = "ANSWER"
                with m.Elif(self.valid):
                    m.d.comb += self.write.eq(1)
                    m.d.sync += [place.eq(place + 1), number.eq(number - 1), answer.eq(answer + self.byte)]
                with m.Elif(quiet == self.quiet_cycles):
                    m.next = "REQUEST"
            with m.State("ANSWER"):
                m.d.comb += [self.o.payload.eq(answer[:8]), self.o.valid.eq(told != ANSWER_BYTES)]
                with m.If(self.o.valid & self.o.ready):
                    m.d.sync += [answer.eq(answer >> 8), told.eq(told + 1)]
                with m.If(told == ANSWER_BYTES):
                    m.next = "REQUEST"
                    with m.If((letter == LETTERS["load"]) & (number != 0)):
                        m.next = "READ"
            with m.State("READ"):
                m.d.comb += self.read.eq(1)
                with m.If(self.ready):
                    m.next = "LOADED"
            with m.State("LOADED"):
                m.d.sync += answer.eq(self.read_data)
                m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += [self.o.payload.eq(answer[:8]), self.o.valid.eq(1)]
                with m.If(self.o.ready):
                    m.d.sync += [place.eq(place + 1), number.eq(number - 1)]
                    m.next = "READ"
                    with m.If(number == 1):
                        m.next = "REQUEST"
        return m
