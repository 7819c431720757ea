"""The sparse tensor computing engine: the array with its sequencer, streams in and out."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO, SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hw.array.array import Element, SystolicArray, groups_bits
from hw.array.sequencer import Sequencer, tiles_layout
from hw.array.stationary import StationarySequencer
from hw.array.uspe import USPE
from hw.config import AcceleratorConfig
from hw.parts.layouts import sums_layout, weights_layout
from hw.parts.modules import place


class STCE(wiring.Component):
    """Dense and N:M matrix products, output- or weight-stationary, one step of R · C multiply-accumulates a cycle.

    ::

        i_tiles ─► two sequencers ──enable, flags──┐
        i_w2e ────────────────────────────────► systolic array ─┬─► FIFO ─► o
        i_n2s ─────────────────────────────────────┘    ▲       │
                                                        └─ FIFO ◄ partial sums (weight-stationary)

    Parameters
    ----------
    config : AcceleratorConfig
        Size, formats and latencies.
    element : type of Component
        The processing element: takes the configuration, has the ports and keeps the steps of `USPE`.

    Members
    -------
    i_tiles : In(stream of tiles_layout)
        What to compute, see `hw.array.sequencer`.
    i_w2e : In(stream of weights_layout)
        Output-stationary, one word for each step that uses weights: for each tile, each kept element, each column block, each
        row block; row r of block b is output row b · R + r of the tile. Weight-stationary, one word a column: for each tile,
        each block of C kept elements, each column.
    i_n2s : In(stream of groups_bits)
        Output-stationary, the groups in the order of use: with one column block, one word a group; with several, one word for
        each kept element and column block; column c of block b is output column b · C + c of the tile. Weight-stationary, one
        word a step: column c of the word of step s holds the group of kept element c of the block, of the vector of step
        s - c · add_latency_cycles; anything finite where the reduction has no such element, whose weight is then zero, and
        anything at all where there is no vector.
    o : Out(stream of sums_layout)
        Output-stationary, `drain_steps` words a tile: from the last array column to the first, each interleave slot of it in
        turn (column blocks, within each its row blocks; unused slots hold no meaning). Weight-stationary, a word a vector.

    Attributes
    ----------
    latency_cycles : int
        Cycles from taking an output-stationary command to the last word of results, beyond its steps.
    interval_cycles : int
        Cycles from one step to the next: 1.

    Notes
    -----
    A stall of any stream, at any cycle, delays everything by its own length and loses nothing: a step waits for its
    operands, and a step that would bring out a word waits until that word has room.
    """

    interval_cycles = 1

    def __init__(self, config: AcceleratorConfig, element: Element = USPE) -> None:
        self.config = config
        self.element = element
        self.latency_cycles = config.stce_latency_cycles
        super().__init__(
            {
                "i_tiles": In(stream.Signature(tiles_layout(config))),
                "i_w2e": In(stream.Signature(weights_layout(config))),
                "i_n2s": In(stream.Signature(groups_bits(config))),
                "o": Out(stream.Signature(sums_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        sums = place(m, platform, lambda: Sequencer(config), module="sequencer", name="sums_stay")
        weights = place(m, platform, lambda: StationarySequencer(config), module="stationary_sequencer", name="weights_stay")
        array = place(m, platform, lambda: SystolicArray(config, self.element), module="systolic_array", name="array")
        width = sums_layout(config).size
        m.submodules.results = results = SyncFIFO(width=width, depth=config.result_fifo_words)
        m.submodules.partial = partial = SyncFIFOBuffered(width=width, depth=config.partial_sum_words)

        # A command goes to its sequencer when the other has left the array.
        stationary = self.i_tiles.payload.stationary
        m.d.comb += [
            sums.i.payload.eq(self.i_tiles.payload),
            weights.i.payload.eq(self.i_tiles.payload),
            sums.i.valid.eq(self.i_tiles.valid & ~stationary & weights.idle),
            weights.i.valid.eq(self.i_tiles.valid & stationary & sums.idle),
            self.i_tiles.ready.eq(Mux(stationary, weights.i.ready & sums.idle, sums.i.ready & weights.idle)),
        ]

        # Words that are in the FIFO or on their way to it.
        claimed = Signal(range(config.result_fifo_words + 1))
        claim = (sums.en & sums.emit) | (weights.en & weights.emit)
        m.d.sync += claimed.eq(claimed + claim - (results.r_rdy & results.r_en))
        for sequencer in (sums, weights):
            m.d.comb += [
                sequencer.weight_valid.eq(self.i_w2e.valid),
                sequencer.groups_valid.eq(self.i_n2s.valid),
                sequencer.credit.eq(claimed != config.result_fifo_words),
            ]
        m.d.comb += [
            self.i_w2e.ready.eq(sums.weight_ready | weights.weight_ready),
            self.i_n2s.ready.eq(sums.groups_ready | weights.groups_ready),
            weights.partial_valid.eq(partial.r_rdy),
            partial.r_en.eq(weights.partial_ready),
            array.stationary.eq(~weights.idle),
            array.en.eq(sums.en | weights.en),
            array.first.eq(sums.first & weights.idle),
            array.last.eq(sums.last),
            array.take.eq(weights.take),
            array.emit.eq((sums.en & sums.emit) | (weights.en & weights.emit)),
            array.emit_partial.eq(weights.emit_partial),
            array.groups.eq(self.i_n2s.payload),
            array.partial.eq(Mux(weights.partial_ready, partial.r_data, 0)),
            partial.w_data.eq(array.o),
            partial.w_en.eq(array.partial_valid),
            results.w_data.eq(array.o),
            results.w_en.eq(array.o_valid),
            self.o.payload.eq(results.r_data),
            self.o.valid.eq(results.r_rdy),
            results.r_en.eq(self.o.ready),
        ]
        dense, index = (Mux(weights.idle, getattr(sums, name), getattr(weights, name)) for name in ("dense", "index"))
        for row in range(config.rows):
            weight = self.i_w2e.payload[row]
            m.d.comb += [
                array.weights[row].value.eq(weight.value),
                array.weights[row].index.eq(Mux(dense, index, weight.index)),
            ]
        return m
