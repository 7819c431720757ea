"""Control: registers, start and end, errors, reset, interrupt, counters."""

from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.accelerator.axi_lite import AxiLite, slave_members
from hw.accelerator.units import EVENTS, STOP, SUMS
from hw.config import AcceleratorConfig
from hw.dma.bursts import window_bits
from hw.dma.port import ADDRESS_BITS
from hw.dma.walker import run_layout
from hw.isa.registers import COUNTERS, FIELDS, OFFSETS, REGISTERS, ErrorCode, Unit, after_reset, constants, setting_bits
from hw.parts.modules import place

RESET_CYCLES = 8
COUNTER_BITS = 64
STATE = ("running", "done", "started", "refused", "pending")

TAKEN = (
    "window_base_low",
    "window_base_high",
    "window_bytes",
    "window_bytes_high",
    "program_address",
    "program_address_high",
    "program_bytes",
    "watchdog_cycles",
)
"""Registers that a start takes: writes while a program runs are for the next one."""


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
        To `hw.accelerator.units.Units`.
    reset : Out(1)
        All units are reset.
    stop, done, idle, port_idle, overflow, commands, progress, events, read_beats, write_beats, read_waits, write_waits
        From the units.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                **slave_members(),
                "interrupt": Out(1),
                "program": Out(stream.Signature(run_layout(config))),
                "base": Out(ADDRESS_BITS),
                "window": Out(window_bits(config)),
                "halt": Out(1),
                "clear_overflow": Out(1),
                "reset": Out(1),
                "stop": In(STOP),
                **{name: In(1) for name in ("done", "idle", "port_idle", "overflow", "progress")},
                "commands": In(32),
                "events": In(len(EVENTS)),
                **{name: In(8) for name in SUMS},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus = place(m, platform, AxiLite, module="axi_lite", name="bus")
        for name, member in slave_members().items():
            own, outer = getattr(bus, name), getattr(self, name)
            m.d.comb += outer.eq(own) if member.flow is Out else own.eq(outer)
        settings = self._settings(m, bus)
        commanded = bus.write & (bus.write_word == OFFSETS["control"] // 4) & bus.strobes[0]
        starts, resets, clears = (commanded & bus.write_data[field.low] for field in FIELDS["control"])

        running, done, started, refused, pending = (Signal(name=name) for name in STATE)
        error, illegal = Signal(STOP), self._illegal(m, settings)
        forgets = self._reset(m, resets)
        goes, refuses, begins = Signal(), Signal(), Signal()
        m.d.comb += [
            refuses.eq(starts & (running | error.valid | self.resetting | self.reset)),
            goes.eq(starts & ~refuses),
            begins.eq(goes & ~illegal.valid),
        ]
        taken = {name: Signal(32, name=f"taken_{name}") for name in TAKEN}
        with m.If(goes):
            m.d.sync += [taken[name].eq(settings[name]) for name in TAKEN]
        stops, late = Signal(STOP), self._watchdog(m, taken["watchdog_cycles"], running)
        no_progress = Cat(Const(1), Const(ErrorCode.NO_PROGRESS, 8), Const(Unit.CONTROL, 40))
        m.d.comb += stops.eq(Mux(goes, illegal, Mux(late, no_progress, self.stop)))
        stopped = stops.valid & ~error.valid & ~self.resetting & ~self.reset
        ends = self.done & running
        with m.If(self.program.ready):
            m.d.sync += started.eq(0)
        with m.If(begins):
            m.d.sync += [running.eq(1), started.eq(1)]
        with m.If(ends):
            m.d.sync += running.eq(0)
        with m.If(stopped):
            m.d.sync += [error.eq(stops), running.eq(0)]
        m.d.sync += [
            done.eq(done & ~goes | ends),
            pending.eq(pending & ~clears & ~goes | ends | stopped),
            refused.eq(refused & ~clears & ~goes | refuses),
        ]
        with m.If(forgets):
            m.d.sync += [Value.cast(state).eq(0) for state in (running, done, started, refused, pending, error)]
        window, bits = Cat(taken["window_bytes"], taken["window_bytes_high"]), self.config.address_bits
        m.d.comb += [
            self.base.eq(Cat(taken["window_base_low"], taken["window_base_high"])),
            self.window.eq(Mux(window[bits:].any(), 1 << bits, window[:bits])),
            self.halt.eq(error.valid | self.resetting),
            self.clear_overflow.eq(goes),
            self.program.valid.eq(started),
            self.program.payload.base.eq(Cat(taken["program_address"], taken["program_address_high"])),
            self.program.payload.words.eq(taken["program_bytes"][2:]),
            self.interrupt.eq(pending & settings["interrupt_enable"][0]),
        ]
        status = {"idle": self.idle & ~running & ~error.valid, "running": running, "done": done, "error": error.valid}
        status |= {"overflow": self.overflow, "resetting": self.reset | self.resetting, "refused": refused}
        values = self._counters(m, goes, running) | settings
        values |= {name: Const(value, 32) for name, value in constants(self.config).items()}
        values |= {
            "control": Const(0, 32),
            "status": Cat(status[field.name] for field in FIELDS["status"]),
            "error_code": error.code,
            "error_unit": error.unit,
            "error_address": error.address,
            "error_command": Mux(error.code == ErrorCode.ILLEGAL_SETTING, 0, self.commands),
            "interrupt_status": pending,
        }
        words = Array([Value.cast(values[register.name]) | Const(0, 32) for register in REGISTERS])
        m.d.comb += bus.read_data.eq(Mux(bus.read_word < len(REGISTERS), words[bus.read_word], 0))
        return m

    def _settings(self, m: Module, bus: Any) -> dict[str, Signal]:  # noqa: ANN401
        """What the host has written, by register."""
        reset = after_reset(self.config)
        names = [register.name for register in REGISTERS if register.writable and register.name != "control"]
        settings = {name: Signal(32, name=name, init=reset[name]) for name in names}
        for name, register in settings.items():
            with m.If(bus.write & (bus.write_word == OFFSETS[name] // 4)):
                for byte in range(4):
                    with m.If(bus.strobes[byte]):
                        m.d.sync += register.word_select(byte, 8).eq(bus.write_data.word_select(byte, 8))
        return settings

    def _illegal(self, m: Module, settings: dict[str, Signal]) -> data.View:
        """The error that a start comes to with these settings: the offset of the first that cannot be is its address."""
        illegal = Signal(STOP, name="illegal")
        bits = setting_bits(self.config)
        for register in reversed([one for one in REGISTERS if one.multiple > 1 or one.name in bits]):
            setting = settings[register.name]
            wrong = Cat(setting[: (register.multiple - 1).bit_length()], setting[bits.get(register.name, 32) :]).any()
            with m.If(wrong | (setting < register.least) if register.least else wrong):
                told = Const(1), Const(ErrorCode.ILLEGAL_SETTING, 8), Const(Unit.CONTROL, 8), Const(register.offset, 32)
                m.d.comb += illegal.eq(Cat(told))
        return illegal

    def _reset(self, m: Module, asked: Value) -> Value:
        """Wait until no burst is under way, then reset all units for some cycles; high in the cycle before."""
        self.resetting, left = Signal(), Signal(range(RESET_CYCLES + 1))  # asked for, and not begun
        begins = self.resetting & self.port_idle & ~asked
        m.d.comb += self.reset.eq(left != 0)
        with m.If(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.If(asked):
            m.d.sync += self.resetting.eq(1)
        with m.Elif(begins):
            m.d.sync += [self.resetting.eq(0), left.eq(RESET_CYCLES)]
        return begins

    def _watchdog(self, m: Module, limit: Signal, running: Signal) -> Value:
        """Whether nothing has moved for as long as the setting says."""
        still = Signal(32)
        m.d.sync += still.eq(Mux(running & ~self.progress, still + 1, 0))
        return running & (limit != 0) & (still >= limit)

    def _counters(self, m: Module, clears: Value, running: Signal) -> dict[str, Value]:
        """Performance counters, by the names of their halves."""
        steps: dict[str, Value] = {"cycles": Const(1)} | {name: self.events[number] for number, name in enumerate(EVENTS)}
        steps |= {"read_beats": self.read_beats, "write_beats": self.write_beats}
        steps |= {"read_waits_memory": self.read_waits, "write_waits_memory": self.write_waits}
        halves: dict[str, Value] = {}
        for name in COUNTERS:
            counter = Signal(COUNTER_BITS, name=name)
            m.d.sync += counter.eq(Mux(clears, 0, counter + Mux(running, steps[name], 0)))
            halves |= {f"{name}_low": counter[:32], f"{name}_high": counter[32:]}
        return halves
