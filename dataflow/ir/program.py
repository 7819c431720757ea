"""The program: what the three executors run.

A program is a list of commands over a *memory image* of named regions. Products read their operands through matrix views,
N-dimensional strided accesses that read zero outside a region, so that a convolution's windows need no im2col copy.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod

from dataflow.ir.operations import Operand, Operation
from dataflow.ir.stages import Dataflow, Stage
from dataflow.ir.techniques import ALL, Techniques
from hw.errors import InputError
from hw.ratio import DENSE, Ratio, Ratios


@dataclass(frozen=True)
class Region:
    """A named array of the memory image, C order.

    Parameters
    ----------
    name : str
        ``<layer>.input``, ``.weight`` (dense), ``.weight_forward`` and ``.weight_backward`` (packed N:M), ``.output``,
        ``.output_gradient``, ``.input_gradient``, ``.weight_gradient``.
    shape : tuple of int
        Of weights and their gradients rows are last, (*kernel, in, out), because the array takes a word of rows at a time; a
        packed region ends in (groups, N, rows).
    kind : str
        ``"storage"`` for operands, ``"packed"`` for N:M values with an index each, ``"binary32"`` for results.
    layer : str
        Whose it is.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    layer: str

    @property
    def size(self) -> int:
        """Elements."""
        return prod(self.shape)


@dataclass(frozen=True)
class Loop:
    """One loop of an access: `size` iterations, each moving `step` along `axis` of the region."""

    size: int
    axis: int
    step: int = 1


