"""The unified sparse processing element."""

from collections.abc import Sequence
from functools import partial

from amaranth.hdl import Cat, Module, Mux, Signal, Value, ValueLike
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.delay_line import TappedLine
from hw.formats import BINARY32
from hw.fp.add import FloatAdd
from hw.fp.multiply import FloatMultiply
from hw.modules import place


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
    weight : storage format
        The value of a kept weight.
    index : config.index_bits
        Which activation of the group it multiplies.
    drain : 32
        A finished sum on its way out, or the travelling sum so far.
    """
    return wiring.Signature(
        {
            "en": Out(1),
            "stationary": Out(1),
            "first": Out(1),
            "last": Out(1),
            "take": Out(1),
            "weight": Out(config.storage_format.width),
            "index": Out(config.index_bits),
            "drain": Out(BINARY32.width),
        }
    )


def group_bits(config: AcceleratorConfig) -> int:
    """Width of what travels from north to south along a column: the M activations of a group, the first lowest.

    A plain vector: with a structured one, the Verilog would name each field again at each of R · C elements.
    """
    return config.storage_format.width * config.max_group


class USPE(wiring.Component):
    """Multiplies one weight a step by the activation that its index selects, and adds the product to a sum.

    Dense and N:M products differ in nothing but the indices: a dense product walks them in order, an N:M product names the
    kept ones.

    Output-stationary, it accumulates `interleave_slots` sums. They have no register file: they circulate in the adder's own
    pipeline, so that a step belongs to sum ``step % interleave_slots`` and the adder's latency is hidden. Weight-stationary,
    it keeps a weight and adds to the sum that comes from the west, one a step.

    ::

        north ──┬────────────────────────► south (group, registered)
                ▼
        west ─ select ─ multiply ─ add ─┬─────────────┬─► east.drain
          │                         ▲   ├─► chain ────┘
          │       sum or west.drain ┴───┘     ▲
          │                               west.drain
          └──────────────────────────────► east (weight, index, flags, registered)

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
        Steps from a weight at ``west`` to its sum at the head of the drain chain: select, multiply, add, chain.
    interval_cycles : int
        Steps from one weight to the next: 1.

    Notes
    -----
    A sum marked `last` enters the drain chain `interleave_slots` registers long; in all other steps the chain shifts what
    comes from the west. A row of C elements therefore needs C · interleave_slots steps between the ends of two tiles.
    """

    interval_cycles = 1

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.latency_cycles = config.uspe_latency_cycles
        link = row_link(config)
        group = group_bits(config)
        super().__init__({"west": In(link), "east": Out(link), "north": In(group), "south": Out(group)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        weight, activation = self.operands(m)
        product = self.product(m, platform, weight, activation)
        self.accumulate(m, platform, product)
        self._pass_on(m)
        return m

    def operands(self, m: Module) -> tuple[Signal, Signal]:
        """The weight of a step and the activation that it multiplies, one step after they were at the edges."""
        width, take = self.config.storage_format.width, self.west.take | ~self.west.stationary
        weight = Signal(width, reset_less=True)
        activation = Signal(width, reset_less=True)
        kept_index = Signal(self.config.index_bits, reset_less=True)
        index = Mux(take, self.west.index, kept_index)
        with m.If(self.west.en):
            m.d.sync += activation.eq(select(slices(self.north, self.config.max_group), index))
            with m.If(take):
                m.d.sync += [weight.eq(self.west.weight), kept_index.eq(self.west.index)]
        return weight, activation

    def product(self, m: Module, platform: object, weight: Value, activation: Value) -> Value:
        """Their product in binary32, `multiply_latency_cycles` steps later."""
        storage, latency = self.config.storage_format, self.config.multiply_latency_cycles
        multiply = place(
            m,
            platform,
            lambda: FloatMultiply(storage, BINARY32, latency),
            module=f"float_multiply_{self.config.storage}",
            name="multiply",
        )
        m.d.comb += [multiply.en.eq(self.west.en), multiply.a.eq(weight), multiply.b.eq(activation)]
        return multiply.o

    def accumulate(self, m: Module, platform: object, product: Value) -> None:
        """Add products to the sums that stay or travel, and send sums east."""
        config, en, stationary = self.config, self.west.en, self.west.stationary
        add = place(m, platform, lambda: FloatAdd(BINARY32, config.add_latency_cycles), module="float_add_binary32", name="add")
        first = delay(m, en, self.west.first, 1 + config.multiply_latency_cycles, "first")
        load = delay(m, en, self.west.last, 1 + config.multiply_latency_cycles + config.add_latency_cycles, "load")
        m.d.comb += [add.en.eq(en), add.a.eq(product), add.b.eq(Mux(first, 0, Mux(stationary, self.west.drain, add.o)))]
        cycles = config.interleave_slots + 1  # the chain, and the register at the link
        chain = place(
            m, platform, partial(TappedLine, len(add.o), cycles), module=f"tapped_line_{len(add.o)}x{cycles}", name="chain"
        )
        m.d.comb += [
            chain.en.eq(en),
            chain.i.eq(Mux(load | stationary, add.o, self.west.drain)),
            chain.short.eq(self.east.stationary),
            self.east.drain.eq(chain.o),
        ]
        m.d.comb += self.east.take.eq(delay(m, en, self.west.take, config.add_latency_cycles + 1, "take"))

    def _pass_on(self, m: Module) -> None:
        """Register what the neighbours read."""
        m.d.sync += self.east.en.eq(self.west.en)
        with m.If(self.west.en):
            m.d.sync += self.south.eq(self.north)
            for name in ("stationary", "first", "last", "weight", "index"):
                m.d.sync += getattr(self.east, name).eq(getattr(self.west, name))


def slices(value: Value, count: int) -> list[Value]:
    """`value` cut into `count` equal parts, lowest first."""
    width = len(value) // count
    return [value[number * width :][:width] for number in range(count)]


def select(items: Sequence[Value], index: Value) -> Value:
    """The item at `index`, as a balanced tree of multiplexers; as many items as `index` has values."""
    for bit in index:
        items = [Mux(bit, odd, even) for even, odd in zip(items[::2], items[1::2], strict=True)]
    return items[0]


def delay(m: Module, en: ValueLike, value: ValueLike, steps: int, name: str, *, reset: bool = False) -> Value:
    """`value` as it was `steps` enabled cycles ago; without reset it can be a shift register of lookup tables."""
    value = Value.cast(value)
    if steps == 0:
        return value
    line = Signal(len(value) * steps, name=name, reset_less=not reset)
    with m.If(en):
        m.d.sync += line.eq(Cat(value, line))
    return line[-len(value) :]
