"""Control: registers, start and end, errors, reset, interrupt, counters."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.axi_lite import AxiLite, slave_members
from hw.config import AcceleratorConfig
from hw.dma.bursts import PAGE_BYTES
from hw.dma.port import ADDRESS_BITS
from hw.isa.commands import LOOPS, Loop, Walk
from hw.isa.registers import COUNTERS, FIELDS, OFFSETS, REGISTERS, ErrorCode, Unit, constants
from hw.modules import place
from hw.parts.layouts import command_layout
from hw.units import EVENTS, STOP

RESET_CYCLES = 8
PAGE_BITS = (PAGE_BYTES - 1).bit_length()
COUNTER_BITS = 64


class Control(wiring.Component):
    """The registers of `hw.isa.registers`, and what they do.

    Parameters
    ----------
    config : AcceleratorConfig
        What is read back.

    Members
    -------
    s_axi_… : the AXI4-Lite slave
    interrupt : Out(1)
        Level, until cleared.
    program, base, window, halt, clear_overflow
        To `hw.units.Units`.
    reset : Out(1)
        All units are reset.
    stop, done, idle, port_idle, overflow, commands, progress, events, read_waits, write_waits
        From the units.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                **slave_members(),
                "interrupt": Out(1),
                "program": Out(stream.Signature(command_layout(Walk))),
                "base": Out(ADDRESS_BITS),
                "window": Out(33),
                "halt": Out(1),
                "clear_overflow": Out(1),
                "reset": Out(1),
                "stop": In(STOP),
                **{name: In(1) for name in ("done", "idle", "port_idle", "overflow", "progress")},
                "commands": In(32),
                "events": In(len(EVENTS)),
                "read_waits": In(8),
                "write_waits": In(8),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus = place(m, platform, AxiLite, module="axi_lite", name="bus")
        for name, member in slave_members().items():
            own, outer = getattr(bus, name), getattr(self, name)
            m.d.comb += outer.eq(own) if member.flow is Out else own.eq(outer)
        settings = {register.name: Signal(32, name=register.name) for register in REGISTERS if register.writable}
        for name, register in settings.items():
            if name != "control":
                with m.If(bus.write & (bus.write_address == OFFSETS[name])):
                    for byte in range(4):
                        with m.If(bus.strobes[byte]):
                            m.d.sync += register.word_select(byte, 8).eq(bus.write_data.word_select(byte, 8))
        commanded = bus.write & (bus.write_address == OFFSETS["control"]) & bus.strobes[0]
        starts, resets, clears = (commanded & bus.write_data[field.low] for field in FIELDS["control"])

        running, done, started = Signal(), Signal(), Signal()
        error = Signal(STOP)
        self._reset(m, resets, [running, done, started, error])
        goes = starts & ~running & ~error.valid & ~self.reset
        stops, late = Signal(STOP), self._watchdog(m, settings["watchdog_cycles"], running)
        m.d.comb += stops.eq(Mux(late, Cat(Const(1), Const(ErrorCode.NO_PROGRESS, 8), Const(Unit.CONTROL, 40)), self.stop))
        stopped = stops.valid & ~error.valid & ~self.resetting & ~self.reset
        with m.If(self.program.ready):
            m.d.sync += started.eq(0)
        with m.If(goes):
            m.d.sync += [running.eq(1), done.eq(0), started.eq(1)]
        with m.If(self.done & running):
            m.d.sync += [running.eq(0), done.eq(1)]
        with m.If(stopped):
            m.d.sync += [error.eq(stops), running.eq(0)]
        m.d.comb += [
            self.base.eq(Cat(Const(0, PAGE_BITS), settings["window_base_low"][PAGE_BITS:], settings["window_base_high"])),
            self.window.eq(settings["window_bytes"]),
            self.halt.eq(error.valid | self.resetting),
            self.clear_overflow.eq(goes),
            self.program.valid.eq(started),
            self.program.payload.eq(self._fetch(settings)),
        ]
        pending = Signal()
        m.d.sync += pending.eq(pending & ~clears | self.done & running | stopped)
        m.d.comb += self.interrupt.eq(pending & settings["interrupt_enable"][0])

        status = {
            "idle": self.idle & ~running,
            "running": running,
            "done": done,
            "error": error.valid,
            "overflow": self.overflow,
            "resetting": self.reset | self.resetting,
        }
        values = self._counters(m, goes, running) | settings
        values |= {name: Const(value, 32) for name, value in constants(self.config).items()}
        values |= {
            "control": Const(0, 32),
            "status": Cat(status[field.name] for field in FIELDS["status"]),
            "error_code": error.code,
            "error_unit": error.unit,
            "error_address": error.address,
            "error_command": self.commands,
            "interrupt_status": pending,
        }
        words = Array([Value.cast(values[register.name]) | Const(0, 32) for register in REGISTERS])
        word = bus.read_address[2:]
        m.d.comb += bus.read_data.eq(Mux(word < len(REGISTERS), words[word], 0))
        return m

    def _reset(self, m: Module, asked: Value, state: list[Signal]) -> None:
        """Wait until no burst is under way, then reset all units for some cycles, and forget `state`."""
        self.resetting, left = Signal(), Signal(range(RESET_CYCLES + 1))  # asked for, and not begun
        m.d.comb += self.reset.eq(left != 0)
        with m.If(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.If(asked):
            m.d.sync += self.resetting.eq(1)
        with m.Elif(self.resetting & self.port_idle):
            m.d.sync += [self.resetting.eq(0), left.eq(RESET_CYCLES), *(Value.cast(signal).eq(0) for signal in state)]

    def _watchdog(self, m: Module, limit: Signal, running: Signal) -> Value:
        """Whether nothing has moved for as long as the register says."""
        still = Signal(32)
        m.d.sync += still.eq(Mux(running & ~self.progress, still + 1, 0))
        return running & (limit != 0) & (still == limit)

    def _fetch(self, settings: dict[str, Signal]) -> Value:
        """The program as a walk of words."""
        words = settings["program_bytes"][2:]
        shape = command_layout(Walk)
        fields = {name: getattr(Walk(), name) for name, _ in shape}
        fields |= {"base": settings["program_address"], "size_log2": 2, "boundary": 1, "u_size": words, "u_tile": words}
        parts = []
        for name, field in shape:
            if name in "uv":
                counts = [words if name == "u" and number == 0 else 1 for number in range(LOOPS)]
                loop = command_layout(Loop)
                parts += [Cat(Value.cast(count) | Const(0, 32), Const(0, loop.size - 32)) for count in counts]
            else:
                parts.append((Value.cast(fields[name]) | Const(0, field.width))[: field.width])
        return Cat(parts)

    def _counters(self, m: Module, clears: Value, running: Signal) -> dict[str, Value]:
        """Performance counters, by the names of their halves."""
        steps: dict[str, Value] = {"cycles": Const(1)} | {name: self.events[number] for number, name in enumerate(EVENTS)}
        steps |= {"read_waits_memory": self.read_waits, "write_waits_memory": self.write_waits}
        halves: dict[str, Value] = {}
        for name in COUNTERS:
            counter = Signal(COUNTER_BITS, name=name)
            m.d.sync += counter.eq(Mux(clears, 0, counter + Mux(running, steps[name], 0)))
            halves |= {f"{name}_low": counter[:32], f"{name}_high": counter[32:]}
        return halves
