"""Pooling as commands: windows as terms of reductions, pixels of an image side by side in each of them.

::

    forward   u: channels, pixels of the result, taps      v: groups of pixels, rows, images      a reduction a group
    gradient  the same, of the pixels of each phase of the stride: terms are the windows that a pixel is in, in the order of
              their taps, the gradient of each let through where the stored place is the tap's
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, product
from math import gcd, prod

from dataflow.axes import AxisPool
from dataflow.compile.dependences import Names, Operation
from dataflow.compile.memory import Tensor
from dataflow.compile.walks import NO_LIMIT, Step, in_words
from dataflow.network import MaxPool
from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.isa.bits import PassOption, PassStep
from hw.isa.commands import Load, Pass, Sink, Source, Store, Walk
from hw.isa.reductions import MOST_GROUPS, PARTIAL_SUMS


@dataclass(frozen=True)
class Axis:
    """Windows along an axis: tap t of output o is input ``first + o * stride + t * step``."""

    inputs: int
    outputs: int
    taps: int
    first: int
    stride: int
    step: int

    def inside(self, output: int) -> int:
        """Taps of an output that are inputs."""
        return sum(0 <= self.first + output * self.stride + tap * self.step < self.inputs for tap in range(self.taps))

    def phase(self, start: int) -> "Phase":
        """What inputs `start`, `start` + stride and so on are in."""
        taps = [tap for tap in range(self.taps) if (start - self.first - tap * self.step) % self.stride == 0]
        apart = self.stride // gcd(self.stride, self.step)
        output = (start - self.first - taps[0] * self.step) // self.stride if taps else 0
        return Phase(-(-(self.inputs - start) // self.stride), taps, apart, output, -apart * self.step // self.stride)


@dataclass(frozen=True)
class Phase:
    """Inputs of an axis that are the stride apart: how many, the taps that they are, and which output's each is.

    Taps are `apart` from each other; of input i, tap j is that of output ``first + i + j * step``.
    """

    inputs: int
    taps: list[int]
    apart: int
    first: int
    step: int


def axes_of(layer: MaxPool | AxisPool, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> tuple[Axis, Axis]:
    """The axes of a pool's images, of these sizes."""
    if isinstance(layer, MaxPool):
        parts = [(layer.kernel, -layer.padding, layer.stride, 1)] * 2
    else:
        parts = [(axis.kernel, -axis.before, axis.stride, axis.dilation) for axis in layer.axes]
    rows, columns = (Axis(size, count, *part) for size, count, part in zip(inputs, outputs, parts, strict=True))
    return rows, columns


@dataclass(frozen=True)
class _Block:
    """Channels from `start` on that pass together, and pixels of a row that do."""

    start: int
    width: int
    words: int
    pixels: int
    times: int

    @property
    def groups(self) -> int:
        """Words of a term."""
        return self.words * self.pixels