@dataclass(frozen=True)
class MatrixView:
    """A matrix read from, or written to, a region.

    Element (i, j) is found by writing i in the mixed radix of `rows` and j in that of `columns` (first loop outermost) and
    adding each digit times its step to its axis, starting from `origin`. Coordinates outside the region read as zero and
    are not written. A view with loops in `each` is one matrix for every iteration of them, the origin moved along.
    """

    region: str
    origin: tuple[int, ...]
    rows: tuple[Loop, ...]
    columns: tuple[Loop, ...]
    each: tuple[Loop, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the matrix."""
        return prod(loop.size for loop in self.rows), prod(loop.size for loop in self.columns)

    @property
    def count(self) -> int:
        """Matrices."""
        return prod(loop.size for loop in self.each)

    def single(self, index: int) -> "MatrixView":
        """Matrix `index` alone; the last loop of `each` runs fastest."""
        origin = list(self.origin)
        for loop in reversed(self.each):
            index, digit = divmod(index, loop.size)
            origin[loop.axis] += digit * loop.step
        return replace(self, origin=tuple(origin), each=())

    def of_columns(self, start: int, count: int) -> "MatrixView | None":
        """So many of its columns; None where they are no loops of their own."""
        return self._of("columns", start, count)

    def of_rows(self, start: int, count: int) -> "MatrixView | None":
        """So many of its rows, likewise."""
        return self._of("rows", start, count)

    def _of(self, side: str, start: int, count: int) -> "MatrixView | None":
        loops, origin, within = getattr(self, side), list(self.origin), 1
        cut = len(loops) - 1
        while cut > 0 and start // within % loops[cut].size + count // within > loops[cut].size:
            within *= loops[cut].size
            cut -= 1
        if start % within or count % within:
            return None
        place = start // within
        for loop in reversed(loops[: cut + 1]):  # those around the one that is cut stay where they are
            place, digit = divmod(place, loop.size)
            origin[loop.axis] += digit * loop.step
        some = (*(replace(loop, size=count // within) for loop in loops[cut : cut + 1]), *loops[cut + 1 :])
        return (
            replace(self, origin=tuple(origin), rows=some)
            if side == "rows"
            else replace(self, origin=tuple(origin), columns=some)
        )


@dataclass(frozen=True, kw_only=True)
class Product:
    """``output[i, j] = sum over p of weights[i, p] * activations[j, p]``, each sum from +0 with p ascending.

    With an N:M `ratio`, `weights` is packed: column p of it holds the value and index of kept element ``p % N`` of group
    ``p // N``, which selects column ``M * (p // N) + index`` of `activations`.

    Views with `each` make it a batch: as many equal products, one after the other, as grouped convolution and attention need.

    Parameters
    ----------
    layer, stage
        Where the product comes from.
    ratio : Ratio
        `DENSE`, or N:M.
    weights : MatrixView
        (m, kept k), the operand that enters the array from the west.
    activations : MatrixView
        (n, k), the operand that enters from the north; k is padded to whole groups where `ratio` is sparse.
    output : MatrixView
        (m, n), binary32.
    interleave : tuple of int
        Interleave slots of a USPE spent on (rows, columns) of the output tile; their product is at most the
        configuration's `interleave_slots`.
    macs : int
        Useful multiply-accumulates of the whole batch: kept elements of the real shape, paddings not counted.
    dataflow : Dataflow
        What stays in the array.
    """

    layer: str
    stage: Stage
    ratio: Ratio
    weights: MatrixView
    activations: MatrixView
    output: MatrixView
    macs: int
    interleave: tuple[int, int] = (1, 1)
    dataflow: Dataflow = Dataflow.OUTPUT_STATIONARY

    def __post_init__(self) -> None:
        (m, kept), (n, k), out = self.weights.shape, self.activations.shape, self.output.shape
        if out != (m, n):
            raise InputError(f"{self.layer} {self.stage}: output is {out}, operands make ({m}, {n})")
        if kept * self.ratio.m != k * self.ratio.n:
            raise InputError(f"{self.layer} {self.stage}: {kept} kept of {k} is not {self.ratio}")
        if not self.weights.count == self.activations.count == self.output.count:
            raise InputError(f"{self.layer} {self.stage}: operands and output are batches of different sizes")

    @property
    def count(self) -> int:
        """Products of the batch; one where its views have no `each`."""
        return self.output.count

    def singles(self) -> "Iterator[Product]":
        """The products of the batch, in order."""
        if self.count == 1:
            yield self
            return
        for index in range(self.count):
            views = {name: getattr(self, name).single(index) for name in ("weights", "activations", "output")}
            yield replace(self, macs=self.macs // self.count, **views)

    def of_columns(self, start: int, count: int) -> "Product | None":
        """So many columns of its output; None where they are no loops of their own."""
        activations, output = self.activations.of_rows(start, count), self.output.of_columns(start, count)
        if not activations or not output:
            return None
        return replace(self, activations=activations, output=output, macs=self.macs * count // self.n)

    @property
    def regions(self) -> tuple[str, str, str]:
        """What it reads, and what it writes."""
        return self.weights.region, self.activations.region, self.output.region

    @property
    def m(self) -> int:
        """Rows of the output."""
        return self.weights.shape[0]

    @property
    def n(self) -> int:
        """Columns of the output."""
        return self.activations.shape[0]

    @property
    def k(self) -> int:
        """Reduction length before pruning, padded to whole groups."""
        return self.activations.shape[1]

    @property
    def kept(self) -> int:
        """Reduction length that the array walks: N of every M."""
        return self.weights.shape[1]


@dataclass(frozen=True, kw_only=True)
class Vector:
    """Element by element work between products: one pass of the vector unit over a tensor, several layers fused into it.

    Parameters
    ----------
    layer : str
        The first of the network's layers that it works for.
    stage : Stage
        `FORWARD`, or `INPUT_GRADIENT` for backward work.
    fused : bool
        Whether the elements come from the drain of the products right before it; they are then not read from memory.
    elements : int
        Elements that pass through the lanes.
    source : Operand, optional
        Where else they come from.
    operations : tuple of Operation
        What is done with them, in order.
    target : Operand
        Where they go.
    """

    layer: str
    stage: Stage
    fused: bool
    elements: int
    operations: tuple[Operation, ...]
    target: Operand
    source: Operand | None = None

    @property
    def what(self) -> str:
        """The operations in words."""
        return ", ".join(operation.text for operation in self.operations)

    @property
    def operands_read(self) -> tuple[Operand, ...]:
        """All that it reads."""
        own = (self.source,) if self.source else ()
        return (*own, *(operand for operation in self.operations for operand in operation.reads))

    @property
    def operands_written(self) -> tuple[Operand, ...]:
        """All that it writes: the target first, then what operations leave beside it."""
        return (self.target, *(operand for operation in self.operations for operand in operation.writes))

    @property
    def reads(self) -> tuple[str, ...]:
        """Tensors that it reads."""
        return tuple(operand.tensor for operand in self.operands_read)

    @property
    def writes(self) -> tuple[str, ...]:
        """Tensors that it writes."""
        return tuple(operand.tensor for operand in self.operands_written)

    @property
    def read_bytes(self) -> int:
        """Memory traffic of the whole pass."""
        return sum(operand.size_bytes for operand in self.operands_read)

    @property
    def write_bytes(self) -> int:
        """As `read_bytes`."""
        return sum(operand.size_bytes for operand in self.operands_written)


@dataclass(frozen=True, kw_only=True)
class Update:
    """One layer's weight update, and the N:M selection of the packed copies that the next step reads (pre-generation).

    Parameters
    ----------
    layer : str
        Whose weights, their gradient coming from the drain of the product right before; or a batch norm.
    elements : int
        Weights and biases, or scales and shifts.
    packed : tuple of int
        Elements of each packed copy that is written: one for every sparse direction.
    ratio : Ratio
        Of the packed copies.
    dense_copy : bool
        Whether a dense copy in the storage format is written, because some stage reads it.
    """

    layer: str
    elements: int
    packed: tuple[int, ...] = ()
    ratio: Ratio = DENSE
    dense_copy: bool = False


__all__ = ["Command", "Dataflow", "Loop", "MatrixView", "Product", "Program", "Region", "Stage", "Update", "Vector"]

Command = Product | Vector | Update


@dataclass(frozen=True, kw_only=True)
class Program:
    """A training step: commands in order over named regions.

    Parameters
    ----------
    network : str
        Its name.
    batch : int
        Samples of a step.
    ratio : Ratio or LayerRatios
        What the sparse stages run at.
    sparse_stages : frozenset of Stage
        Stages whose weights are packed, in the layers that are pruned.
    regions : mapping of str to Region
        What the products read and write, by name.
    commands : tuple of Command
        The step's work in order.
    cleared : frozenset of str
        Regions of which no product writes every element: they must be zero before the first product that writes to them.
        A strided convolution's input gradient is one where its stride skips pixels.
    aliases : mapping of str to str
        For ``<layer>.input``, the tensor ``<other layer>.output`` that it is.
    techniques : Techniques
        What the schedule makes use of.
    """

    network: str
    batch: int
    ratio: Ratios
    sparse_stages: frozenset[Stage]
    regions: Mapping[str, Region]
    commands: tuple[Command, ...]
    cleared: frozenset[str]
    aliases: Mapping[str, str]
    techniques: Techniques = ALL

    @property
    def products(self) -> tuple[Product, ...]:
        """The commands that the array runs."""
        return tuple(command for command in self.commands if isinstance(command, Product))
