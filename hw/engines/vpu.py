"""The vector post-processing unit: what lies between two matrix products of a training step."""

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.engines.functions import CODE_BITS, FUNCTION_OPERATIONS, FunctionLane
from hw.engines.held_factors import FACTORS
from hw.engines.vector import VectorArithmetic
from hw.formats import BINARY32
from hw.isa.bits import PassStep
from hw.parts.layouts import flags_layout
from hw.parts.modules import place
from hw.parts.streams import advance, join

NUMBER = BINARY32.width

PASS = flags_layout(PassStep)
"""Which operations a pass does, in the order of `hw.isa.bits.PassStep`."""

RESULT = data.StructLayout({"value": NUMBER, "mask": 1})
"""An element, in the storage format in the low bits with zeros above where the pass narrows; whether the ReLU let it pass."""


class VpuLane(wiring.Component):
    """One element's way through a pass; what a pass leaves out lets the element by unchanged, in the same time.

    ::

        value ─ widen ─ × scale ─ + shift ─┬─ function, round ─ + residual ─ × ─ narrow ─ relu ─ gate ─► o
                                           └─────────────────────────────────┤
        residual ─ widen ──────────────────────────────────────────┴─────────┤
        third ───────────────────────────────────────────────────────────────┘

    Parameters
    ----------
    config : AcceleratorConfig
        Storage format and latency.

    Members
    -------
    en : In(1)
        Clock enable of everything.
    steps : In(PASS)
        What is done.
    function : In(4)
        A code of `hw.isa.functions.Function`; 0 for none.
    value, factors, residual, mask : In(32), In(FACTORS), In(storage format), In(1)
        The element and its operands; those that the pass does not use may be anything.
    o : Out(RESULT)
        The result of `latency_cycles` enabled cycles before.

    Attributes
    ----------
    latency_cycles, interval_cycles : int
        Enabled cycles from operands to result, and between operands: 1.
    """

    interval_cycles = 1

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.latency_cycles = config.vpu_latency_cycles
        super().__init__(
            {
                "en": In(1),
                "steps": In(PASS),
                "function": In(CODE_BITS),
                "value": In(NUMBER),
                "factors": In(FACTORS),
                "residual": In(config.storage_format.width),
                "mask": In(1),
                "o": Out(RESULT),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        steps, storage = self.steps, self.config.storage_format
        unit = VectorArithmetic(m, platform, self.config, self.en)

        def apply(done: Value, result: Value, value: Value, name: str) -> Value:
            return Mux(done, result, unit.later(value, 1, f"without_{name}"))

        value = self.value
        value = apply(steps.widen, unit.widen(value[: storage.width], "widen"), value, "widen")
        value = apply(steps.scale, unit.multiply(value, unit.later(self.factors.scale, 1, "a"), "scale"), value, "scale")
        value = apply(steps.shift, unit.add(value, unit.later(self.factors.shift, 2, "b"), "shift"), value, "shift")
        before, value = value, Mux(steps.round, self._rounded(unit, value), self._function(m, platform, value))
        residual = unit.later(unit.widen(self.residual, "widen_residual"), 2 + FUNCTION_OPERATIONS, "r")
        value = apply(steps.residual, unit.add(value, residual, "add_residual"), value, "residual")
        number = Mux(steps.third, unit.later(self.factors.third, 3, "c"), before)
        number = unit.later(number, FUNCTION_OPERATIONS + 1, "number")
        multiplier = Mux(steps.third | steps.itself, number, unit.later(residual, 1, "multiplier"))
        value = apply(steps.multiply, unit.multiply(value, multiplier, "multiply"), value, "multiply")
        value = apply(steps.narrow, unit.narrow(value, "narrow"), value, "narrow")

        on, mask = Signal(), unit.later(self.mask, 6 + FUNCTION_OPERATIONS, "gate")
        m.d.comb += [
            on.eq(Mux(steps.narrow, is_on(value, storage.width, storage.largest), is_on(value, NUMBER, BINARY32.largest))),
            self.o.mask.eq(on),
            self.o.value.eq(Mux(steps.relu & ~on | steps.gate & ~mask, 0, value)),
        ]
        return m

    def _rounded(self, unit: VectorArithmetic, value: Value) -> Value:
        """`value` as the storage format has it, as late as a function's result."""
        there_and_back = unit.widen(unit.narrow(value, "round"), "widen_rounded")
        return unit.later(there_and_back, FUNCTION_OPERATIONS - 2, "rounded")

    def _function(self, m: Module, platform: object, value: Value) -> Value:
        lane: FunctionLane = place(m, platform, lambda: FunctionLane(self.config), module="function_lane", name="function")
        m.d.comb += [lane.en.eq(self.en), lane.function.eq(self.function), lane.a.eq(value)]
        return lane.o


def is_on(value: Value, width: int, largest: int) -> Value:
    """Whether the number in the low `width` bits is above zero, or NaN: a magnitude above `largest`."""
    magnitude = value[: width - 1]
    return (magnitude != 0) & ~value[width - 1] | (magnitude > largest)


class VPU(wiring.Component):
    """Bias, scale-and-shift, functions, residual sums and products, ReLU and its gradient, conversion: all in one pass.

    ::

        i ──────────┬─► lane 0 ──┬─► o        each operand stream is taken in step with i,
        i_factors ──┤   ...      │          and only in a pass that uses it
        i_residual ─┤            │
        i_mask ─────┴─► lane P-1 ┘

    Parameters
    ----------
    config : AcceleratorConfig
        `vpu_lanes`, storage format and latencies.

    Members
    -------
    steps, function : In(PASS), In(4)
        What the pass does; they must hold from the first word taken to the last word offered.
    i : In(stream of 32 × vpu_lanes)
        The elements.
    i_factors : In(stream of FACTORS × vpu_lanes)
        In passes that scale, shift, or multiply by a third factor.
    i_residual : In(stream of storage format × vpu_lanes)
        In passes that add a residual, or multiply by it.
    i_mask : In(stream of 1 × vpu_lanes)
        In passes that gate.
    o : Out(stream of RESULT × vpu_lanes)
        In the order of `i`. The mask says which elements are above zero or NaN, whether or not the pass does a ReLU.

    Attributes
    ----------
    latency_cycles : int
        Cycles from taking a word to offering its result, in every pass.
    interval_cycles : int
        Cycles from one word to the next: 1.
    """

    interval_cycles = 1

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.latency_cycles = config.vpu_latency_cycles
        lanes = config.vpu_lanes
        shapes = {"i": NUMBER, "i_factors": FACTORS, "i_residual": config.storage_format.width, "i_mask": 1}
        inputs = {name: In(stream.Signature(data.ArrayLayout(shape, lanes))) for name, shape in shapes.items()}
        results = Out(stream.Signature(data.ArrayLayout(RESULT, lanes)))
        super().__init__({"steps": In(PASS), "function": In(CODE_BITS), **inputs, "o": results})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        steps = self.steps
        used = {
            self.i: Const(1),
            self.i_factors: steps.scale | steps.shift | steps.multiply & steps.third,
            self.i_residual: steps.residual | steps.multiply & ~(steps.itself | steps.third),
            self.i_mask: steps.gate,
        }
        valid, en = Signal(), Signal()
        m.d.comb += [
            valid.eq(join(m, used, en)),
            en.eq(advance(m, valid, self.o, self.latency_cycles)),
        ]
        for number in range(self.config.vpu_lanes):
            lane = place(m, platform, lambda: VpuLane(self.config), module="vpu_lane", name=f"lane_{number}")
            m.d.comb += [
                lane.en.eq(en),
                lane.steps.eq(steps),
                lane.function.eq(self.function),
                lane.value.eq(self.i.payload[number]),
                lane.factors.eq(self.i_factors.payload[number]),
                lane.residual.eq(self.i_residual.payload[number]),
                lane.mask.eq(self.i_mask.payload[number]),
                self.o.payload[number].eq(lane.o),
            ]
        return m
