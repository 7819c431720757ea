"""The sequencer of weight-stationary products."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.array.sequencer import tiles_layout
from hw.config import AcceleratorConfig
from hw.parts.delay_line import delay


class StationarySequencer(wiring.Component):
    """Keeps a block of R · C weights in the array while the activations of a tile's vectors stream past.

    A tile of the result is R rows by `vectors` columns. Its reduction is cut into blocks of C kept elements, one a column of
    the array; the sums of all vectors pass once for each block, in between waiting as partial sums. A block takes a step a
    vector, but never fewer than `stationary_period_steps`, so that partial sums are back in time. Weights are handed over on
    the fly: column c's are taken in step c · add_latency_cycles of a block, just when its first vector arrives there.

    Parameters
    ----------
    config : AcceleratorConfig
        Size and latencies.

    Members
    -------
    i : In(stream of tiles_layout)
        Commands; the next is taken when the array is empty.
    weight_ready, groups_ready, partial_ready : Out(1)
        This step consumes weights, activations, partial sums.
    weight_valid, groups_valid, partial_valid : In(1)
        They are there.
    credit : In(1)
        There is room for a word of results.
    en, take, emit, emit_partial : Out(1)
        The step, see `SystolicArray`.
    index, dense : Out(index_bits), Out(1)
        Position in the group of the weights that this step takes, to be used as index where `dense` is high.
    idle : Out(1)
        Nothing is in the array.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        outputs = ("weight_ready", "groups_ready", "partial_ready", "en", "take", "emit", "emit_partial", "dense", "idle")
        inputs = ("weight_valid", "groups_valid", "partial_valid", "credit")
        members = {name: Out(1) for name in outputs} | {name: In(1) for name in inputs}
        super().__init__({"i": In(stream.Signature(tiles_layout(config))), "index": Out(config.index_bits), **members})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        # After the last vector, steps go on until its sums have passed all columns, and have left.
        tail = config.stationary_steps
        skew = config.stationary_skew_steps
        active, left = Signal(), Signal(range(tail + 1))
        tiles, rounds, vectors, period = (
            Signal(config.count_bits, name=name) for name in ("tiles", "rounds", "vectors", "period")
        )
        tile, round_, step = (Signal(config.count_bits, name=name) for name in ("tile", "round_", "step"))
        column, until_column = Signal(range(config.columns + 1)), Signal(range(max(config.add_latency_cycles, 2)))

        real, handover, final = active & (step < vectors), Signal(), round_ == rounds - 1
        end_of_round, end_of_tile, end_of_command = Signal(), Signal(), Signal()
        m.d.comb += [
            handover.eq(active & (until_column == 0) & (column != config.columns)),
            end_of_round.eq(step == period - 1),
            end_of_tile.eq(end_of_round & final),
            end_of_command.eq(end_of_tile & (tile == tiles - 1)),
        ]

        want_partial = delay(m, self.en, real & (round_ != 0), 1 + config.multiply_latency_cycles, "want_partial", reset=True)
        want_groups = active | (left > tail - skew) if skew else active
        fed = (~handover | self.weight_valid) & (~want_groups | self.groups_valid) & (~want_partial | self.partial_valid)
        m.d.comb += [
            self.emit.eq(delay(m, self.en, real & final, tail, "emit_line", reset=True)),
            self.emit_partial.eq(delay(m, self.en, real & ~final, tail, "partial_line", reset=True)),
            self.take.eq(active & (step == 0)),
            self.en.eq(~self.idle & fed & (~self.emit | self.credit)),
            self.weight_ready.eq(self.en & handover),
            self.groups_ready.eq(self.en & want_groups),
            self.partial_ready.eq(self.en & want_partial),
            self.idle.eq(~active & (left == 0)),
            self.i.ready.eq(self.idle),
        ]

        with m.If(self.en & active):
            m.d.sync += [step.eq(step + 1), until_column.eq(until_column - 1)]
            with m.If(until_column == 0):
                m.d.sync += until_column.eq(config.add_latency_cycles - 1)
                with m.If(column != config.columns):
                    m.d.sync += [column.eq(column + 1), self.index.eq(self.index + 1)]
            with m.If(end_of_round):
                m.d.sync += [step.eq(0), column.eq(0), until_column.eq(0), round_.eq(round_ + 1)]
            with m.If(end_of_tile):
                m.d.sync += [round_.eq(0), tile.eq(tile + 1), self.index.eq(0)]
            with m.If(end_of_command):
                m.d.sync += [tile.eq(0), active.eq(0), left.eq(tail)]
        with m.Elif(self.en):
            m.d.sync += left.eq(left - 1)
        with m.If(self.i.valid & self.i.ready):
            command = self.i.payload
            m.d.sync += [
                active.eq(1),
                tiles.eq(command.tiles),
                rounds.eq(command.rounds),
                vectors.eq(command.vectors),
                period.eq(command.vectors),
                self.dense.eq(command.dense),
            ]
            with m.If(command.vectors < config.stationary_period_steps):
                m.d.sync += period.eq(config.stationary_period_steps)
        return m
