"""The unified sparse processing element."""

from functools import partial

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.cores import GENERIC
from hw.mac import core_of
from hw.mac.forms import operand_bits, sum_bits
from hw.mac.selection import MuxfSelect
from hw.parts.delay_line import FLIP_FLOPS, delay
from hw.parts.modules import place
from hw.parts.selection import select, slices


def row_link(config: AcceleratorConfig) -> wiring.Signature:
    """What travels from west to east along a row.

    Members
    -------
    en : 1
        The receiver takes a step in this cycle. It travels with the data, so that a stall freezes the array as a wave and
        needs no wire that reaches every element.
    stationary : 1
        Weights stay and sums travel; otherwise sums stay and weights travel. It changes only while nothing is in flight.
    first, last : 1
        The step begins, or completes, an accumulation that stays.
    take : 1
        The weight of this step is to be kept. It reaches each element `add_latency_cycles` steps after its western
        neighbour, as the sums do.
    weight : operand_bits
        The value of a kept weight.
    index : config.index_bits
        Which activation of the group it multiplies.
    drain : sum_bits
        A finished sum on its way out, or the travelling sum so far.
    """
    return wiring.Signature(
        {
            "en": Out(1),
            "stationary": Out(1),
            "first": Out(1),
            "last": Out(1),
            "take": Out(1),
            "weight": Out(operand_bits(config.storage_format)),
            "index": Out(config.index_bits),
            "drain": Out(sum_bits(config.storage_format)),
        }
    )


def group_bits(config: AcceleratorConfig) -> int:
    """Width of what travels from north to south along a column: the M activations of a group, the first lowest.

    A plain vector: with a structured one, the Verilog would name each field again at each of R · C elements.
    """
    return operand_bits(config.storage_format) * config.max_group


class USPE(wiring.Component):
    """Multiplies one weight a step by the activation that its index selects, and adds the product to a sum.

    Dense and N:M products differ in nothing but the indices: a dense product walks them in order, an N:M product names the
    kept ones.

    Output-stationary, it accumulates `interleave_slots` sums. They have no register file: they circulate in the adder's own
    pipeline, so that a step belongs to sum ``step % interleave_slots`` and the adder's latency is hidden. Weight-stationary,
    it keeps a weight and adds to the sum that comes from the west, one a step.

    ::

        north ─ register ┬───────────────────────────────► south (group)
                         ▼
        west ─ keep ─► select ─► multiply ─► add ─┬─► last? ─ register ─► east.drain
          │                                   ▲   │     ▲
          │             sum or west.drain ────┴───┘   chain
          │                                             │
          │                                         west.drain
          └─ register ───────────────────────────────────► east (weight, index, flags)

    Parameters
    ----------
    config : AcceleratorConfig
        Formats, group size and latencies.

    Members
    -------
    west, east : row_link
        Registered from west to east. A step is taken in the cycles in which ``west.en`` is high; everything holds in others.
    north, south : group_bits
        Registered from north to south.

    Attributes
    ----------
    latency_cycles : int
        Steps from a weight at ``west`` to its sum, which the link's register then takes: keep, multiply, add.
    interval_cycles : int
        Steps from one weight to the next: 1.

    Notes
    -----
    What comes from the west passes a drain chain of `interleave_slots` registers, then the link's. A sum marked `last` enters
    that last register in its place. A row of C elements therefore needs C · interleave_slots steps between the ends of two
    tiles.
    """

    interval_cycles = 1

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.latency_cycles = config.uspe_latency_cycles
        link = row_link(config)
        group = group_bits(config)
        super().__init__({"west": In(link), "east": Out(link), "north": In(group), "south": Out(group)})

    @property
    def core(self) -> type[wiring.Component]:
        """The multiply-accumulate: takes the configuration, has the ports and keeps the steps of `hw.mac.forms.mac_ports`."""
        return core_of(self.config)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        weight, activation = self.operands(m, platform)
        total = self.accumulate(m, platform, weight, activation)
        self._drain(m, total)
        self._pass_on(m)
        return m

    def operands(self, m: Module, platform: object) -> tuple[Value, Value]:
        """The weight of a step and the activation that it multiplies, one step after they were at the edges."""
        weight = Signal.like(self.west.weight, reset_less=True)
        index = Signal.like(self.west.index, reset_less=True)
        with m.If(self.west.en & (self.west.take | ~self.west.stationary)):
            m.d.sync += [weight.eq(self.west.weight), index.eq(self.west.index)]
        return weight, self._select(m, platform, index)

    def _select(self, m: Module, platform: object, index: Value) -> Value:
        """The activation at `index` of the group that goes south."""
        width, count = len(self.west.weight), self.config.max_group
        if self.config.uspe_core == GENERIC:
            return select(slices(self.south, count), index)
        chosen = place(m, platform, partial(MuxfSelect, width, count), module=f"muxf_select_{width}x{count}", name="select")
        m.d.comb += [chosen.i.eq(self.south), chosen.index.eq(index)]
        return chosen.o

    def accumulate(self, m: Module, platform: object, weight: Value, activation: Value) -> Value:
        """Add products to the sums that stay or travel; a sum is there `latency_cycles` steps after its weight."""
        link = self.west
        core = place(m, platform, lambda: self.core(self.config), module=self.core.__name__.lower(), name="core")
        m.d.comb += [
            core.en.eq(link.en),
            core.weight.eq(weight),
            core.activation.eq(activation),
            core.first.eq(delay(m, link.en, link.first, 1 + self.config.multiply_latency_cycles, "first")),
            core.stationary.eq(link.stationary),
            core.west.eq(link.drain),
        ]
        return core.o

    def _drain(self, m: Module, total: Value) -> None:
        """Send sums east: those that are complete, or that travel, in front of those that come from the west."""
        link = self.west
        load = delay(m, link.en, link.last, self.latency_cycles, "load")
        chain = delay(m, link.en, link.drain, self.config.interleave_slots, "chain", attributes=FLIP_FLOPS)
        with m.If(link.en):
            m.d.sync += self.east.drain.eq(Mux(load | link.stationary, total, chain))
        m.d.comb += self.east.take.eq(delay(m, link.en, link.take, self.config.add_latency_cycles + 1, "take"))

    def _pass_on(self, m: Module) -> None:
        """Register what the neighbours read."""
        m.d.sync += self.east.en.eq(self.west.en)
        with m.If(self.west.en):
            m.d.sync += self.south.eq(self.north)
            for name in ("stationary", "first", "last", "weight", "index"):
                m.d.sync += getattr(self.east, name).eq(getattr(self.west, name))
