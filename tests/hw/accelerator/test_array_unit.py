"""Products on the array unit: chunks in, sums out, bit by bit as NumPy has them."""

from dataclasses import replace
from itertools import pairwise
from math import prod
from random import Random

import numpy as np
import pytest
from amaranth.hdl import Value
from amaranth.lib import data
from amaranth.sim import Simulator

from hw.accelerator.array_unit import ArrayUnit
from hw.buffers.feed import Feed
from hw.config import AcceleratorConfig
from hw.isa.commands import Product, layout
from hw.isa.operands import chunk_elements, chunk_words
from hw.ratio import DENSE, Ratio
from training import exact
from training.numbers import from_bits

SMALL = AcceleratorConfig(name="s", rows=2, columns=3, max_group=4, add_latency_cycles=4, vpu_lanes=2,
                          w2e_buffer_bytes=160, n2s_buffer_bytes=200, output_buffer_bytes=512)  # fmt: skip
WIDE = AcceleratorConfig(name="w", rows=4, columns=4, max_group=8, vpu_lanes=2, add_latency_cycles=3,
                         w2e_buffer_bytes=1024, n2s_buffer_bytes=1024, output_buffer_bytes=1024)  # fmt: skip
BROAD = AcceleratorConfig(name="b", rows=4, columns=8, max_group=4, vpu_lanes=2, add_latency_cycles=2, axi_data_bits=256,
                          w2e_buffer_bytes=640, n2s_buffer_bytes=1600, output_buffer_bytes=1024)  # fmt: skip
LONG = AcceleratorConfig(name="l", rows=2, columns=8, max_group=4, vpu_lanes=2, add_latency_cycles=2, partial_sum_words=9,
                         w2e_buffer_bytes=512, n2s_buffer_bytes=1600, output_buffer_bytes=336)  # fmt: skip
"""Words of its output buffer are 42, no power of two."""


