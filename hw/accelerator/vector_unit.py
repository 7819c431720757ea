"""The vector unit: passes between products, and weight updates, on words of lanes."""

from functools import partial

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw.accelerator.vector_work import is_pass, is_update, packed_words
from hw.config import AcceleratorConfig
from hw.engines.held_factors import HeldFactors
from hw.engines.places import PLACE_FIELDS, PlaceCounter
from hw.engines.pregenerate import Pregenerate
from hw.engines.reductions import ReductionUnit
from hw.engines.vpu import NUMBER, VPU, is_on
from hw.formats import BINARY32
from hw.fp import FloatConvert
from hw.isa.commands import Pass, Update
from hw.isa.microarchitecture import SINK_WORDS
from hw.parts.layouts import command_layout
from hw.parts.modules import place

SINKS = ("results", "copy", "forward", "backward")

WORK = data.StructLayout({"update": 1, "fields": max(command_layout(kind).size for kind in (Pass, Update))})
"""A pass or an update, by its fields."""


class VectorUnit(wiring.Component):
    """Runs `hw.isa.commands.Pass` and `hw.isa.commands.Update`, one after the other.

    ::

        i_sums ──────┐
        i_elements ──┴─┬─► VPU ─┬────────────────────────┬─► o_results
        i_factors ─────┤        └─► reductions ──────────┤
        i_residual ────┤                  ┌─ masters ────┘
        i_gate ────────┘                  │
        i_elements, i_factors ─► update ──┼─────────────────► o_copy
                                          ├─────────────────► o_forward
                                          └─────────────────► o_backward

    Parameters
    ----------
    config : AcceleratorConfig
        With equal numbers of lanes.

    Members
    -------
    i : In(stream of WORK)
        Taken when the last word of the work before has left.
    i_sums, i_elements : In(stream of 32 × lanes)
        Binary32, or numbers of the storage format in the low bits.
    i_factors : In(stream of 64 × lanes)
        Two binary32 numbers: shift and scale, or a master weight and its velocity.
    i_residual, i_gate : In(stream of storage format × lanes)
        What is added; what must be above zero, or NaN, or the place that is counted, for an element to pass.
    o_results : Out(stream of 64 × lanes)
        Results, zeros above; sums, zeros above, or maxima and their places; masters and their velocities.
    o_copy : Out(stream of storage format × lanes)
        Weights after an update; places of maxima, as far as they fit.
    o_forward, o_backward : Out(stream of 2 · storage format × lanes)
        Packed weights: value, then index.
    overflow, clear : Out(1), In(1)
        A number that was to be watched was infinite or NaN; it stays until it is cleared.
    illegal : Out(1)
        For a cycle: work that cannot be was dropped.
    idle, waits_operands, waits_room : Out(1)
        Nothing is inside; a word waits for an operand, or for room behind.

    Attributes
    ----------
    interval_cycles : int
        Cycles from word to word: 1.
    """

    interval_cycles = 1

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        lanes, width = config.vpu_lanes, config.storage_format.width
        inputs = {"sums": 32, "elements": 32, "factors": 64, "residual": width, "gate": width}
        outputs = dict(zip(SINKS, (64, width, 2 * width, 2 * width), strict=True))
        flags = ("overflow", "illegal", "idle", "waits_operands", "waits_room")
        super().__init__(
            {
                "i": In(stream.Signature(WORK)),
                **{f"i_{name}": In(stream.Signature(data.ArrayLayout(bits, lanes))) for name, bits in inputs.items()},
                **{f"o_{name}": Out(stream.Signature(data.ArrayLayout(bits, lanes))) for name, bits in outputs.items()},
                **{name: Out(1) for name in flags},
                "clear": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        work, active, checking = Signal(WORK), Signal(), Signal()
        step, update = (data.View(command_layout(kind), work.fields[: command_layout(kind).size]) for kind in (Pass, Update))
        passing, updating, taken = Signal(), Signal(), Signal()
        to_come = Signal(32)  # words that are to be taken
        left = {name: Signal(32, name=f"{name}_left") for name in SINKS}  # words that are to be given
        more = to_come != 0
        m.d.comb += [
            passing.eq(active & ~checking & ~work.update & more),
            updating.eq(active & ~checking & work.update & more),
        ]
        m.d.sync += to_come.eq(to_come - taken)

        reducing, held = Signal(), Signal()
        vpu = self._passes(m, platform, step, passing, checking)
        reductions: ReductionUnit = place(
            m, platform, lambda: ReductionUnit(self.config), module="reductions", name="reductions"
        )
        m.d.comb += [
            reducing.eq(~work.update & (step.groups != 0)),
            held.eq(reducing & vpu.o.valid & ~reductions.i.ready),
        ]
        engine = self._updates(m, platform, update, updating)
        m.d.comb += taken.eq(Mux(work.update, engine.i_master.valid & engine.i_master.ready, vpu.i.valid & vpu.i.ready))
        sinks = self._sinks(m, left)
        self._reduce(m, platform, step, reducing, sinks["results"].w_rdy, vpu, reductions)
        copies = Mux(work.update, update.copies.dense, reducing & step.options.places)
        beside = reducing & step.options.beside
        self._give(m, work.update, reducing, beside, copies, (vpu, reductions, engine), sinks)

        begun, open_ = Signal(), Signal()  # the reduction has terms of earlier passes; of passes so far
        m.d.comb += [
            reductions.sizes.begun.eq(begun),
            reductions.sizes.goes_on.eq(step.options.beside & (step.results == 0)),
        ]
        legal = Mux(work.update, is_update(self.config, update), is_pass(self.config, step))
        empty = ~Cat(sink.r_rdy for sink in sinks.values()).any()
        m.d.comb += [
            self.i.ready.eq(~active),
            self.idle.eq(~active & empty),
            self.illegal.eq(active & checking & ~legal),
            self.waits_operands.eq((passing | updating) & ~taken & ~held & Cat(sink.w_rdy for sink in sinks.values()).all()),
            self.waits_room.eq(active & ~Cat(sink.w_rdy for sink in sinks.values()).all()),
        ]
        m.d.sync += checking.eq(0)
        with m.If(checking & legal & reducing):
            m.d.sync += [begun.eq(open_), open_.eq(reductions.sizes.goes_on)]
        with m.If(self.clear):
            m.d.sync += open_.eq(0)
        with m.If(checking):
            words = Mux(work.update, update.words, step.words)
            packed = packed_words(self.config, m, update)
            due = {
                "results": Mux(reducing, step.results, 0) + Mux(~reducing | step.options.beside, words, 0),
                "copy": Mux(copies, Mux(work.update, words, step.results), 0),
                "forward": Mux(update.copies.forward, packed, 0),
                "backward": Mux(update.copies.backward, packed, 0),
            }
            m.d.sync += [active.eq(legal), to_come.eq(words)]
            m.d.sync += [left[name].eq(Mux(work.update | (name in ("results", "copy")), due[name], 0)) for name in SINKS]
        with m.Elif(Cat(count == 0 for count in left.values()).all()):
            m.d.sync += active.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [work.eq(self.i.payload), active.eq(1), checking.eq(1)]

        lanes = range(self.config.vpu_lanes)
        wild = Mux(
            reducing,
            reductions.o.valid & Cat(_is_wild(reductions.o.payload[lane].value) for lane in lanes).any(),
            taken & Cat(_is_wild(vpu.i.payload[lane]) for lane in lanes).any(),
        )
        watched = ~work.update & step.options.note_overflow
        m.d.sync += self.overflow.eq(watched & wild | self.overflow & ~self.clear)
        return m

    def _passes(self, m: Module, platform: object, step: data.View, passing: Value, begin: Value) -> VPU:
        """The VPU with the operands that the pass uses."""
        vpu: VPU = place(m, platform, lambda: VPU(self.config), module="vpu", name="vpu")
        factors = self._factors(m, platform, step, passing, begin)
        options, from_sums = step.options, step.options.from_sums
        factored = factors.held.pairs | factors.held.third
        storage = self.config.storage_format
        m.d.comb += [
            Value.cast(vpu.steps).eq(step.steps.as_value()),
            vpu.function.eq(step.function),
            vpu.i.valid.eq(passing & Mux(from_sums, self.i_sums.valid, self.i_elements.valid)),
            Value.cast(vpu.i.payload).eq(Mux(from_sums, Value.cast(self.i_sums.payload), Value.cast(self.i_elements.payload))),
            self.i_sums.ready.eq(passing & from_sums & vpu.i.ready),
            vpu.i_factors.valid.eq(passing & (~factored | factors.o.valid)),
            factors.o.ready.eq(passing & factored & vpu.i_factors.ready),
            vpu.i_residual.valid.eq(passing & self.i_residual.valid),
            Value.cast(vpu.i_residual.payload).eq(self.i_residual.payload),
            self.i_residual.ready.eq(passing & vpu.i_residual.ready),
            vpu.i_mask.valid.eq(passing & self.i_gate.valid),
            self.i_gate.ready.eq(passing & vpu.i_mask.ready),
        ]
        counter: PlaceCounter = place(m, platform, PlaceCounter, module="place_counter", name="places")
        m.d.comb += [counter.fields[name].eq(step[name]) for name in PLACE_FIELDS]
        m.d.comb += [counter.begin.eq(begin), counter.step.eq(vpu.i.valid & vpu.i.ready)]
        for lane in range(self.config.vpu_lanes):
            factor, gate = factors.o.payload[lane], self.i_gate.payload[lane]
            mask = Mux(options.at_place, gate == counter.place, is_on(gate, storage.width, storage.largest))
            m.d.comb += [
                vpu.i_factors.payload[lane].shift.eq(Mux(options.shift_factor, factor.shift, step.shift)),
                vpu.i_factors.payload[lane].scale.eq(Mux(options.scale_factor, factor.scale, step.scale)),
                vpu.i_factors.payload[lane].third.eq(factor.third),
                vpu.i_mask.payload[lane].eq(mask),
            ]
        with m.If(passing):
            m.d.comb += [
                self.i_elements.ready.eq(~from_sums & vpu.i.ready),
                self.i_factors.ready.eq(factored & factors.i.ready),
            ]
        return vpu

    def _factors(self, m: Module, platform: object, step: data.View, passing: Value, begin: Value) -> HeldFactors:
        """A pass's factors, kept where it says so."""
        factors: HeldFactors = place(m, platform, lambda: HeldFactors(self.config), module="held_factors", name="factors")
        steps, options, held = step.steps, step.options, factors.held
        m.d.comb += [
            factors.begin.eq(begin),
            held.words.eq(step.held),
            held.uses.eq(step.words),
            held.pairs.eq((options.shift_factor | options.scale_factor) & (steps.scale | steps.shift)),
            held.third.eq(steps.multiply & steps.third),
            held.by_row.eq(options.by_row),
            held.times.eq(Mux(options.across, step.terms, 1)),
            held.block.eq(step.held_block),
            held.columns.eq(step.columns),
            held.column_tile.eq(step.column_tile),
            factors.i.valid.eq(passing & self.i_factors.valid),
            Value.cast(factors.i.payload).eq(self.i_factors.payload),
        ]
        return factors

    def _reduce(
        self, m: Module, platform: object, step: data.View, reducing: Value, room: Value, vpu: VPU, reductions: ReductionUnit
    ) -> None:
        """What leaves the lanes, as terms; where it leaves as results, too, when there is room for these."""
        m.d.comb += [
            reductions.sizes.largest.eq(step.options.largest),
            reductions.sizes.in_turn.eq(step.options.in_turn),
            reductions.sizes.across.eq(step.options.across),
            reductions.sizes.last_lanes.eq(step.last_lanes),
            reductions.sizes.groups.eq(step.groups),
            reductions.sizes.block.eq(Mux(step.options.beside, step.held_block, step.groups)),
            reductions.sizes.tile.eq(step.column_tile),
            reductions.sizes.terms.eq(step.terms),
            reductions.i.valid.eq(reducing & vpu.o.valid & (~step.options.beside | room)),
        ]
        for lane in range(self.config.vpu_lanes):
            value, storage = vpu.o.payload[lane].value, self.config.storage_format
            make = partial(FloatConvert, storage, BINARY32, 0)
            wide: FloatConvert = place(m, platform, make, module="float_widen_at_once", name=f"widen_{lane}")
            m.d.comb += [wide.en.eq(1), wide.a.eq(value[: storage.width])]
            m.d.comb += reductions.i.payload[lane].eq(Mux(step.options.beside & step.steps.narrow, wide.o, value))

    def _updates(self, m: Module, platform: object, update: data.View, updating: Value) -> Pregenerate:
        """The update engine with its operands."""
        engine: Pregenerate = place(m, platform, lambda: Pregenerate(self.config), module="pregenerate", name="update")
        rates = ("unscale", "weight_decay", "momentum", "learning_rate", *["moments"] * self.config.adamw)
        both = updating & self.i_elements.valid & self.i_factors.valid
        m.d.comb += [
            *(engine.rates[name].eq(update[name]) for name in rates),
            engine.ratio.n.eq(update.n),
            engine.ratio.m.eq(update.m),
            engine.skip.eq(~Cat(update.copies.forward, update.copies.backward)),
            engine.i_gradient.valid.eq(both),
            engine.i_master.valid.eq(both),
            *(engine.i_gradient.payload[lane].eq(self.i_elements.payload[lane]) for lane in range(self.config.wuve_lanes)),
        ]
        for lane in range(self.config.wuve_lanes):
            factor, master = self.i_factors.payload[lane], engine.i_master.payload[lane]
            m.d.comb += [master.weight.eq(factor[:NUMBER]), master.velocity.eq(factor[NUMBER:])]
        with m.If(updating):
            m.d.comb += [self.i_elements.ready.eq(engine.i_gradient.ready), self.i_factors.ready.eq(engine.i_master.ready)]
        return engine

    def _sinks(self, m: Module, left: dict[str, Signal]) -> dict[str, SyncFIFO]:
        """The FIFOs in front of the writers."""
        sinks = {}
        for name in SINKS:
            port = getattr(self, f"o_{name}")
            m.submodules[name] = sinks[name] = sink = SyncFIFO(width=len(Value.cast(port.payload)), depth=SINK_WORDS)
            m.d.comb += [Value.cast(port.payload).eq(sink.r_data), port.valid.eq(sink.r_rdy), sink.r_en.eq(port.ready)]
            m.d.sync += left[name].eq(left[name] - (sink.w_en & sink.w_rdy))
        return sinks

    def _give(
        self,
        m: Module,
        is_update: Value,
        reducing: Value,
        beside: Value,
        copies: Value,
        engines: tuple[VPU, ReductionUnit, Pregenerate],
        sinks: dict[str, SyncFIFO],
    ) -> None:
        """Results, reductions, or masters and what is made of them, to the sinks."""
        width, lanes = self.config.storage_format.width, range(self.config.vpu_lanes)
        vpu, reductions, engine = engines
        updated_lanes = range(self.config.wuve_lanes)
        results, copy = sinks["results"], sinks["copy"]
        masters = [engine.o_master.payload[lane] for lane in updated_lanes]
        room = results.w_rdy & (copy.w_rdy | ~copies)
        passed = Cat(Cat(vpu.o.payload[lane].value, Const(0, NUMBER)) for lane in lanes)
        places = [Mux(reductions.sizes.largest, word.place, 0) for word in reductions.o.payload]
        reduced = Cat(
            Cat(word.value, place, Const(0, NUMBER - len(place)))
            for word, place in zip(reductions.o.payload, places, strict=True)
        )
        given = Mux(is_update, engine.o_master.valid, reductions.o.valid)
        element = beside & reductions.i.ready & vpu.o.valid
        updated = Cat(Cat(word.weight, word.velocity) for word in masters)
        m.d.comb += [
            results.w_data.eq(Mux(is_update, updated, Mux(reducing & (~beside | reductions.o.valid), reduced, passed))),
            results.w_en.eq(Mux(is_update | reducing, room & given | element, vpu.o.valid)),
            vpu.o.ready.eq(~is_update & Mux(reducing, reductions.i.ready & (~beside | results.w_rdy), results.w_rdy)),
            reductions.o.ready.eq(room),
            engine.o_master.ready.eq(is_update & room),
            copy.w_data.eq(Mux(is_update, Cat(word.copy for word in masters), Cat(_fitted(x, width) for x in places))),
            copy.w_en.eq(copies & room & given),
        ]
        for name in ("forward", "backward"):
            port = getattr(engine, f"o_{name}")
            elements = (port.payload[lane] for lane in updated_lanes)
            packed = Cat(Cat(element.value, element.index, Const(0, width - len(element.index))) for element in elements)
            m.d.comb += [sinks[name].w_data.eq(packed), sinks[name].w_en.eq(port.valid), port.ready.eq(sinks[name].w_rdy)]


def _is_wild(number: Value) -> Value:
    """Whether a binary32 number is infinite or NaN."""
    return number[BINARY32.mantissa_bits : -1].all()


def _fitted(place: Value, width: int) -> Value:
    """The low bits of a place, in an element of so many bits."""
    return Cat(place, Const(0, max(0, width - len(place))))[:width]
