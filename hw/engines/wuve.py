"""The weight update vector engine: stochastic gradient descent, and AdamW's moments, on binary32 masters."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.engines.vector import PLACES_BITS, VectorArithmetic
from hw.formats import BINARY32
from hw.parts.modules import place
from hw.parts.streams import advance, join

NUMBER = BINARY32.width

RATES = data.StructLayout(
    {
        "unscale": signed(PLACES_BITS),
        "pruned_decay": NUMBER,
        "weight_decay": NUMBER,
        "momentum": NUMBER,
        "learning_rate": NUMBER,
    }
)
"""The hyper-parameters: the exponent of 1/loss scale, which is a power of two; in binary32 λ_w, λ, μ, η."""


def rates_layout(config: AcceleratorConfig) -> data.StructLayout:
    """`RATES`, with AdamW also whether the masters are moments."""
    return data.StructLayout(dict(RATES.members) | ({"moments": 1} if config.adamw else {}))


MASTER = data.StructLayout({"weight": NUMBER, "velocity": NUMBER, "pruned": 1})
"""A master weight, its velocity, and whether the SR-STE term pulls at it."""


def updated_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A master weight after its update, its velocity, and the weight rounded to the storage format."""
    return data.StructLayout({"weight": NUMBER, "velocity": NUMBER, "copy": config.storage_format.width})


