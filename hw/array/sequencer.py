"""The sequencer of output-stationary products: from a product's shape to the steps of the array."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig


def tiles_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A command: a run of tiles of one shape.

    Members
    -------
    stationary : 1
        Whether weights stay, see `hw.array.stationary`, or sums, see `Sequencer`.
    tiles : 24
        Tiles of the result, at least 1.
    rounds : 24
        Output-stationary, kept elements of the reduction; weight-stationary, blocks of C kept elements; at least 1.
    vectors : 24
        Weight-stationary, columns of the result in a tile, at least 1.
    group_rounds : 8
        Rounds that use one group of activations: N, or `max_group` in a dense product.
    slot_rows, slot_columns : 8
        Interleave slots on (rows, columns) of a tile, each at least 1; their product is at most `interleave_slots`.
    dense : 1
        Indices count up from 0 in each group; those of the weights are ignored.
    """
    return data.StructLayout(
        {
            "tiles": config.count_bits,
            "rounds": config.count_bits,
            "vectors": config.count_bits,
            "group_rounds": 8,
            "slot_rows": 8,
            "slot_columns": 8,
            "dense": 1,
            "stationary": 1,
        }
    )


class Sequencer(wiring.Component):
    """Issues the steps of tile after tile, without a bubble, while operands are there and results have room.

    A tile is a number of *rounds*, one for each kept element of the reduction; a round is one step for each interleave slot.
    Within a round the slots walk the tile's column blocks, and within each its row blocks; slots that the command does not
    use, and rounds that only wait for the previous tile's drain, which come first, are
    idle steps. After the last tile steps go on until its sums have left the array.

    Parameters
    ----------
    config : AcceleratorConfig
        Size and latencies.

    Members
    -------
    i : In(stream of tiles_layout)
        Commands; the next is taken with the last step of the one before.
    weight_ready, groups_ready : Out(1)
        This step consumes the weights, or makes its last use of the groups.
    weight_valid, groups_valid : In(1)
        They are there.
    credit : In(1)
        There is room for a word of results.
    en, first, last, emit : Out(1)
        The step, see `SystolicArray`.
    index, dense : Out(index_bits), Out(1)
        Position in the group, to be used as index where `dense` is high.
    idle : Out(1)
        Nothing is in the array: another sequencer may use it.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        members = {
            name: Out(1) for name in ("weight_ready", "groups_ready", "en", "first", "last", "emit", "dense", "idle")
        } | {name: In(1) for name in ("weight_valid", "groups_valid", "credit")}
        super().__init__({"i": In(stream.Signature(tiles_layout(config))), "index": Out(config.index_bits), **members})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        active = Signal()
        tiles, idle_rounds, last_round = Signal(config.count_bits), Signal(config.count_bits), Signal(config.count_bits)
        group_rounds, slot_rows, slot_columns = Signal(8), Signal(8), Signal(8)
        tile, round_, in_group = Signal(config.count_bits), Signal(config.count_bits), Signal(8)
        slot, row, column = Signal(range(max(config.interleave_slots, 2))), Signal(8), Signal(8)

        real = Signal()
        end_of_row, end_of_slots, end_of_group, end_of_sum = Signal(), Signal(), Signal(), Signal()
        end_of_tile, end_of_command = Signal(), Signal()
        m.d.comb += [
            real.eq(active & (round_ >= idle_rounds) & (column < slot_columns)),
            end_of_row.eq(row == slot_rows - 1),
            end_of_slots.eq(slot == config.interleave_slots - 1),
            end_of_sum.eq(round_ == last_round),
            end_of_group.eq((in_group == group_rounds - 1) | end_of_sum),
            end_of_tile.eq(end_of_slots & end_of_sum),
            end_of_command.eq(end_of_tile & (tile == tiles - 1)),
        ]

        # A step is taken when what it needs is there; steps without a command only push out what is still inside.
        emit, draining = self._drain(m, starts=active & end_of_sum & (slot == 0))
        fed = ~real | self.weight_valid & self.groups_valid
        m.d.comb += [
            self.en.eq((active & fed | ~active & draining) & (~emit | self.credit)),
            self.first.eq(round_ == idle_rounds),
            self.last.eq(end_of_sum & active),
            self.emit.eq(emit),
            self.index.eq(in_group),
            self.weight_ready.eq(self.en & real),
            self.groups_ready.eq(self.en & real & end_of_row & (end_of_group | (slot_columns != 1))),
            self.idle.eq(~active & ~draining),
            self.i.ready.eq(~active | self.en & end_of_command),
        ]

        with m.If(self.en & active):
            m.d.sync += [slot.eq(slot + 1), row.eq(row + 1)]
            with m.If(end_of_row):
                m.d.sync += [row.eq(0), column.eq(column + 1)]
            with m.If(end_of_slots):
                m.d.sync += [slot.eq(0), row.eq(0), column.eq(0), round_.eq(round_ + 1)]
                with m.If(round_ >= idle_rounds):
                    m.d.sync += in_group.eq(Mux(end_of_group, 0, in_group + 1))
            with m.If(end_of_tile):
                m.d.sync += [round_.eq(0), tile.eq(tile + 1)]
            with m.If(end_of_command):
                m.d.sync += [tile.eq(0), active.eq(0)]
        with m.If(self.i.valid & self.i.ready):
            command = self.i.payload
            short = command.rounds < config.columns
            m.d.sync += [
                active.eq(1),
                tiles.eq(command.tiles),
                # The drain of a tile must have left its row when the next one's begins: a short tile waits first.
                idle_rounds.eq(Mux(short, config.columns - command.rounds, 0)),
                last_round.eq(Mux(short, config.columns, command.rounds) - 1),
                group_rounds.eq(command.group_rounds),
                slot_rows.eq(command.slot_rows),
                slot_columns.eq(command.slot_columns),
                self.dense.eq(command.dense),
            ]
        return m

    def _drain(self, m: Module, starts: Signal) -> tuple[Signal, Signal]:
        """Whether this step brings out a word, and whether words are still inside.

        `starts` is the step that ends the first of a tile's sums.
        """
        config = self.config
        wait = Signal(config.uspe_latency_cycles)
        left = Signal(range(max(config.drain_steps, 2)))
        emit = Signal()
        m.d.comb += emit.eq(wait[-1] | (left != 0))
        with m.If(self.en):
            m.d.sync += wait.eq(Cat(starts, wait[:-1]))
            with m.If(wait[-1]):
                m.d.sync += left.eq(config.drain_steps - 1)
            with m.Elif(left != 0):
                m.d.sync += left.eq(left - 1)
        return emit, wait.any() | (left != 0)
