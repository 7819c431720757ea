"""The systolic array: R × C USPEs and the skew at their edges."""

from itertools import pairwise

from amaranth.hdl import Const, Module, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.formats import BINARY32
from hw.modules import place
from hw.uspe import USPE, delay, group_layout


def weight_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A kept weight and its index within the group."""
    return data.StructLayout({"value": config.storage_format.width, "index": config.index_bits})


def weights_layout(config: AcceleratorConfig) -> data.ArrayLayout:
    """One step's weights: one for each row."""
    return data.ArrayLayout(weight_layout(config), config.rows)


def groups_layout(config: AcceleratorConfig) -> data.ArrayLayout:
    """One step's activations: a group of M for each column."""
    return data.ArrayLayout(group_layout(config), config.columns)


def sums_layout(config: AcceleratorConfig) -> data.ArrayLayout:
    """One word of results: a binary32 sum from each row."""
    return data.ArrayLayout(BINARY32.width, config.rows)


class SystolicArray(wiring.Component):
    """R × C USPEs in lock step: operands in, sums out, a fixed number of cycles apart.

    A *step* is one multiply-accumulate in every element. It is taken by the element in row r and column c exactly r + c
    cycles after `en` was high here, because operands and the enable itself move one element a cycle. Lines of registers at
    the edges skew the operands so that here a step's operands stand side by side, and undo it for the sums.

    Parameters
    ----------
    config : AcceleratorConfig
        Size, formats and latencies.

    Members
    -------
    en : In(1)
        A step is issued in this cycle; while it is low the whole array holds, as a travelling wave.
    first, last : In(1)
        The step begins, or completes, the accumulation of its interleave slot.
    emit : In(1)
        The step brings a word of finished sums to the east edge, see `USPE`: `uspe_latency_cycles` steps after the `last` of
        slot 0, and then for `drain_steps` steps.
    weights : In(weights_layout)
        A weight for each row.
    groups : In(groups_layout)
        The activations of a group for each column.
    o_valid, o : Out(1), Out(sums_layout)
        A word of sums, `latency_cycles` cycles after the step that was issued with `emit`. It does not wait.

    Attributes
    ----------
    latency_cycles, interval_cycles : int
        Cycles from `emit` to `o_valid`, and from one step to the next: 1.
    """

    interval_cycles = 1

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.latency_cycles = config.array_latency_cycles
        super().__init__(
            {
                "en": In(1),
                "first": In(1),
                "last": In(1),
                "emit": In(1),
                "weights": In(weights_layout(config)),
                "groups": In(groups_layout(config)),
                "o_valid": Out(1),
                "o": Out(sums_layout(config)),
            }
        )

    def elaborate(self, platform: object):
        m = Module()
        config = self.config
        elements = [
            [place(m, platform, USPE(config), module="uspe", name=f"pe_{row}_{column}") for column in range(config.columns)]
            for row in range(config.rows)
        ]
        self._feed_west(m, elements)
        self._feed_north(m, elements)
        for row in elements:
            for west, east in pairwise(row):
                for name in ("en", "first", "last", "weight", "index", "drain"):
                    m.d.comb += getattr(east.west, name).eq(getattr(west.east, name))
        for upper, lower in pairwise(elements):
            for north, south in zip(upper, lower, strict=True):
                m.d.comb += Value.cast(south.north).eq(Value.cast(north.south))
        self._collect_east(m, elements)
        return m

    def _feed_west(self, m: Module, elements: list) -> None:
        """Row r receives the enable, the flags and its weight r cycles later than row 0."""
        always = Const(1)
        flags = {name: getattr(self, name) for name in ("en", "first", "last")}
        for row, (element, *_) in enumerate(elements):
            for name, value in flags.items():
                m.d.comb += getattr(element.west, name).eq(value)
            weight = self.weights[row]
            m.d.comb += [
                element.west.weight.eq(delay(m, always, weight.value, row, f"weight_{row}")),
                element.west.index.eq(delay(m, always, weight.index, row, f"index_{row}")),
            ]
            flags = {name: delay(m, always, value, 1, f"{name}_{row + 1}", reset=True) for name, value in flags.items()}

    def _feed_north(self, m: Module, elements: list) -> None:
        """Column c receives its group c cycles later than column 0."""
        for column, element in enumerate(elements[0]):
            group = delay(m, Const(1), Value.cast(self.groups[column]), column, f"group_{column}")
            m.d.comb += Value.cast(element.north).eq(group)

    def _collect_east(self, m: Module, elements: list) -> None:
        """The sums of row r leave r cycles after those of row 0: hold each back until the last row's are there."""
        always, rows = Const(1), self.config.rows
        for row, (*_, element) in enumerate(elements):
            sums = delay(m, always, element.east.drain, rows - 1 - row, f"sum_{row}")
            m.d.comb += self.o[row].eq(sums)
        valid = delay(m, always, self.en & self.emit, self.latency_cycles, "valid", reset=True)
        m.d.comb += self.o_valid.eq(valid)