class WuveLane(wiring.Component):
    """One weight's update, each operation rounded once, in the order of `training.optimiser`.

    ::

        gradient ─ · 2^unscale ─────┬─────────────┐
        weight ─── × pruned_decay ─ + ─ pruned? ──┴─ + ─ + ─┬─ × learning_rate ─ − ─┬─ round ─► copy
              ├─── × weight_decay ───────────────────┘   │  │                    │  └─────────► weight
              └──────────────────────────────────────────┼──┼────────────────────┘
        velocity ─ × momentum ───────────────────────────┘  └─────────────────────────────────► velocity

    Of moments, weight is the discounted sum of gradients and velocity that of their squares; what is added to velocity is the
    gradient's square, and what decay was added to is the new sum::

        gradient ─ · 2^unscale ──┬──── × itself ──┐
        weight ─── × weight_decay ─ + ────────────┼───────► weight
        velocity ─ × momentum ─────────────────── + ──────► velocity

    Parameters
    ----------
    config : AcceleratorConfig
        Storage format and latency.

    Members
    -------
    en : In(1)
        Clock enable of everything.
    gradient : In(32)
        The scaled gradient.
    master : In(MASTER)
        What is to be updated.
    rates : In(rates_layout)
        The hyper-parameters.
    o : Out(updated_layout)
        The update of `latency_cycles` enabled cycles before.

    Attributes
    ----------
    latency_cycles, interval_cycles : int
        Enabled cycles from operands to result, and between operands: 1.
    """

    interval_cycles = 1

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.latency_cycles = config.wuve_latency_cycles
        super().__init__(
            {
                "en": In(1),
                "gradient": In(NUMBER),
                "master": In(MASTER),
                "rates": In(rates_layout(config)),
                "o": Out(updated_layout(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rates, old = self.rates, self.master
        unit = VectorArithmetic(m, platform, self.config, self.en)

        unscaled = unit.scale(self.gradient, rates.unscale, "unscale")
        pull = unit.multiply(rates.pruned_decay, old.weight, "pull")
        decay = unit.multiply(rates.weight_decay, old.weight, "decay")
        momentum = unit.multiply(rates.momentum, old.velocity, "momentum")

        pulled = unit.add(unscaled, pull, "add_pull")
        gradient = Mux(unit.later(old.pruned, 2, "pruned"), pulled, unit.later(unscaled, 1, "unpulled"))
        decayed = unit.add(gradient, unit.later(decay, 1, "decay_later"), "add_decay")
        added = decayed
        if self.config.adamw:
            added = Mux(rates.moments, unit.multiply(gradient, gradient, "square"), decayed)
        velocity = unit.add(unit.later(momentum, 2, "momentum_later"), added, "add_momentum")

        step = unit.multiply(rates.learning_rate, velocity, "step")
        backwards = Cat(step[:-1], ~step[-1])
        weight = unit.add(unit.later(old.weight, 5, "old_weight"), backwards, "subtract_step")
        if self.config.adamw:
            weight = Mux(rates.moments, unit.later(decayed, 3, "sum"), weight)
        m.d.comb += [
            self.o.copy.eq(unit.narrow(weight, "round")),
            self.o.weight.eq(unit.later(weight, 1, "weight")),
            self.o.velocity.eq(unit.later(velocity, 3, "velocity")),
        ]
        return m


class WUVE(wiring.Component):
    """Updates P master weights a cycle.

    In binary32, each operation rounded once: g ← g · 2**unscale; g ← g + pruned_decay · w where pruned;
    g ← g + weight_decay · w; v ← momentum · v + g; w ← w − learning_rate · v; copy ← w in the storage format. Of moments,
    behind the second operation: w ← g + weight_decay · w; v ← momentum · v + g · g.

    ::

        i_master ───┬─► lane 0 ──┬─► o
        i_gradient ─┼─► lane 1 ──┤
             │      └─► lane P-1 ┘
             └─► finite? ─► overflow

    Parameters
    ----------
    config : AcceleratorConfig
        `wuve_lanes`, storage format and latencies.

    Members
    -------
    i_master : In(stream of MASTER × wuve_lanes)
        Weights and velocities.
    i_gradient : In(stream of 32 × wuve_lanes)
        Their gradients, still multiplied by the loss scale. A word of each input is taken in the same cycle.
    o : Out(stream of updated_layout × wuve_lanes)
        In the order of the inputs.
    rates : In(rates_layout)
        Hyper-parameters; they must hold from the first word of a tensor taken to its last word offered.
    overflow : Out(1)
        A gradient that was taken was infinite or NaN. It stays high until cleared.
    clear : In(1)
        Lowers `overflow`, unless such a gradient is taken in the same cycle.

    Attributes
    ----------
    latency_cycles : int
        Cycles from taking a word to offering its update.
    interval_cycles : int
        Cycles from one word to the next: 1.

    Notes
    -----
    The engine updates whatever it is given. That a step with an overflow is skipped is up to whoever writes the results back:
    the masters must still be there when `overflow` is known.
    """

    interval_cycles = 1

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.latency_cycles = config.wuve_latency_cycles
        lanes = config.wuve_lanes
        super().__init__(
            {
                "i_master": In(stream.Signature(data.ArrayLayout(MASTER, lanes))),
                "i_gradient": In(stream.Signature(data.ArrayLayout(NUMBER, lanes))),
                "o": Out(stream.Signature(data.ArrayLayout(updated_layout(config), lanes))),
                "rates": In(rates_layout(config)),
                "overflow": Out(1),
                "clear": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        valid, en, wild = Signal(), Signal(), Signal(self.config.wuve_lanes)
        m.d.comb += [
            valid.eq(join(m, {self.i_master: Const(1), self.i_gradient: Const(1)}, en)),
            en.eq(advance(m, valid, self.o, self.latency_cycles)),
        ]
        for number in range(self.config.wuve_lanes):
            lane = place(m, platform, lambda: WuveLane(self.config), module="wuve_lane", name=f"lane_{number}")
            gradient = self.i_gradient.payload[number]
            m.d.comb += [
                lane.en.eq(en),
                lane.gradient.eq(gradient),
                lane.master.eq(self.i_master.payload[number]),
                lane.rates.eq(self.rates),
                self.o.payload[number].eq(lane.o),
                wild[number].eq(gradient[BINARY32.mantissa_bits : -1].all()),
            ]
        m.d.sync += self.overflow.eq(valid & en & wild.any() | self.overflow & ~self.clear)
        return m
