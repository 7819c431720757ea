"""The vector unit's passes and updates on words of lanes, by bits."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hw.config import AcceleratorConfig
from hw.formats import FloatFormat
from hw.isa.bits import PACKED_COPIES, PassOption, PassStep, UpdateCopy, takes_pairs, takes_residual, takes_third
from hw.isa.commands import Pass, Sink, Source, Update
from hw.isa.functions import Function
from hw.isa.reductions import PARTIAL_SUMS, ROW_SUMS, lanes_summed
from hw.ratio import Ratio
from training.functions import apply
from training.machine.walks import Words
from training.nm import Packed, pack
from training.numbers import canonical, from_bits, to_bits
from training.reductions import largest_term, sum_terms

EXPONENT = np.uint32(0x7F800000)

Bits32 = NDArray[np.uint32]


def sources(work: Pass | Update) -> list[Source]:
    """The streams that a pass or an update takes words of."""
    if isinstance(work, Update):
        return [Source.ELEMENTS, Source.FACTORS]
    used = {
        Source.ELEMENTS: not work.options & PassOption.FROM_SUMS,
        Source.FACTORS: takes_pairs(work.steps, work.options) or takes_third(work.steps),
        Source.RESIDUAL: takes_residual(work.steps),
        Source.GATE: work.steps & PassStep.GATE,
    }
    return [source for source, is_used in used.items() if is_used]


def words_of(config: AcceleratorConfig, work: Pass | Update, source: Source) -> int:
    """How many words of a stream it takes."""
    if isinstance(work, Update) or source is not Source.FACTORS or not work.held:
        return work.words
    times = work.terms if work.options & PassOption.ACROSS else 1
    fills = -(-work.words // (config.vpu_lanes * work.held_block * times)) if work.options & PassOption.BY_ROW else 1
    return fills * work.held * (takes_pairs(work.steps, work.options) + takes_third(work.steps))


def run_pass(
    config: AcceleratorConfig,
    step: Pass,
    elements: Words,
    operands: Mapping[Source, Words],
    before: list[Bits32] | None = None,
) -> tuple[Words, bool]:
    """Results of a pass, and whether a number that was to be watched is infinite or NaN.

    `before` is terms of earlier passes, of a reduction that goes on; it is left as the next pass is to have it.
    """
    value = elements.astype(np.uint32)
    shift, scale, third = factors_of(step, value.shape, operands.get(Source.FACTORS))
    gate, mask = operands.get(Source.GATE), None
    if gate is not None and step.options & PassOption.AT_PLACE:
        mask = gate == places(step)[:, None]
    elif gate is not None:
        mask = ~(from_bits(gate.astype(np.int64), config.storage_format) <= 0)
    results, _ = passed(
        config.storage_format,
        step.steps,
        value,
        scale=scale,
        shift=shift,
        third=third,
        residual=operands.get(Source.RESIDUAL),
        function=step.function,
        mask=mask,
    )
    given = results.astype(np.uint64)
    seen = value
    if step.groups:
        terms = np.concatenate([*(before or ()), by_term(config, step, results)])
        sums = given[:0]
        if before is not None:
            before[:] = [terms] * step.goes_on
        if not step.goes_on:
            one = replace(step, terms=len(terms) // step.groups) if step.options & PassOption.BESIDE else step
            sums = reduced(one, terms)
        given = np.concatenate([given, sums]) if step.options & PassOption.BESIDE else sums
        seen = sums.astype(np.uint32)
    watched = bool(step.options & PassOption.NOTE_OVERFLOW) and bool((seen & EXPONENT == EXPONENT).any())
    return given, watched


def places(step: Pass) -> NDArray[np.uint16]:
    """The place that is counted for each word of a pass."""
    row, column = np.divmod(np.arange(step.words) // step.place_words, step.place_columns)
    return (step.place + row % step.place_rows * step.place_row_step + column * step.place_step).astype(np.uint16)


def factors_of(step: Pass, shape: tuple[int, ...], words: Words | None) -> tuple[Bits32, Bits32, Bits32]:
    """b, a and c of every element; `words` are those that the pass takes of the stream, if it does."""
    shift, scale = np.full(shape, step.shift, np.uint32), np.full(shape, step.scale, np.uint32)
    third = np.zeros(shape, np.uint32)
    if words is None:
        return shift, scale, third
    pairs = takes_pairs(step.steps, step.options)
    kinds = pairs + takes_third(step.steps)
    taken = words[None] if not step.held else words.reshape(-1, kinds, step.held, shape[1]).swapaxes(0, 1)
    used = [kind if not step.held else _used_again(step, kind, shape[0]) for kind in taken]
    if pairs and step.options & PassOption.SHIFT_FACTOR:
        shift = used[0].astype(np.uint32)
    if pairs and step.options & PassOption.SCALE_FACTOR:
        scale = (used[0] >> np.uint64(32)).astype(np.uint32)
    return shift, scale, used[-1].astype(np.uint32) if takes_third(step.steps) else third


def _used_again(step: Pass, factors: Words, count: int) -> Words:
    """Held factors, (fills, held, lanes), in the order in which `count` words use them, see `hw.engines.held_factors`."""
    lanes = factors.shape[-1]
    if step.options & PassOption.BY_ROW:
        times = step.terms if step.options & PassOption.ACROSS else 1
        of_rows = np.tile(np.repeat(factors[:, 0], step.held_block, axis=1), times).ravel()[:count]
        return np.repeat(of_rows[:, None], lanes, axis=1)
    places, left = [], step.columns
    while left > 0:
        for base in range(0, step.held, step.held_block):
            block = np.arange(base, min(base + step.held_block, step.held))
            places.append(np.tile(block, min(step.column_tile, left)))
        left -= step.column_tile
    return factors[0][np.resize(np.concatenate(places), count)]


def by_term(config: AcceleratorConfig, step: Pass, results: Bits32) -> Bits32:
    """The terms of a reduction, one after the other: the results, or what results that leave, too, are in binary32."""
    if not step.options & PassOption.BESIDE:
        return results
    order = np.concatenate([[], *_tiles(step.groups, step.held_block, step.terms, step.column_tile)]).astype(np.int64)
    terms = np.empty_like(results)
    terms[order] = results
    if not step.steps & PassStep.NARROW:
        return terms
    return from_bits(terms.astype(np.int64), config.storage_format).astype(np.float32).view(np.uint32)


def _tiles(words: int, block: int, columns: int, tile: int) -> Iterator[NDArray[np.int64]]:
    """Where the words of tiles are that come block by block, column by column, in an order of whole columns."""
    for first in range(0, columns, tile):
        across = np.arange(first, min(first + tile, columns))[:, None] * words
        yield from ((across + np.arange(base, min(base + block, words))).ravel() for base in range(0, words, block))


def reduced(step: Pass, terms: Bits32) -> Words:
    """Reductions of words of lanes: values, and above them the places of maxima."""
    across = bool(step.options & PassOption.ACROSS)
    each = terms.reshape(-1, step.terms, step.groups, terms.shape[1])
    if across:  # rows become lanes, and lanes terms
        summed = lanes_summed(terms.shape[1])
        each = each[..., :summed].swapaxes(2, 3).reshape(len(each), step.terms * summed, 1, step.groups)
        each = np.ascontiguousarray(each[:, : (step.terms - 1) * summed + step.last_lanes])
    numbers = np.moveaxis(each, 1, 0).view(np.float32)
    if not step.options & PassOption.LARGEST:
        partial_sums = 1 if step.options & PassOption.IN_TURN else ROW_SUMS if across else PARTIAL_SUMS
        sums = sum_terms(numbers, partial_sums)
        return sums.view(np.uint32).astype(np.uint64).reshape(-1, terms.shape[1])
    _, places = largest_term(numbers)
    values = np.take_along_axis(each, places[:, None], axis=1)[:, 0]
    return (values.astype(np.uint64) | places.astype(np.uint64) << np.uint64(32)).reshape(-1, terms.shape[1])


def passed(
    storage: FloatFormat,
    steps: int,
    value: Bits32,
    *,
    scale: Bits32 | None = None,
    shift: Bits32 | None = None,
    third: Bits32 | None = None,
    residual: NDArray[np.integer] | None = None,
    mask: NDArray[np.bool_] | None = None,
    function: int = 0,
) -> tuple[Bits32, NDArray[np.bool_]]:
    """What a lane makes of elements by `PassStep` and `Function`, and whether its ReLU would let each pass; all bits."""
    low = value & np.uint32((1 << storage.width) - 1 & 0xFFFFFFFF)
    x = from_bits(low, storage).astype(np.float32) if steps & PassStep.WIDEN else value.view(np.float32)
    with np.errstate(all="ignore"):
        if steps & PassStep.SCALE:
            assert scale is not None
            x = canonical(x * scale.view(np.float32))
        if steps & PassStep.SHIFT:
            assert shift is not None
            x = canonical(x + shift.view(np.float32))
        rounded = from_bits(to_bits(x, storage), storage).astype(np.float32) if steps & PassStep.ROUND else None
        before, x = x, apply(Function(function), x) if rounded is None else rounded
        if steps & PassStep.RESIDUAL:
            x = canonical(x + _widened(storage, residual))
        if steps & PassStep.MULTIPLY:
            x = canonical(x * _multiplier(storage, steps, before, third, residual))
        bits = np.ascontiguousarray(x).view(np.uint32)
        if steps & PassStep.NARROW:
            bits = to_bits(x, storage)
            x = from_bits(bits, storage)
        on = ~(x <= 0)
    if steps & PassStep.RELU:
        bits = np.where(on, bits, np.uint32(0))
    if steps & PassStep.GATE:
        assert mask is not None
        bits = np.where(mask, bits, np.uint32(0))
    return bits, on


def _multiplier(
    storage: FloatFormat,
    steps: int,
    before: NDArray[np.float32],
    third: Bits32 | None,
    residual: NDArray[np.integer] | None,
) -> NDArray[np.float32]:
    """What `PassStep.MULTIPLY` multiplies by."""
    if steps & PassStep.THIRD:
        assert third is not None
        return third.view(np.float32)
    return before if steps & PassStep.ITSELF else _widened(storage, residual)


def _widened(storage: FloatFormat, residual: NDArray[np.integer] | None) -> NDArray[np.float32]:
    assert residual is not None
    return from_bits(residual.astype(np.int64), storage).astype(np.float32)


def run_update(config: AcceleratorConfig, update: Update, gradients: Words, masters: Words) -> dict[Sink, Words]:
    """Masters or moments after an update, and the copies asked for; words of lanes as `hw.engines.pregenerate` has them.

    An update has `wuve_lanes`; the lanes of words that are above are not looked at, and zero where they leave.
    """
    gradients, masters = gradients[:, : config.wuve_lanes], masters[:, : config.wuve_lanes]
    weight, velocity = _number(masters), _number(masters >> np.uint64(32))
    decay, momentum, rate = (
        np.uint32(bits).view(np.float32) for bits in (update.weight_decay, update.momentum, update.learning_rate)
    )
    with np.errstate(all="ignore"):
        gradient = _number(gradients) * np.float32(2.0**update.unscale)
        decayed = gradient + decay * weight
        velocity = canonical(momentum * velocity + (gradient * gradient if update.moments else decayed))
        weight = canonical(decayed if update.moments else weight - rate * velocity)
    copy = to_bits(weight, config.storage_format)
    given = {
        Sink.RESULTS: weight.view(np.uint32).astype(np.uint64) | velocity.view(np.uint32).astype(np.uint64) << np.uint64(32)
    }
    if update.copies & UpdateCopy.DENSE:
        given[Sink.COPY] = copy.astype(np.uint64)
    if update.copies & PACKED_COPIES:
        ratio = Ratio(update.n, update.m)
        if update.copies & UpdateCopy.FORWARD:
            given[Sink.FORWARD] = _forward(config, copy, ratio)
        if update.copies & UpdateCopy.BACKWARD:
            given[Sink.BACKWARD] = _backward(config, copy, ratio)
    above = ((0, 0), (0, config.vpu_lanes - config.wuve_lanes))
    return {sink: np.pad(words, above) for sink, words in given.items()}


def _number(words: Words) -> NDArray[np.float32]:
    return words.astype(np.uint32).view(np.float32)


def _forward(config: AcceleratorConfig, copy: Bits32, ratio: Ratio) -> Words:
    """Groups along the words: (groups, M, lanes) to (groups · N, lanes)."""
    lanes = copy.shape[1]
    packed = _packed(config, copy.reshape(-1, ratio.m, lanes).swapaxes(1, 2), ratio)  # (groups, lanes, 1, N)
    return packed[:, :, 0].swapaxes(1, 2).reshape(-1, lanes)


def _backward(config: AcceleratorConfig, copy: Bits32, ratio: Ratio) -> Words:
    """Groups along the lanes of blocks that are turned, see `hw.engines.transpose`."""
    lanes, size = copy.shape[1], config.max_group
    wide, deep = max(lanes, size), min(lanes, size)
    outputs = copy.reshape(-1, wide // lanes, size, lanes).swapaxes(2, 3).reshape(-1, wide // size, size, size)
    packed = _packed(config, outputs.swapaxes(2, 3), ratio)  # (blocks, beside, inputs, groups, N)
    bands = packed.reshape(-1, wide // size, size // deep, deep, size // ratio.m, ratio.n)
    return bands.transpose(0, 2, 4, 5, 1, 3).reshape(-1, lanes)


def _packed(config: AcceleratorConfig, groups: Bits32, ratio: Ratio) -> Words:
    """Bits of elements packed along the last axis, (..., groups, N): value, then index."""
    storage = config.storage_format
    packed: Packed = pack(from_bits(groups, storage), ratio)
    return to_bits(packed.values, storage).astype(np.uint64) | packed.indices.astype(np.uint64) << np.uint64(storage.width)
