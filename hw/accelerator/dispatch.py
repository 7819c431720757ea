"""The dispatcher: from a program's words to commands in front of their units."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw.accelerator.agreement import Agreement
from hw.accelerator.vector_unit import WORK
from hw.buffers.operands import placement_layout
from hw.buffers.results import result_tiles_layout
from hw.config import AcceleratorConfig
from hw.isa.commands import COMMANDS, Load, Opcode, Pass, Product, Sink, Source, Store
from hw.isa.encoding import words
from hw.isa.microarchitecture import QUEUED_COMMANDS, QUIET_CYCLES
from hw.isa.registers import Unit
from hw.parts.bounds import in_bounds
from hw.parts.layouts import bound_layout, command_layout, narrowed, walk_layout
from hw.parts.modules import place as place_module

WORDS = {opcode: words(kind) for opcode, kind in COMMANDS.items()}
"""Of each command, its header included."""

AFTER_BITS = 16
"""Of `hw.isa.commands.Load.after`, and of what it is compared with."""

BODY_WORDS = max(WORDS.values()) - 1


class Dispatch(wiring.Component):
    """Reads commands and hands each to its unit, in order; a few may wait in front of each unit.

    Loads and stores wait there until as many results have been stored as they say. A command waits for earlier ones alone, and
    each unit takes its commands in order: the oldest can always go on, and no program of sound commands comes to a standstill.

    Parameters
    ----------
    config : AcceleratorConfig
        The accelerator.

    Members
    -------
    i : In(stream of 32)
        The program's words.
    quiet : In(1)
        All units are idle, and every write is answered.
    overflow : In(1)
        Conditional commands are dropped.
    begins : In(1)
        For a cycle: a program is fetched from now on.
    fetched : In(1)
        Nothing of it is under way, and there is no word of it that is not at `i`.
    settled : In(1)
        Every beat of it that was asked for has come.
    stored : In(1)
        For a cycle: a STORE.RESULTS is complete.
    walk_<source>, walk_<sink> : Out(stream of Walk)
        To readers and writers.
    place_weights, place_activations : Out(stream of placement_layout)
        What else a load says.
    product, tiles, work : Out(stream of Product, result_tiles_layout, WORK)
        To the array, the output buffer and the vector unit.
    ending : Out(1)
        HALT has come: no more of the program is to be asked for.
    done : Out(1)
        For a cycle: the program has ended, and what was fetched behind HALT is to be forgotten.
    illegal, endless : Out(1)
        A word is no header; the program's words are over, and there was no HALT. Nothing is taken any more.
    wrong, wrong_unit : Out(1), Out(8)
        A field cannot be, see `hw.isa.bounds`, or does not agree with the commands before, see `hw.isa.agreement`; whom the
        command is for. Nothing is taken any more, and `commands` stays.
    commands : Out(32)
        Of the program, begun so far.
    empty : Out(1)
        No command waits in front of a unit.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        walks = [source.name.lower() for source in Source if source is not Source.FETCH] + [sink.name.lower() for sink in Sink]
        self.shapes = {f"walk_{name}": walk_layout(config) for name in walks}
        self.shapes |= {"place_weights": placement_layout(config), "place_activations": placement_layout(config)}
        self.shapes |= {"product": bound_layout(config, Product), "tiles": result_tiles_layout(config), "work": WORK}
        super().__init__(
            {
                "i": In(stream.Signature(32)),
                "quiet": In(1),
                **{name: In(1) for name in ("overflow", "stored", "begins", "fetched", "settled")},
                **{name: Out(stream.Signature(shape)) for name, shape in self.shapes.items()},
                **{name: Out(1) for name in ("ending", "done", "illegal", "endless", "wrong", "empty")},
                "wrong_unit": Out(8),
                "commands": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        opcode, unit, skipped, body = Signal(8), Signal(8), Signal(), Signal(32 * BODY_WORDS)
        left, place, still = Signal(8), Signal(8), Signal(range(QUIET_CYCLES + 1))
        stored = Signal(AFTER_BITS)  # since the last synchronisation
        queues = self._queues(m, stored)
        m.d.sync += stored.eq(stored + self.stored)
        word = self.i.payload
        header = {"opcode": word[:8], "unit": word[8:16], "words": word[24:32]}
        count, issues = Signal(32), Signal()
        gone, synchronises, forget = Signal(), Signal(), Signal()
        looks = {"look": issues & ~skipped, "goes": issues & ~skipped & gone, "synchronises": synchronises, "forget": forget}
        watched = self._check(m, platform, {"opcode": opcode, "unit": unit, "body": body} | looks, count)
        with m.FSM():
            with m.State("off"), m.If(self.begins):
                m.d.sync += [still.eq(0), count.eq(0)]
                m.d.comb += forget.eq(1)
                m.next = "header"
            with m.State("header"):
                m.d.comb += self.i.ready.eq(~self.wrong)
                self._starve(m, still)
                with m.If(self.i.valid & self.i.ready):
                    m.d.sync += [
                        opcode.eq(header["opcode"]),
                        unit.eq(header["unit"]),
                        skipped.eq(word[16] & self.overflow),
                        left.eq(header["words"] - 1),
                        place.eq(0),
                        count.eq(count + 1),
                    ]
                    with m.If(~self._is_header(word) | word[16] & watched):
                        m.next = "stopped"
                    with m.Elif((header["opcode"] == Opcode.SYNC) | (header["opcode"] == Opcode.HALT)):
                        m.d.sync += still.eq(0)
                        m.next = "sync"
                    with m.Else():
                        m.next = "body"
            with m.State("body"):
                m.d.comb += self.i.ready.eq(~self.wrong)
                self._starve(m, still)
                with m.If(self.i.valid & self.i.ready):
                    m.d.sync += [body.word_select(place, 32).eq(word), place.eq(place + 1), left.eq(left - 1)]
                    with m.If(left == 1):
                        m.next = "issue"
            with m.State("issue"):
                m.d.comb += [issues.eq(1), gone.eq(self._issue(m, queues, opcode, unit, body, skipped))]
                with m.If(gone):
                    m.next = "header"
            with m.State("sync"):
                m.d.comb += [self.ending.eq(opcode == Opcode.HALT), synchronises.eq(1)]
                m.d.sync += still.eq(Mux(self.quiet & self.empty & (self.settled | ~self.ending), still + 1, 0))
                with m.If(still == QUIET_CYCLES):
                    m.d.comb += [self.done.eq(self.ending), forget.eq(1)]
                    m.d.sync += [still.eq(0), stored.eq(0)]
                    with m.If(self.ending):
                        m.next = "off"
                    with m.Else():
                        m.next = "header"
            with m.State("stopped"):
                m.d.comb += self.illegal.eq(1)
            with m.State("starved"):
                m.d.comb += self.endless.eq(1)
        return m

    def _check(self, m: Module, platform: object, command: dict[str, Value], count: Signal) -> Signal:
        """Look at the command that is handed on; whether conditional ones would depend on timing."""
        agreement = place_module(
            m, platform, lambda: Agreement(self.config, 32 * BODY_WORDS), module="agreement", name="agreement"
        )
        m.d.comb += [getattr(agreement, name).eq(value) for name, value in command.items()]
        opcode, unit, look = (command[name] for name in ("opcode", "unit", "look"))
        bounded = Cat((opcode != code) | in_bounds(self.config, kind, command["body"]) for code, kind in COMMANDS.items()).all()
        unbounded, stays, told = Signal(), Signal(), Signal(32)
        m.d.sync += [unbounded.eq(look & ~bounded), stays.eq(self.wrong)]
        with m.If(look | command["synchronises"]):
            m.d.sync += [told.eq(count), self.wrong_unit.eq(_whose(opcode, unit))]
        m.d.comb += [self.wrong.eq(stays | unbounded | agreement.wrong), self.commands.eq(Mux(self.wrong, told, count))]
        watched: Signal = agreement.watched
        return watched

    def _starve(self, m: Module, still: Signal) -> None:
        """Stop where a word is wanted and none will come."""
        m.d.sync += still.eq(Mux(self.fetched & ~self.i.valid, still + 1, 0))
        with m.If(still == QUIET_CYCLES):
            m.next = "starved"

    def _queues(self, m: Module, stored: Value) -> dict[str, SyncFIFO]:
        """Commands' room in front of each unit; behind each walk, what it waits for."""
        queues = {}
        for name, shape in self.shapes.items():
            port, waits = getattr(self, name), name.startswith("walk_")
            width = shape.size + AFTER_BITS * waits
            m.submodules[f"queue_{name}"] = queues[name] = queue = SyncFIFO(width=width, depth=QUEUED_COMMANDS)
            goes = ~(stored - queue.r_data[shape.size :])[AFTER_BITS - 1] if waits else Const(1)
            m.d.comb += [
                Value.cast(port.payload).eq(queue.r_data[: shape.size]),
                port.valid.eq(queue.r_rdy & goes),
                queue.r_en.eq(port.ready & goes),
            ]
        m.d.comb += self.empty.eq(~Cat(queue.r_rdy for queue in queues.values()).any())
        return queues

    def _is_header(self, word: Value) -> Value:
        """Whether opcode, unit and length belong together."""
        opcode, unit, length = word[:8], word[8:16], word[24:32]
        known = Cat((opcode == number) & (length == count) for number, count in WORDS.items()).any()
        loads = (opcode != Opcode.LOAD) | (unit != Source.FETCH) & (unit <= max(Source))
        stores = (opcode != Opcode.STORE) | (unit <= max(Sink))
        others = (opcode == Opcode.LOAD) | (opcode == Opcode.STORE) | (unit == 0)
        return known & loads & stores & others & (word[17:24] == 0)

    def _issue(
        self, m: Module, queues: dict[str, SyncFIFO], opcode: Value, unit: Value, body: Signal, skipped: Value
    ) -> Signal:
        """Put the command where it belongs, when all that it goes to has room."""
        gone = Signal()
        m.d.comb += gone.eq(skipped)

        def give(when: Value, parts: dict[str, Value]) -> None:
            room = Cat(queues[name].w_rdy for name in parts).all()
            m.d.comb += [queues[name].w_data.eq(value) for name, value in parts.items()]
            with m.If(when & ~skipped):
                m.d.comb += gone.eq(room)
                m.d.comb += [queues[name].w_en.eq(room) for name in parts]

        shapes = (command_layout(kind) for kind in (Load, Store, Product, Pass))
        load, store, product, step = (data.View(shape, body[: shape.size]) for shape in shapes)
        loaded, stored = (narrowed(command.walk, walk_layout(self.config)) for command in (load, store))
        for source in Source:
            if source is not Source.FETCH:
                name = source.name.lower()
                parts = {f"walk_{name}": Cat(loaded, load.after)}
                if source in (Source.WEIGHTS, Source.ACTIVATIONS):
                    parts[f"place_{name}"] = narrowed(load, placement_layout(self.config))
                give((opcode == Opcode.LOAD) & (unit == source), parts)
        for sink in Sink:
            give((opcode == Opcode.STORE) & (unit == sink), {f"walk_{sink.name.lower()}": Cat(stored, store.after)})
        give(opcode == Opcode.PRODUCT, {"product": narrowed(product, bound_layout(self.config, Product))})
        work = {"work": Cat(opcode == Opcode.UPDATE, body[: WORK.size - 1])}
        give((opcode == Opcode.UPDATE) | (opcode == Opcode.PASS) & ~step.options.from_sums, work)
        tiles = narrowed(step, result_tiles_layout(self.config))
        give((opcode == Opcode.PASS) & step.options.from_sums, work | {"tiles": tiles})
        return gone


def _whose(opcode: Value, unit: Value) -> Value:
    """The number, as `hw.isa.registers.Unit` has them, of the unit that a command is for."""
    array = (opcode == Opcode.PRODUCT) | (opcode == Opcode.SYNC) | (opcode == Opcode.HALT)
    streams = Mux(opcode == Opcode.STORE, Unit.WRITERS, Unit.READERS) + unit
    return Mux((opcode == Opcode.LOAD) | (opcode == Opcode.STORE), streams, Mux(array, Unit.ARRAY, Unit.VECTOR))[:8]