def _blocks(lanes: int, channels: int, pixels: int) -> Iterator[_Block]:
    """Equal groups of pixels, with as many words as a reduction has room for, and as it needs if it has one partial result."""
    for start in range(0, channels, MOST_GROUPS * lanes):
        width = min(channels - start, MOST_GROUPS * lanes)
        words = -(-width // lanes)
        times = -(-pixels // (MOST_GROUPS // words))
        beside = max(-(-pixels // times), -(-PARTIAL_SUMS // words))
        yield _Block(start, width, words, beside, -(-pixels // beside))


@dataclass(frozen=True)
class _Places:
    """Pixels of images: the first one's row and column, and steps from one to the next."""

    rows: tuple[int, int] = (0, 1)
    columns: tuple[int, int] = (0, 1)


def _walk(
    config: AcceleratorConfig,
    tensor: Tensor,
    block: _Block,
    count: int,
    places: _Places,
    taps: tuple[tuple[int, int], tuple[int, int]] = ((1, 0), (1, 0)),
) -> Walk:
    """A tensor of images: words of channels and pixels, then taps as (count, step) of rows and columns; then `count` rows."""
    lanes = config.vpu_lanes
    batch, height, width, _ = tensor.shape
    image, row, column, size = tensor.strides
    padded = block.words * lanes
    (y, y_step), (x, x_step) = places.rows, places.columns
    (tap_rows, tap_row), (tap_columns, tap_column) = taps
    beside = block.pixels * x_step
    u = [
        Step(padded, 0),
        Step(block.pixels, x_step * column, (0, x_step)),
        Step(tap_columns, tap_column * column, (0, tap_column)),
        Step(tap_rows, tap_row * row, (tap_row, 0)),
    ]
    v = [
        Step(block.times, beside * column, (0, beside)),
        Step(count, y_step * row, (y_step, 0)),
        Step(batch, image),
    ]
    return in_words(
        (tensor.offset + y * row + x * column + block.start * size) % (1 << config.address_bits),
        size,
        lanes,
        u,
        v,
        run_limit=NO_LIMIT if padded == block.width else block.width,
        start_0=y,
        limit_0=height,
        start_1=x,
        limit_1=width,
    )


def over_windows(
    config: AcceleratorConfig, axes: tuple[Axis, Axis], source: Tensor, values: Tensor, places: Tensor | None
) -> Iterator[Operation]:
    """The sum of each window, or its largest element and the number of its tap.

    Parameters
    ----------
    axes : (Axis, Axis)
        Of rows and columns.
    source, values : Tensor
        (batch, H, W, C) in the storage format; (batch, H', W', C), binary32.
    places : Tensor, optional
        Of the shape of `values`, words of the storage format; where there is none, windows are summed.
    """
    rows, columns = axes
    lanes, terms = config.vpu_lanes, rows.taps * columns.taps
    taps = (rows.taps, rows.step), (columns.taps, columns.step)
    read = _Places((rows.first, rows.stride), (columns.first, columns.stride))
    options = PassOption.IN_TURN | (PassOption.LARGEST | PassOption.PLACES if places else PassOption(0))
    written = {Sink.COPY: places} if places else {}
    written[Sink.RESULTS] = values
    names: Names = {Source.ELEMENTS: source.name, **{sink: one.name for sink, one in written.items()}}
    for block in _blocks(lanes, source.shape[-1], columns.outputs):
        walk = _walk(config, source, block, rows.outputs, read, taps)
        results = walk.v_size * block.groups
        reduced = Pass(
            words=results * terms,
            steps=PassStep.WIDEN,
            options=options,
            groups=block.groups,
            terms=terms,
            results=results,
        )
        stores = [Store(sink=sink, walk=_walk(config, one, block, rows.outputs, _Places())) for sink, one in written.items()]
        yield [Load(source=Source.ELEMENTS, walk=replace(walk, lowest=int(places is not None))), reduced, *stores], names


@dataclass(frozen=True)
class Gradient:
    """What a pixel's windows hand on to it.

    Parameters
    ----------
    tensor : Tensor
        (batch, H', W', C), storage format or binary32.
    places : Tensor, optional
        Of that shape, as `over_windows` leaves them: only the pixel at the place gets anything.
    scale : int, optional
        Bits of what it is multiplied by.
    """

    tensor: Tensor
    places: Tensor | None = None
    scale: int | None = None

    @property
    def steps(self) -> PassStep:
        """What a pass does with it."""
        steps = PassStep.GATE if self.places else PassStep(0)
        steps |= PassStep.WIDEN if self.tensor.kind == "storage" else PassStep(0)
        return steps | (PassStep.SCALE if self.scale is not None else PassStep(0))


def gradient_of_windows(
    config: AcceleratorConfig, axes: tuple[Axis, Axis], gradient: Gradient, sums: Tensor, target: Tensor
) -> Iterator[Operation]:
    """The gradient at each pixel: those of its windows, added up in binary32 in the order of their taps.

    Parameters
    ----------
    axes : (Axis, Axis)
        Of rows and columns.
    gradient : Gradient
        Of the windows.
    sums, target : Tensor
        (batch, H, W, C), binary32 and storage format: pixels that may be in several windows pass through `sums`.
    """
    for start in product(*(range(min(axis.stride, axis.inputs)) for axis in axes)):
        phases = axes[0].phase(start[0]), axes[1].phase(start[1])
        written = _Places((start[0], axes[0].stride), (start[1], axes[1].stride))
        for block in _blocks(config.vpu_lanes, target.shape[-1], phases[1].inputs):
            yield from _gradient_of_phase(config, phases, axes[1].taps, block, written, gradient, (sums, target))


def _gradient_of_phase(
    config: AcceleratorConfig,
    phases: tuple[Phase, Phase],
    row_taps: int,
    block: _Block,
    written: _Places,
    gradient: Gradient,
    tensors: tuple[Tensor, Tensor],
) -> Iterator[Operation]:
    rows, columns = phases
    sums, target = tensors
    terms = len(rows.taps) * len(columns.taps)
    store = _walk(config, target, block, rows.inputs, written)
    results = store.v_size * block.groups
    to_target = Store(sink=Sink.RESULTS, walk=store)
    into: Names = {Sink.RESULTS: target.name}
    if not terms:
        nothing = Load(source=Source.ELEMENTS, walk=replace(store, run_limit=0))
        yield [nothing, Pass(words=results), to_target], {Source.ELEMENTS: target.name, **into}
        return
    read = _Places((rows.first, 1), (columns.first, 1))
    taps = (len(rows.taps), rows.step), (len(columns.taps), columns.step)
    streams = {Source.ELEMENTS: gradient.tensor} | ({Source.GATE: gradient.places} if gradient.places else {})
    loads = [Load(source=one, walk=_walk(config, tensor, block, rows.inputs, read, taps)) for one, tensor in streams.items()]
    names: Names = {one: tensor.name for one, tensor in streams.items()}
    step = Pass(
        words=results * terms,
        steps=gradient.steps,
        options=PassOption.AT_PLACE if gradient.places else 0,
        scale=gradient.scale or 0,
        place=rows.taps[0] * row_taps + columns.taps[0],
        place_words=block.groups,
        place_columns=len(columns.taps),
        place_step=columns.apart,
        place_rows=len(rows.taps),
        place_row_step=rows.apart * row_taps,
    )
    if terms == 1:
        yield [*loads, replace(step, steps=step.steps | PassStep.NARROW), to_target], {**names, **into}
        return
    summed = _walk(config, sums, block, rows.inputs, written)
    step = replace(step, options=step.options | PassOption.IN_TURN, groups=block.groups, terms=terms, results=results)
    yield [*loads, step, Store(sink=Sink.RESULTS, walk=summed)], {**names, Sink.RESULTS: sums.name}
    narrow = Pass(words=results, steps=PassStep.NARROW)
    yield [Load(source=Source.ELEMENTS, walk=summed), narrow, to_target], {Source.ELEMENTS: sums.name, **into}


def shares(layer: MaxPool | AxisPool, axes: tuple[Axis, Axis]) -> list[tuple[range, range, int]]:
    """Rows and columns of outputs whose windows have as many taps inside the image, and how many; `InputError` if none is."""
    (rows, columns) = (_runs([axis.inside(output) for output in range(axis.outputs)]) for axis in axes)
    parts = [(row, column, high * wide) for row, high in rows for column, wide in columns]
    if not all(count for *_, count in parts):
        raise InputError(f"layer {layer.name!r}: a window has no pixel of the image, so that it has no mean")
    return parts


def _runs(numbers: Sequence[int]) -> list[tuple[range, int]]:
    """Neighbours that are equal: where they are, and what."""
    runs, start = [], 0
    for number, part in groupby(numbers):
        end = start + len(list(part))
        runs.append((range(start, end), number))
        start = end
    return runs


def scaled(
    config: AcceleratorConfig, source: Tensor, target: Tensor, rows: range, columns: range, scale: int
) -> Iterator[Operation]:
    """Some rows and columns of images, (batch, H, W, C), multiplied by a number of binary32, whose bits are `scale`."""
    lanes, places = config.vpu_lanes, _Places((rows.start, 1), (columns.start, 1))
    steps = PassStep.SCALE
    steps |= PassStep.WIDEN if source.kind == "storage" else PassStep(0)
    steps |= PassStep.NARROW if target.kind == "storage" else PassStep(0)
    for block in _blocks(lanes, source.shape[-1], len(columns)):
        read, written = (
            replace(_walk(config, tensor, block, len(rows), places), limit_1=columns.stop) for tensor in (source, target)
        )
        step = Pass(words=read.v_size * block.groups, steps=steps, scale=scale)
        names: Names = {Source.ELEMENTS: source.name, Sink.RESULTS: target.name}
        yield [Load(source=Source.ELEMENTS, walk=read), step, Store(sink=Sink.RESULTS, walk=written)], names


def gradient_of_global(config: AcceleratorConfig, gradient: Tensor, places: Tensor, target: Tensor) -> Operation:
    """The gradient of each channel at the pixel whose number is stored.

    Parameters
    ----------
    gradient, places : Tensor
        (batch, C), storage format, and words of it.
    target : Tensor
        (batch, ..., C).
    """
    lanes = config.vpu_lanes
    batch, *spatial, channels = target.shape
    pixels, words = prod(spatial), -(-channels // lanes)

    def walk(tensor: Tensor, pixel: int) -> Walk:
        size = tensor.element_bytes
        v = [Step(pixels, pixel * size), Step(batch, (pixels if pixel else 1) * channels * size)]
        return in_words(tensor.offset, size, lanes, [Step(channels, 0)], v)

    gated = Pass(
        words=batch * pixels * words,
        steps=PassStep.WIDEN | PassStep.NARROW | PassStep.GATE,
        options=PassOption.AT_PLACE,
        place_words=words,
        place_columns=pixels,
        place_step=1,
    )
    read = {Source.ELEMENTS: gradient, Source.GATE: places}
    loads = [Load(source=source, walk=walk(tensor, 0)) for source, tensor in read.items()]
    names: Names = {**{source: tensor.name for source, tensor in read.items()}, Sink.RESULTS: target.name}
    return [*loads, gated, Store(sink=Sink.RESULTS, walk=walk(target, channels))], names
