"""All units between the memory port and the commands."""

from functools import partial
from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.accelerator.array_unit import ArrayUnit
from hw.accelerator.dispatch import Dispatch
from hw.accelerator.vector_unit import VectorUnit
from hw.array.array import Element
from hw.array.uspe import USPE
from hw.config import AcceleratorConfig
from hw.dma.bursts import window_bits
from hw.dma.port import ADDRESS_BITS, Port, master_members, masters
from hw.dma.reader import Reader
from hw.dma.walker import run_layout
from hw.dma.writer import Writer
from hw.isa.checks import check_sat
from hw.isa.commands import Sink, Source
from hw.isa.operands import chunk_elements
from hw.isa.registers import ErrorCode, Unit
from hw.parts.modules import place
from hw.parts.streams import move

STOP = data.StructLayout({"valid": 1, "code": 8, "unit": 8, "address": 32})
"""Why and where a unit stopped."""

EVENTS = (
    "array_busy", "array_waits_operands", "array_waits_room", "load_waits_free", "vector_busy", "vector_waits_operands",
    "vector_waits_room",
)  # fmt: skip
"""What is counted, at most once a cycle."""

SUMS = ("read_beats", "write_beats", "read_waits", "write_waits")
"""What may be more than once in a cycle."""


class Units(wiring.Component):
    """Readers, writers and their ports; the array unit, the vector unit, and the dispatcher that hands them their commands.

    Parameters
    ----------
    config : AcceleratorConfig
        The accelerator; see `check_sat`.
    element : type of Component
        Its processing element, see `hw.array.stce.STCE`.

    Members
    -------
    program : In(stream of run_layout)
        Where the next program stands.
    base, window : In(64), In(window_bits)
        The window of memory.
    halt : In(1)
        No burst is begun any more.
    clear_overflow, overflow : In(1), Out(1)
        See `hw.accelerator.vector_unit.VectorUnit`.
    stop : Out(STOP)
        For a cycle: an error.
    done, idle, port_idle : Out(1)
        A program has ended; nothing is inside; no burst is under way.
    commands : Out(32)
        Begun so far.
    progress : Out(1)
        Something moved in this cycle.
    events : Out(len(EVENTS)), read_beats, write_beats, read_waits, write_waits : Out(8)
        For performance counters: what happened in this cycle, beats at all ports, and how many readers and writers waited for
        memory.
    m_axi_…, or m_axi_0_…, … : the AXI4 masters
        Reader or writer n is at port n mod `dram_channels`.
    """

    def __init__(self, config: AcceleratorConfig, element: Element = USPE) -> None:
        check_sat(config)
        self.config = config
        self.element = element
        super().__init__(
            {
                "program": In(stream.Signature(run_layout(config))),
                "base": In(ADDRESS_BITS),
                "window": In(window_bits(config)),
                "halt": In(1),
                "clear_overflow": In(1),
                "overflow": Out(1),
                "stop": Out(STOP),
                "done": Out(1),
                "idle": Out(1),
                "port_idle": Out(1),
                "commands": Out(32),
                "progress": Out(1),
                "events": Out(len(EVENTS)),
                **{name: Out(8) for name in SUMS},
                **{name: member for master in masters(config) for name, member in master_members(config, master).items()},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        dispatch = place(m, platform, lambda: Dispatch(config), module="dispatch", name="dispatch")
        array = place(m, platform, lambda: ArrayUnit(config, self.element), module="array_unit", name="array")
        vector = place(m, platform, lambda: VectorUnit(config), module="vector_unit", name="vector")
        ports, forget = self._ports(m, platform), Signal()
        readers, writers = self._readers(m, platform, forget), self._writers(m, platform)

        for source, reader in readers.items():
            port = ports[source % len(ports)]
            move(m, reader.ar, getattr(port, f"ar_{source.value}"), reader.ar.payload)
            move(m, getattr(port, f"r_{source.value}"), reader.r, getattr(port, f"r_{source.value}").payload)
            walk = self.program if source is Source.FETCH else getattr(dispatch, f"walk_{source.name.lower()}")
            move(m, walk, reader.i, walk.payload)
        for sink, writer in writers.items():
            port = ports[sink % len(ports)]
            move(m, writer.aw, getattr(port, f"aw_{sink.value}"), writer.aw.payload)
            move(m, writer.w, getattr(port, f"w_{sink.value}"), writer.w.payload)
            m.d.comb += writer.b.eq(getattr(port, f"b_{sink.value}"))
            walk = getattr(dispatch, f"walk_{sink.name.lower()}")
            move(m, walk, writer.i, walk.payload)
            words = getattr(vector, f"o_{sink.name.lower()}")
            move(m, words, writer.words, words.payload)
        move(m, readers[Source.FETCH].o, dispatch.i, readers[Source.FETCH].o.payload)
        for source, target in ((Source.WEIGHTS, array.i_weights), (Source.ACTIVATIONS, array.i_activations)):
            move(m, readers[source].o, target, readers[source].o.payload)
        for source in (Source.ELEMENTS, Source.FACTORS, Source.RESIDUAL, Source.GATE):
            words = readers[source].o
            move(m, words, getattr(vector, f"i_{source.name.lower()}"), words.payload)
        for here, there in (
            (dispatch.place_weights, array.i_weights_load),
            (dispatch.place_activations, array.i_activations_load),
            (dispatch.product, array.i_product),
            (dispatch.tiles, array.i_tiles),
            (dispatch.work, vector.i),
            (array.o, vector.i_sums),
        ):
            move(m, here, there, here.payload)

        fetch, streams = readers[Source.FETCH], [*readers.values(), *writers.values()]
        idle = Cat(unit.idle for unit in (array, vector, *writers.values())).all()
        loads = Cat(reader.idle for source, reader in readers.items() if source is not Source.FETCH).all()
        m.d.comb += [
            dispatch.quiet.eq(idle & loads & Cat(port.writes_idle for port in ports).all()),
            dispatch.begins.eq(self.program.valid & self.program.ready),
            dispatch.fetched.eq(fetch.idle),
            dispatch.settled.eq(fetch.settled),
            forget.eq(dispatch.done),
            dispatch.overflow.eq(vector.overflow),
            dispatch.stored.eq(writers[Sink.RESULTS].complete),
            vector.clear.eq(self.clear_overflow),
            self.overflow.eq(vector.overflow),
            self.done.eq(dispatch.done),
            self.commands.eq(dispatch.commands),
            self.idle.eq(dispatch.quiet & dispatch.empty & fetch.idle),
            self.port_idle.eq(Cat(port.idle for port in ports).all()),
            self.read_beats.eq(_count(port.read_beat for port in ports)),
            self.write_beats.eq(_count(port.write_beat for port in ports)),
            *(unit.window.eq(self.window) for unit in streams),
            *(unit.halt.eq(self.halt | dispatch.ending if unit is fetch else self.halt) for unit in streams),
            self.read_waits.eq(_count(reader.waits_memory for reader in readers.values())),
            self.write_waits.eq(_count(writer.waits_memory for writer in writers.values())),
        ]
        m.d.comb += [
            self.events.eq(
                Cat(array.busy, array.waits_operands, array.waits_room, array.waits_free,
                    ~vector.idle, vector.waits_operands, vector.waits_room)
            ),
            self.progress.eq(
                Cat(self.read_beats, self.write_beats, array.moves, vector.o_results.valid & vector.o_results.ready,
                    dispatch.i.valid & dispatch.i.ready).any()
            ),
        ]  # fmt: skip
        self._stops(m, dispatch, array, vector, ports, readers, writers)
        return m

    def _ports(self, m: Module, platform: object) -> list[Any]:
        """One for each memory channel, with the readers and writers that are its own."""
        config, names = self.config, masters(self.config)
        ports = []
        for number, master in enumerate(names):
            of = [[one.value for one in kind if one % len(names) == number] for kind in (Source, Sink)]
            name = master.replace("m_axi", "port")
            port = place(m, platform, partial(Port, config, *of), module=name, name=name)
            m.d.comb += port.base.eq(self.base)
            for signal, member in master_members(config).items():
                own, outer = getattr(port, signal), getattr(self, signal.replace("m_axi", master))
                m.d.comb += outer.eq(own) if member.flow is Out else own.eq(outer)
            ports.append(port)
        return ports

    def _readers(self, m: Module, platform: object, forget: Signal) -> dict[Source, Any]:
        """One for each source, with the elements that its unit takes; that of the program can be made to forget it."""
        config, width = self.config, self.config.storage_format.width
        lanes = config.vpu_lanes
        kinds = {
            Source.FETCH: (1, 32, True),
            Source.WEIGHTS: (chunk_elements(config, config.rows), 2 * width, False),
            Source.ACTIVATIONS: (chunk_elements(config, config.columns), width, False),
            Source.ELEMENTS: (lanes, 32, True),
            Source.FACTORS: (lanes, 64, True),
            Source.RESIDUAL: (lanes, width, True),
            Source.GATE: (lanes, width, True),
        }
        readers = {}
        for source, (elements, bits, words) in kinds.items():
            fetches = source is Source.FETCH
            module = "fetch_reader" if fetches else f"reader_{elements}x{bits}{'_words' if words else ''}"
            make = partial(Reader, config, elements, bits, words=words, plain=fetches)
            reset = forget if fetches else None
            readers[source] = place(m, platform, make, module=module, name=f"read_{source.name.lower()}", reset=reset)
        return readers

    def _writers(self, m: Module, platform: object) -> dict[Sink, Any]:
        """One for each sink, with the elements that the vector unit gives."""
        lanes, width = self.config.vpu_lanes, self.config.storage_format.width
        widths = {Sink.RESULTS: 64, Sink.COPY: width, Sink.FORWARD: 2 * width, Sink.BACKWARD: 2 * width}
        return {
            sink: place(
                m, platform, partial(Writer, self.config, lanes, bits), module=f"writer_{lanes}x{bits}",
                name=f"write_{sink.name.lower()}",
            )
            for sink, bits in widths.items()
        }  # fmt: skip

    def _stops(
        self,
        m: Module,
        dispatch: Any,  # noqa: ANN401
        array: Any,  # noqa: ANN401
        vector: Any,  # noqa: ANN401
        ports: list[Any],
        readers: dict[Source, Any],
        writers: dict[Sink, Any],
    ) -> None:
        """The most important of the errors of this cycle."""
        stops: list[tuple[Value, ErrorCode, Value | int, Value | int]] = [
            *(
                (fault.valid, code, first + fault.stream, fault.address)
                for port in ports
                for code, first, fault in (
                    (ErrorCode.READ_RESPONSE, Unit.READERS, port.read_fault),
                    (ErrorCode.WRITE_RESPONSE, Unit.WRITERS, port.write_fault),
                )
            ),
            (dispatch.wrong, ErrorCode.ILLEGAL_FIELD, dispatch.wrong_unit, 0),
            (dispatch.illegal, ErrorCode.ILLEGAL_COMMAND, Unit.CONTROL, 0),
            (dispatch.endless, ErrorCode.NO_HALT, Unit.CONTROL, 0),
            (array.beyond, ErrorCode.BEYOND_BUFFER, Unit.ARRAY, 0),
            (array.illegal, ErrorCode.ILLEGAL_FIELD, Unit.ARRAY, 0),
            (vector.illegal, ErrorCode.ILLEGAL_FIELD, Unit.VECTOR, 0),
        ]
        for first, units in ((Unit.READERS, readers), (Unit.WRITERS, writers)):
            for number, unit in units.items():
                stops.append((unit.outside, ErrorCode.OUTSIDE_WINDOW, first + number, unit.address))
                stops.append((unit.illegal, ErrorCode.ILLEGAL_FIELD, first + number, 0))
        found: Value = Const(0)
        for valid, code, unit, address in stops:
            with m.If(valid & ~found):
                m.d.comb += [
                    self.stop.valid.eq(1),
                    self.stop.code.eq(code),
                    self.stop.unit.eq(unit),
                    self.stop.address.eq(address),
                ]
            found = found | valid


def _count(bits: Any) -> Value:  # noqa: ANN401
    total: Value = Const(0)
    for bit in bits:
        total = total + bit
    return total
