"""What comes behind the partial results of rows: their lanes are put together."""

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import data

from hw.config import AcceleratorConfig
from hw.engines.reductions.lane import PARTIAL, ReductionLane
from hw.isa.reductions import lanes_summed
from hw.parts.delay_line import delay
from hw.parts.modules import place


class Rows:
    """Puts the partial results of a row's lanes together, a row a cycle: lane j + 16 goes to j, then j + 8 and so on.

    Parameters
    ----------
    m, platform, config
        Where it is.
    largest : Value
        Of maxima, else sums.
    partials : Value
        Partial results of a row, the cycle after `reads`.

    Attributes
    ----------
    reads, taken : Signal
        A row's partial results are read in this cycle, as many rows as lanes without a pause; the results are taken.
    busy, there : Signal
        Rows were read whose results are not taken; these are there.
    results : Value
        Of all rows, lane n of row n.
    """

    def __init__(self, m: Module, platform: object, config: AcceleratorConfig, largest: Value, partials: Value) -> None:
        self.reads, self.taken = Signal(name="rows_read"), Signal(name="rows_taken")
        self.busy, self.there = Signal(name="rows_busy"), Signal(name="rows_there")
        lanes, summed = config.vpu_lanes, lanes_summed(config.vpu_lanes)
        row = [data.View(PARTIAL, partials[lane * PARTIAL.size :][: PARTIAL.size]) for lane in range(summed)]
        cycles = (summed.bit_length() - 1) * config.vector_latency_cycles
        while len(row) > 1:
            half = len(row) // 2
            pairs = zip(row[:half], row[half:], strict=True)
            row = [self._pair(m, platform, config, largest, *pair, f"pair_{half}_{lane}") for lane, pair in enumerate(pairs)]
        results = Signal(PARTIAL.size * lanes, name="rows_results", reset_less=True)
        count = Signal(range(max(lanes, 2)), name="rows_done")
        comes = delay(m, Const(1), self.reads, 1 + cycles, "rows_coming", reset=True)
        m.d.sync += self.busy.eq(self.reads | self.busy & ~(self.there & self.taken))
        with m.If(comes):
            m.d.sync += [results.eq(Cat(results[PARTIAL.size :], row[0].as_value())), count.eq(count + 1)]
            with m.If(count == lanes - 1):
                m.d.sync += [count.eq(0), self.there.eq(1)]
        with m.If(self.there & self.taken):
            m.d.sync += self.there.eq(0)
        self.results = results

    def _pair(
        self,
        m: Module,
        platform: object,
        config: AcceleratorConfig,
        largest: Value,
        low: data.View,
        high: data.View,
        name: str,
    ) -> data.View:
        """Two partial results as one."""
        lane: ReductionLane = place(m, platform, lambda: ReductionLane(config), module="reduction_lane", name=name)
        m.d.comb += [
            lane.largest.eq(largest),
            Value.cast(lane.term).eq(high.as_value()),
            Value.cast(lane.partial).eq(low.as_value()),
        ]
        return lane.o
