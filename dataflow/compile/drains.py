"""What takes the sums of a product as they leave the array."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from dataflow.compile.by_channel import ChannelPass
from dataflow.compile.memory import Memory
from dataflow.compile.products import Begun
from dataflow.compile.walks import access, some_columns
from dataflow.ir.program import Loop, MatrixView
from hw.config import AcceleratorConfig
from hw.isa.bits import PassOption
from hw.isa.commands import Command, Counter, Load, Pass, Sink, Source, Store, Walk
from hw.isa.microarchitecture import HELD_WORDS


@dataclass(frozen=True, kw_only=True)
class Drain:
    """What is done with sums as they leave, and where they go.

    Parameters
    ----------
    steps, options, scale : int
        As in `hw.isa.commands.Pass`.
    tensor : str
        Written through the product's output view.
    bias : str, optional
        Masters along the rows that are added.
    residual : str, optional
        Of the shape of `tensor`: what is added.
    gate : str, optional
        Of the shape of `tensor`: where it is not above zero the result is zero.
    sums : ChannelPass, optional
        The sums by channel of what is written, all columns in their order, that leave behind it.
    goes_on : bool
        Whether `sums` go on with the columns of the next product, and leave behind that.
    """

    steps: int
    tensor: str
    options: int = 0
    scale: int = 0
    bias: str | None = None
    residual: str | None = None
    gate: str | None = None
    sums: ChannelPass | None = None
    goes_on: bool = False


def emit_drain(
    config: AcceleratorConfig, memory: Memory, begun: Begun, drain: Drain, some: tuple[int, int] | None = None
) -> Iterator[Command]:
    """What takes the sums of a product; or of some of its columns: the first one, and how many, whole tiles."""
    lanes, tiling, view = config.vpu_lanes, begun.tiling, begun.output
    rows, columns = view.shape
    if some:
        columns = some[1]
    tiles_n = -(-columns // tiling.columns)

    def walk(tensor: str, seen: MatrixView, cut: tuple[int, int] | None = None) -> Walk:
        of = config, seen, memory[tensor]
        found = some_columns(*of, cut) if cut else access(*of, across=True)
        assert found is not None  # else these columns are no loops of their own
        return found.tiled(
            rows=(Counter.MIDDLE, tiling.rows),
            columns=(Counter.OUTER, tiling.columns),
            boundary=lanes,
            outer=tiles_n,
            middle=tiling.tiles_m,
        )

    chunks = sum(-(-min(tiling.rows, rows - row) // lanes) for row in range(0, rows, tiling.rows))
    held = chunks if drain.bias and chunks <= HELD_WORDS else 0
    if drain.bias:
        along = MatrixView(drain.bias, view.origin[-1:], (Loop(rows, 0),), (Loop(1 if held else columns, 0, 0),))
        once: dict[str, Any] = {"outer": 1, "v_size": 1, "v_tile": 1, "v_counter": Counter.NONE} if held else {}
        yield Load(source=Source.FACTORS, walk=replace(walk(drain.bias, along), **once))
    if drain.residual:
        yield Load(source=Source.RESIDUAL, walk=walk(drain.residual, view, some))
    if drain.gate:
        yield Load(source=Source.GATE, walk=walk(drain.gate, view, some))
    step = Pass(
        words=columns * chunks,
        steps=drain.steps,
        scale=drain.scale,
        options=drain.options | PassOption.FROM_SUMS | PassOption.SHIFT_FACTOR * bool(drain.bias),
        outer=tiles_n,
        middle=tiling.tiles_m,
        columns=columns,
        column_tile=tiling.columns,
        rows=rows,
        row_tile=tiling.rows,
        slot_rows=tiling.slots[0],
        held=held,
        held_block=-(-tiling.rows // lanes),
    )
    yield drain.sums.beside(step, lanes, goes_on=drain.goes_on) if drain.sums else step
    yield Store(sink=Sink.RESULTS, walk=walk(drain.tensor, view, some))
    if drain.sums and not drain.goes_on:
        yield drain.sums.stores(lanes)
