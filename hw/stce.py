"""The sparse tensor computing engine: the array with its sequencer, streams in and out."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw.array import SystolicArray, groups_bits, sums_layout, weights_layout
from hw.config import AcceleratorConfig
from hw.modules import place
from hw.sequencer import Sequencer, tiles_layout


class STCE(wiring.Component):
    """Dense and N:M matrix products, output-stationary, one step of R · C multiply-accumulates a cycle.

    ::

        i_tiles ─► sequencer ──enable, flags──┐
        i_w2e ───────────────────────────► systolic array ─► FIFO ─► o
        i_n2s ────────────────────────────────┘

    Parameters
    ----------
    config : AcceleratorConfig
        Size, formats and latencies.

    Members
    -------
    i_tiles : In(stream of tiles_layout)
        What to compute, see `hw.sequencer`.
    i_w2e : In(stream of weights_layout)
        One word for each step that uses weights: for each tile, each kept element, each column block, each row block.
        Row r of block b is output row b · R + r of the tile.
    i_n2s : In(stream of groups_bits)
        The groups in the order of use: with one column block, one word a group; with several, one word for each kept element
        and column block. Column c of block b is output column b · C + c of the tile.
    o : Out(stream of sums_layout)
        `drain_steps` words a tile: from the last array column to the first, each interleave slot of it in turn (column
        blocks, within each its row blocks; unused slots hold no meaning).

    Attributes
    ----------
    latency_cycles : int
        Cycles from taking a command to the last word of results, beyond its steps.
    interval_cycles : int
        Cycles from one step to the next: 1.

    Notes
    -----
    A stall of any stream, at any cycle, delays everything by its own length and loses nothing: a step waits for its
    operands, and a step that would bring out a word waits until that word has room.
    """

    interval_cycles = 1

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.latency_cycles = config.stce_latency_cycles
        super().__init__(
            {
                "i_tiles": In(stream.Signature(tiles_layout(config))),
                "i_w2e": In(stream.Signature(weights_layout(config))),
                "i_n2s": In(stream.Signature(groups_bits(config))),
                "o": Out(stream.Signature(sums_layout(config))),
            }
        )

    def elaborate(self, platform: object):
        m = Module()
        config = self.config
        sequencer = place(m, platform, lambda: Sequencer(config), module="sequencer", name="sequencer")
        array = place(m, platform, lambda: SystolicArray(config), module="systolic_array", name="array")
        m.submodules.results = results = SyncFIFO(width=sums_layout(config).size, depth=config.result_fifo_words)
        # Words that are in the FIFO or on their way to it.
        claimed = Signal(range(config.result_fifo_words + 1))
        claim, release = sequencer.en & sequencer.emit, results.r_rdy & results.r_en
        m.d.sync += claimed.eq(claimed + claim - release)

        m.d.comb += [
            sequencer.i.payload.eq(self.i_tiles.payload),
            sequencer.i.valid.eq(self.i_tiles.valid),
            self.i_tiles.ready.eq(sequencer.i.ready),
            sequencer.weight_valid.eq(self.i_w2e.valid),
            self.i_w2e.ready.eq(sequencer.weight_ready),
            sequencer.groups_valid.eq(self.i_n2s.valid),
            self.i_n2s.ready.eq(sequencer.groups_ready),
            sequencer.credit.eq(claimed != config.result_fifo_words),
            array.groups.eq(self.i_n2s.payload),
            *(getattr(array, name).eq(getattr(sequencer, name)) for name in ("en", "first", "last", "emit")),
            results.w_data.eq(array.o),
            results.w_en.eq(array.o_valid),
            self.o.payload.eq(results.r_data),
            self.o.valid.eq(results.r_rdy),
            results.r_en.eq(self.o.ready),
        ]
        for row in range(config.rows):
            weight = self.i_w2e.payload[row]
            m.d.comb += [
                array.weights[row].value.eq(weight.value),
                array.weights[row].index.eq(Mux(sequencer.dense, sequencer.index, weight.index)),
            ]
        return m
