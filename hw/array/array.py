"""The systolic array: R × C USPEs and the skew at their edges."""

from itertools import pairwise

from amaranth.hdl import Cat, Const, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.array.uspe import USPE, group_bits, row_link
from hw.config import AcceleratorConfig
from hw.mac.edges import Normalise, Pack, Unpack, convert
from hw.parts.delay_line import delay, delayed
from hw.parts.layouts import sums_layout, weights_layout
from hw.parts.modules import place
from hw.parts.selection import slices

ALWAYS = Const(1)
Element = type[wiring.Component]


def groups_bits(config: AcceleratorConfig) -> int:
    """Width of one step's activations in the storage format: a group of M for each column, column 0 lowest."""
    return config.storage_format.width * config.max_group * config.columns


class Row(wiring.Component):
    """C USPEs from west to east.

    Parameters
    ----------
    config : AcceleratorConfig
        Size, formats and latencies.
    element : type of Component
        The processing element: takes the configuration, has the ports and keeps the steps of `USPE`.

    Members
    -------
    west, east : row_link
        What enters the first element and what leaves the last.
    north, south : columns · group_bits
        A group for each element, to be handed down to the next row.
    """

    def __init__(self, config: AcceleratorConfig, element: Element = USPE) -> None:
        self.config = config
        self.element = element
        link, groups = row_link(config), group_bits(config) * config.columns
        super().__init__({"west": In(link), "east": Out(link), "north": In(groups), "south": Out(groups)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        module = self.element.__name__.lower()
        elements = [
            place(m, platform, lambda: self.element(self.config), module=module, name=f"pe_{column}")
            for column in range(self.config.columns)
        ]
        links = [self.west, *(element.east for element in elements)]
        for element, north, link in zip(elements, slices(self.north, self.config.columns), links, strict=False):
            m.d.comb += [getattr(element.west, name).eq(getattr(link, name)) for name in link.signature.members]
            m.d.comb += element.north.eq(north)
        m.d.comb += self.south.eq(Cat(element.south for element in elements))
        m.d.comb += [getattr(self.east, name).eq(getattr(links[-1], name)) for name in links[-1].signature.members]
        return m


class SystolicArray(wiring.Component):
    """R × C USPEs in lock step: operands in, sums out, a fixed number of cycles apart.

    A *step* is one multiply-accumulate in every element. It is taken by the element in row r and column c exactly r + c
    cycles after `en` was high here, because operands and the enable itself move one element a cycle. Lines of registers at
    the edges skew the operands so that here a step's operands stand side by side, and undo it for the sums. Behind them numbers
    have the forms of `hw.mac`.

    Parameters
    ----------
    config : AcceleratorConfig
        Size, formats and latencies.
    element : type of Component
        The processing element: takes the configuration, has the ports and keeps the steps of `USPE`.

    Members
    -------
    en : In(1)
        A step is issued in this cycle; while it is low the whole array holds, as a travelling wave.
    stationary, first, last, take : In(1)
        See `row_link`. Weight-stationary, column c wants its activations c · add_latency_cycles steps after column 0.
    emit : In(1)
        The step brings a word of finished sums to the east edge: output-stationary `uspe_latency_cycles` steps after the
        `last` of slot 0, and then for `drain_steps` steps; weight-stationary `stationary_steps` steps after the activations.
    emit_partial : In(1)
        The word is wanted back: it leaves with `partial_valid` instead of `o_valid`.
    partial : In(sums_layout)
        Weight-stationary, the sums so far of the vector whose activations came 1 + multiply_latency_cycles steps before.
    weights : In(weights_layout)
        A weight for each row.
    groups : In(groups_bits)
        The activations of a group for each column.
    o_valid, partial_valid, o : Out(1), Out(1), Out(sums_layout)
        A word of sums, `latency_cycles` cycles after the step that was issued with `emit`. It does not wait.

    Attributes
    ----------
    latency_cycles, interval_cycles : int
        Cycles from `emit` to `o_valid`, and from one step to the next: 1.
    """

    interval_cycles = 1

    def __init__(self, config: AcceleratorConfig, element: Element = USPE) -> None:
        self.config = config
        self.element = element
        self.latency_cycles = config.array_latency_cycles
        super().__init__(
            {
                "en": In(1),
                "stationary": In(1),
                "first": In(1),
                "last": In(1),
                "take": In(1),
                "emit": In(1),
                "emit_partial": In(1),
                "partial": In(sums_layout(config)),
                "weights": In(weights_layout(config)),
                "groups": In(groups_bits(config)),
                "o_valid": Out(1),
                "partial_valid": Out(1),
                "o": Out(sums_layout(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rows = [
            place(m, platform, lambda: Row(self.config, self.element), module="row", name=f"row_{number}")
            for number in range(self.config.rows)
        ]
        self._feed_west(m, platform, rows)
        self._feed_north(m, platform, rows[0])
        for upper, lower in pairwise(rows):
            m.d.comb += lower.north.eq(upper.south)
        self._collect_east(m, platform, rows)
        return m

    def _feed_west(self, m: Module, platform: object, rows: list) -> None:
        """Row r receives the enable, the flags, its weight and its sum so far r cycles later than row 0."""
        storage = self.config.storage_format
        width = storage.width
        flags = {name: getattr(self, name) for name in ("en", "stationary", "first", "last", "take")}
        for number, row in enumerate(rows):
            weight = self.weights[number]
            operands = delayed(m, platform, Cat(weight, self.partial[number]), number, f"west_{number}")
            value, index, partial = operands[:width], operands[width : weight.shape().size], operands[weight.shape().size :]
            m.d.comb += [
                *(getattr(row.west, name).eq(value) for name, value in flags.items()),
                row.west.weight.eq(convert(m, platform, Normalise, storage, value, f"weight_{number}")),
                row.west.index.eq(index),
                row.west.drain.eq(convert(m, platform, Unpack, storage, partial, f"partial_{number}")),
            ]
            flags = {name: delay(m, ALWAYS, value, 1, f"{name}_{number + 1}", reset=True) for name, value in flags.items()}

    def _feed_north(self, m: Module, platform: object, row: Row) -> None:
        """Column c receives its group c cycles later than column 0."""
        groups = slices(self.groups, self.config.columns)
        for column, group in enumerate(groups):
            skewed = delayed(m, platform, group, column, f"north_{column}")
            stored = slices(skewed, self.config.max_group)
            operands = (
                convert(m, platform, Normalise, self.config.storage_format, value, f"activation_{column}_{number}")
                for number, value in enumerate(stored)
            )
            m.d.comb += slices(row.north, self.config.columns)[column].eq(Cat(operands))

    def _collect_east(self, m: Module, platform: object, rows: list) -> None:
        """The sums of row r leave r cycles after those of row 0: hold each back until the last row's are there."""
        for number, row in enumerate(rows):
            total = convert(m, platform, Pack, self.config.storage_format, row.east.drain, f"sum_{number}")
            m.d.comb += self.o[number].eq(delayed(m, platform, total, len(rows) - 1 - number, f"east_{number}"))
        for valid, emit in ((self.o_valid, self.emit), (self.partial_valid, self.emit_partial)):
            m.d.comb += valid.eq(delay(m, ALWAYS, self.en & emit, self.latency_cycles, valid.name, reset=True))