def ceil(a, b):
    return -(-a // b)


class Case:
    """A random product: its operands, its commands, and what the loads bring."""

    def __init__(self, config, random, *, stationary=None):
        self.config, self.random = config, random
        self.base, self.beside = (0, 0), (0, 0)
        self.stationary = random.random() < 0.5 if stationary is None else stationary
        self.stationary &= config.columns.bit_count() == 1
        group = config.max_group
        ratios = [DENSE, DENSE, *(Ratio(n, m) for n, m in ((1, 2), (2, 4), (1, 4), (2, 8)) if m <= group)]
        self.ratio = ratio = random.choice(ratios)
        self.m, self.n = random.randint(1, 14), random.randint(1, 14)
        groups = random.randint(1, 6)
        self.k = groups * ratio.m if not ratio.is_dense else random.randint(1, 24)
        self.kept = groups * ratio.n if not ratio.is_dense else self.k
        splits = [(a, b) for a in range(1, 5) for b in range(1, 5) if a * b <= config.interleave_slots]
        self.slots = (1, 1) if self.stationary else random.choice(splits)
        rng = np.random.default_rng(random.randrange(1 << 30))
        numbers = lambda *shape: (rng.standard_normal(shape).astype(np.float16)).view(np.uint16)  # noqa: E731
        self.weights, self.activations = numbers(self.m, self.kept), numbers(self.n, self.k)
        self.indices = None if ratio.is_dense else rng.integers(0, ratio.m, (self.m, self.kept)).astype(np.uint8)
        self._cut()

    def _cut(self):
        config, random, group = self.config, self.random, self.config.max_group
        self.merged = 1 if self.ratio.is_dense else random.choice([1, group // self.ratio.m])
        self.group_rounds = group if self.ratio.is_dense else self.ratio.n * self.merged
        # Where weights stay, a part is whole blocks of columns, and each line has words of its own.
        most = min(self.n, config.partial_sum_words, config.result_buffer_words, config.activation_buffer_words // 2)
        self.vectors = random.randint(ceil(most, 2), most) if self.stationary else 0
        unit = max(self.group_rounds, config.columns) if self.stationary else self.group_rounds
        width = self.vectors or self.slots[1]
        units = ceil(self.kept, unit)
        fits = [
            part for part in range(1, units + 1)
            if 2 * self.slots[0] * ceil(part * unit, group) <= config.weight_buffer_words
            and 2 * width * part <= config.activation_buffer_words
        ]  # fmt: skip
        part = random.choice(fits)
        self.part_rounds, self.parts = part * unit, ceil(units, part)
        self.tile_m, self.tile_n = self.slots[0] * config.rows, self.vectors or self.slots[1] * config.columns
        self.tiles_m, self.tiles_n = ceil(self.m, self.tile_m), ceil(self.n, self.tile_n)
        self.lines = ceil(self.part_rounds, group), part
        self.share = self.slots[0] * self.lines[0], width * self.lines[1]
        room = config.weight_buffer_words // self.share[0], config.activation_buffer_words // self.share[1]
        self.held = (
            self.tiles_m * self.parts <= room[0] and random.random() < 0.5,
            self.parts <= room[1] and random.random() < 0.5,
        )
        self.shares = (
            self.tiles_m * self.parts if self.held[0] else random.randint(1, room[0]),
            random.randint(max(self.parts if self.held[1] else 1, 2 if self.stationary else 1), room[1]),
        )
        self.across = random.randrange(2), random.randrange(2)

    def product(self):
        return Product(
            outer=self.tiles_n, middle=self.tiles_m, inner=self.parts, rounds=self.kept, part_rounds=self.part_rounds,
            group_rounds=self.group_rounds, dense=int(self.ratio.is_dense), n=self.ratio.n, m=self.ratio.m,
            slot_rows=self.slots[0], slot_columns=self.slots[1],
            weight_shares=self.shares[0], weight_share_words=self.share[0], weight_line_words=self.lines[0],
            activation_shares=self.shares[1], activation_share_words=self.share[1], activation_line_words=self.lines[1],
            weights_held=int(self.held[0]), activations_held=int(self.held[1]), vectors=self.vectors,
            weight_base=self.base[0], activation_base=self.base[1],
        )  # fmt: skip

    def extent(self, side):
        return self.shares[side] * self.share[side]

    def group_of(self, side):
        return self.config.max_group if side == 0 or self.ratio.is_dense else self.ratio.m * self.merged

    def placement(self, side):
        return {"across": self.across[side], "group": self.group_of(side), "shares": self.shares[side],
                "share_words": self.share[side], "line_words": self.lines[side], "word_step": 1,
                "base": self.base[side], "beside": self.beside[side],
                "spread": min(self.group_rounds, self.config.columns) if side and self.stationary else 0}  # fmt: skip

    def blocks(self, side):
        """(first line, lines, first position, positions) of each block that is loaded."""
        part = self.part_rounds if side == 0 else self.part_rounds // self.ratio.n * self.ratio.m
        total, size, tile = (self.kept, self.m, self.tile_m) if side == 0 else (self.k, self.n, self.tile_n)
        for outer in range(self.tiles_n):
            for middle in range(self.tiles_m):
                if (outer, middle)[side] and self.held[side]:
                    continue
                line = (middle, outer)[side] * tile
                for inner in range(self.parts):
                    yield line, min(tile, size - line), inner * part, min(part, total - inner * part)

    def chunks(self, side):
        """Chunks of all blocks, cut as a reader would, and at random."""
        group, line_count = self.group_of(side), (self.config.rows, self.config.columns)[side]
        joined = group == self.config.max_group and not (side and self.stationary)
        pieces = chunk_words(self.config, line_count) if joined else 1
        blocks = list(self.blocks(side))
        height = (self.config.rows, 1 if self.stationary else self.config.columns)[side]
        for number, (line, lines, first, length) in enumerate(blocks):
            across = self.across[side]
            us, vs, boundary = (lines, length, height) if across else (length, lines, group * pieces)
            for v in range(vs):
                u = 0
                while u < us:
                    count = self.random.randint(
                        1, min(us - u, boundary - u % boundary, chunk_elements(self.config, line_count))
                    )
                    places = [(line + u + i, first + v) if across else (line + v, first + u + i) for i in range(count)]
                    last = v + 1 == vs and u + count == us
                    yield {"elements": [self.element(side, *place) for place in places], "count": count, "u": u, "v": v,
                           "end_of_block": last, "last": last and number + 1 == len(blocks)}  # fmt: skip
                    u += count

    def element(self, side, line, position):
        if side:
            return int(self.activations[line, position])
        return int(self.weights[line, position]) | (int(self.indices[line, position]) << 16 if self.indices is not None else 0)

    def tiles(self):
        return {"outer": self.tiles_n, "middle": self.tiles_m, "columns": self.n, "column_tile": self.tile_n,
                "rows": self.m, "row_tile": self.tile_m, "slot_rows": self.slots[0]}  # fmt: skip

    def expected(self):
        """The words of sums, as lists of as many numbers as are of the result."""
        weights, activations = (from_bits(part, self.config.storage_format) for part in (self.weights, self.activations))
        if self.indices is None:
            result = exact.matmul(weights, activations)
        else:
            result = exact.matmul_packed(weights, self.indices, activations, self.ratio)
        bits, lanes = result.view(np.uint32), self.config.vpu_lanes
        for outer in range(0, self.n, self.tile_n):
            for middle in range(0, self.m, self.tile_m):
                for column in range(outer, min(outer + self.tile_n, self.n)):
                    for row in range(middle, min(middle + self.tile_m, self.m), lanes):
                        yield bits[row : min(row + lanes, middle + self.tile_m, self.m), column].tolist()


class WindowCase(Case):
    """A random product whose activations are windows of images, cut from a ring of pixels."""

    def __init__(self, config, random):
        super().__init__(config, random, stationary=False)
        self.merged = 1
        size = (random.randint(1, 4), random.randint(1, 5))
        self.grid, images = size, random.randint(1, 3)
        self.taps = random.choice([(1, 2), (2, 1), (3, 3), (2, 3), (1, 3)])
        self.start, self.step = ([random.choice(places) for _ in "yx"] for places in ([-2, -1, 0, 1], [-1, 1, 1, 2]))
        groups, ratio = random.randint(1, 4), self.ratio
        channels = groups * ratio.m if not ratio.is_dense else random.randint(1, 2 * config.max_group)
        if ratio.is_dense:
            self.group = random.choice([each for each in range(1, config.max_group + 1) if channels % each == 0])
            self.group_rounds, kept = self.group, channels
        else:
            fit = config.max_group // ratio.m
            self.merged = random.choice([each for each in range(1, fit + 1) if fit % each == 0 and groups % each == 0])
            self.group, self.group_rounds, kept = self.merged * ratio.m, self.merged * ratio.n, groups * ratio.n
        self.tap_words = kept // self.group_rounds
        rng = np.random.default_rng(random.randrange(1 << 30))
        self.n, self.kept, self.k = images * prod(size), kept * prod(self.taps), channels * prod(self.taps)
        numbers = lambda *shape: (rng.standard_normal(shape).astype(np.float16)).view(np.uint16)  # noqa: E731
        self.pixels, self.weights = numbers(self.n, channels), numbers(self.m, self.kept)
        self.indices = None if ratio.is_dense else rng.integers(0, ratio.m, (self.m, self.kept)).astype(np.uint8)
        self.activations = self._windows(images, channels)
        self._cut_ring()

    def _windows(self, images, channels):
        """Windows, (columns, taps * channels), by looking each pixel up."""
        found = np.zeros((self.n, *self.taps, channels), np.uint16)
        of = self.pixels.reshape(images, *self.grid, channels)
        for image, y, x in np.ndindex(images, *self.grid):
            for tap in np.ndindex(*self.taps):
                at = [
                    place + start + step * number
                    for place, start, step, number in zip((y, x), self.start, self.step, tap, strict=True)
                ]
                if all(0 <= place < size for place, size in zip(at, self.grid, strict=True)):
                    found[(image * self.grid[0] + y) * self.grid[1] + x][tap] = of[image][tuple(at)]
        return found.reshape(self.n, -1)

    def _cut_ring(self):
        config, random = self.config, self.random
        self.parts, self.part_rounds = 1, self.kept
        line = ceil(self.kept, config.max_group)
        fits = [
            (a, b) for a in range(1, 5) for b in range(1, 5)
            if a * b <= config.interleave_slots and a * line <= config.weight_buffer_words
        ]  # fmt: skip
        self.slots = random.choice(fits)
        self.tile_m, self.tile_n = self.slots[0] * config.rows, self.slots[1] * config.columns
        self.tiles_m, self.tiles_n = ceil(self.m, self.tile_m), ceil(self.n, self.tile_n)
        moves = [
            (self.start[0] + y * self.step[0]) * self.grid[1] + self.start[1] + x * self.step[1]
            for y, x in np.ndindex(*self.taps)
        ]
        self.behind, self.ahead = (ceil(max(0, move), self.tile_n) for move in (-min(moves), max(moves)))
        room = config.weight_buffer_words // (self.slots[0] * line)
        weights_held = self.tiles_m <= room and random.random() < 0.5
        self.held = weights_held, True
        shares = min(self.tiles_n, self.behind + 1 + self.ahead) + random.randint(0, 2)
        self.shares = self.tiles_m if weights_held else random.randint(1, room), shares
        self.lines, self.share = (line, 1), (self.slots[0] * line, self.slots[1])
        self.across = random.randrange(2), 0
        self.fits = shares * self.slots[1] * self.tap_words <= config.activation_buffer_words

    def product(self):
        pairs = {"taps": self.taps, "start": self.start, "step": self.step, "grid": self.grid}
        fields = {f"{name}_{axis}": pair[number] for name, pair in pairs.items() for number, axis in enumerate("yx")}
        ring = self.shares[1] * self.share[1]
        return replace(super().product(), tap_words=self.tap_words, ahead=self.ahead, behind=self.behind,
                       activation_word_step=ring, **fields)  # fmt: skip

    def placement(self, side):
        return super().placement(side) | {"word_step": self.shares[1] * self.share[1] if side else 1}

    def extent(self, side):
        return super().extent(side) * (self.tap_words if side else 1)

    def group_of(self, side):
        return self.group if side else self.config.max_group

    def blocks(self, side):
        if not side:
            yield from super().blocks(side)
            return
        for outer in range(self.tiles_n):
            first = outer * self.tile_n
            yield first, min(self.tile_n, self.n - first), 0, self.pixels.shape[1]

    def element(self, side, line, position):
        return int(self.pixels[line, position]) if side else super().element(side, line, position)


def windows(config, random):
    """A case whose operands fit the buffers."""
    return next(case for case in iter(lambda: WindowCase(config, random), None) if case.fits)


def lay_beside(config, cases):
    """Operands of each product beside those of the one before, where there is room."""
    for before, case in pairwise(cases):
        bases, besides = [], []
        for side, room in enumerate((config.weight_buffer_words, config.activation_buffer_words)):
            behind, words = before.base[side] + before.extent(side), case.extent(side)
            fits = [base for base, fit in ((0, words <= before.base[side]), (behind, behind + words <= room)) if fit]
            bases.append(fits[0] if fits else 0)
            besides.append(int(bool(fits)))
        case.base, case.beside = tuple(bases), tuple(besides)


def play(config, cases, random, stall):
    """The words that come of products, one after the other."""
    lay_beside(config, cases)
    dut, words = ArrayUnit(config), []

    def feeder(name, values):
        async def feed(ctx):
            port = getattr(dut, name)
            for value in values:
                while random.random() < stall:
                    await ctx.tick()
                ctx.set(Value.cast(port.payload), value)
                ctx.set(port.valid, 1)
                while not (await ctx.tick().sample(port.ready))[2]:
                    pass
                ctx.set(port.valid, 0)

        return feed

    async def take(ctx):
        expected = sum(len(list(case.expected())) for case in cases)
        for _ in range(100_000):
            ctx.set(dut.o.ready, random.random() >= stall)
            _, _, valid, ready, word, bad = await ctx.tick().sample(
                dut.o.valid, dut.o.ready, Value.cast(dut.o.payload), dut.beyond | dut.illegal
            )
            assert not bad
            if valid and ready:
                words.append([word >> 32 * lane & 0xFFFFFFFF for lane in range(config.vpu_lanes)])
            if len(words) == expected:
                break
        for _ in range(40):
            _, _, idle = await ctx.tick().sample(dut.idle)
        assert idle

    def bits(shape, fields):
        return shape.const(fields).as_value().value

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    fields = [field.name for field in layout(Product)]
    product = dut.i_product.payload.shape()
    simulator.add_testbench(
        feeder("i_product", [bits(product, {f: getattr(case.product(), f) for f in fields}) for case in cases])
    )
    simulator.add_testbench(feeder("i_tiles", [bits(dut.i_tiles.payload.shape(), case.tiles()) for case in cases]))
    for side, name in enumerate(("weights", "activations")):
        shape = getattr(dut, f"i_{name}").payload.shape()
        assert isinstance(shape, data.StructLayout)
        load = getattr(dut, f"i_{name}_load").payload.shape()
        simulator.add_testbench(feeder(f"i_{name}_load", [bits(load, case.placement(side)) for case in cases]))
        simulator.add_testbench(feeder(f"i_{name}", [bits(shape, chunk) for case in cases for chunk in case.chunks(side)]))
    simulator.add_testbench(take)
    simulator.run()
    return words


@pytest.mark.parametrize(
    ("config", "seed"),
    [(config, seed) for config, seeds in ((SMALL, 4), (WIDE, 4), (BROAD, 4), (LONG, 2)) for seed in range(seeds)],
    ids=lambda part: getattr(part, "name", part),
)
def test_products_are_numpys(config, seed):
    random = Random(seed)
    cases = [Case(config, random) for _ in range(3)]
    words = play(config, cases, random, random.choice([0, 0.4]))
    expected = [word for case in cases for word in case.expected()]
    assert [word[: len(due)] for word, due in zip(words, expected, strict=True)] == expected


@pytest.mark.parametrize(("config", "seed"), [(config, seed) for config in (WIDE, BROAD) for seed in range(3)])
def test_windows_are_cut_from_images(config, seed):
    random = Random(seed)
    cases = [windows(config, random), Case(config, random), windows(config, random)]
    words = play(config, cases, random, random.choice([0, 0.4]))
    expected = [word for case in cases for word in case.expected()]
    assert [word[: len(due)] for word, due in zip(words, expected, strict=True)] == expected


@pytest.mark.parametrize("config", [WIDE, LONG], ids=["wide", "long"])
def test_what_is_left_in_a_buffer_reaches_no_sum(config):
    """Columns beyond the reduction read what an earlier product's loads have left: infinities, times zero weights."""
    random = Random(0)
    cases = [Case(config, random, stationary=True) for _ in range(200)]
    before = max((case for case in cases if case.ratio.is_dense and case.parts == 1), key=lambda case: case.kept)
    after = next(case for case in cases if case.ratio.is_dense and case.kept < config.columns)
    before.activations[:] = np.float16(np.inf).view(np.uint16)
    words, expected = play(config, [before, after], random, 0), [*before.expected(), *after.expected()]
    assert [word[: len(due)] for word, due in zip(words, expected, strict=True)] == expected


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        (WIDE, {"slot_rows": 2}),
        (WIDE, {"slot_columns": 2}),
        (WIDE, {"activation_shares": 1}),
        (LONG, {"inner": 2, "part_rounds": 12}),
        (WIDE, {"outer": 1 << 13, "middle": 1 << 11}),
    ],
)
def test_what_weights_cannot_stay_for_is_illegal(config, wrong):
    right = Product(rounds=16, part_rounds=16, weight_shares=2, activation_shares=2, vectors=1)
    assert are_illegal(config, [replace(right, **wrong), right]) == [True, False]


def are_illegal(config, products):
    """Which products are refused, of which the last one at most is none that is."""
    dut, seen = Feed(config), []

    async def give(ctx):
        for product in products:
            fields = {field.name: getattr(product, field.name) for field in layout(Product)}
            ctx.set(Value.cast(dut.i.payload), dut.i.payload.shape().const(fields).as_value().value)
            ctx.set(dut.i.valid, 1)
            await ctx.tick()
            ctx.set(dut.i.valid, 0)
            seen.append(any([(await ctx.tick().sample(dut.illegal))[2] for _ in range(3)]))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(give)
    simulator.run()
    return seen
