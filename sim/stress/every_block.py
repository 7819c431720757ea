"""Traffic for every block of the RTL: all ratios, modes and kinds of numbers, under random stalls."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import numpy as np
from amaranth.hdl import Shape
from amaranth.lib import data, wiring

from dataflow.ir.program import Dataflow
from hw.config import AcceleratorConfig
from hw.engines.functions import FunctionUnit
from hw.engines.held_factors import HeldFactors, held_layout
from hw.engines.pregenerate import Pregenerate, ratio_layout
from hw.engines.reductions import ReductionUnit, sizes_layout
from hw.engines.sore import SORE
from hw.engines.transpose import Transpose
from hw.engines.vector import PLACES_BITS
from hw.engines.vpu import PASS, VPU
from hw.engines.wuve import WUVE, rates_layout
from hw.errors import SimulationError
from hw.formats import BINARY32, FloatFormat
from hw.isa.functions import Function
from hw.isa.microarchitecture import HELD_WORDS
from hw.isa.reductions import MOST_GROUPS
from hw.ratio import DENSE, Ratio
from sim.rtl.gemm import Gemm, reference
from sim.rtl.player import Operands
from sim.rtl.products import play_products
from sim.rtl.streams import Phase, play_phases

CONFIG = AcceleratorConfig(
    name="two", rows=2, columns=2, sore_lanes=2, wuve_lanes=2, vpu_lanes=2, adamw=True, partial_sum_words=16
)  # fmt: skip
"""The smallest array and vector engines in which there are neighbours."""

RATIOS = [Ratio(n, m) for n, m in ((1, 4), (2, 4), (1, 8), (2, 8), (4, 8), (1, 16), (2, 16), (4, 16))]
STALL = 0.3
LEAST_PLACES = 1 << PLACES_BITS - 1
"""Bits of the most negative exponent of a loss scale."""


class Draw:
    """Random words of any layout; what is as wide as a number is a number of any kind.

    Parameters
    ----------
    seed : int
        Of the random numbers.
    """

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def number(self, form: FloatFormat, count: int = 1) -> np.ndarray:
        """Bits of numbers: ends of the format's ranges, numbers near 1, and any."""
        normal, one = 1 << form.mantissa_bits, form.bias << form.mantissa_bits
        ends = [0, 1, normal - 1, normal, one, form.largest - 1, form.largest, form.largest + 1, form.quiet_nan]
        kinds = [
            self._rng.choice(ends, count),
            one + self._rng.integers(-4 * normal, 4 * normal, count),
            self._rng.integers(0, 1 << form.width - 1, count),
        ]
        magnitude = np.choose(self._rng.choice(3, count, p=(0.1, 0.6, 0.3)), kinds)
        return magnitude | self._rng.integers(0, 2, count) << form.width - 1

    def word(self, shape: object, fixed: Mapping[str, int] | None = None) -> int:
        """A word of this shape, whose fields in `fixed` have these values."""
        if isinstance(shape, data.Layout):
            fields = {name: (field.offset, field.shape) for name, field in shape}
            return sum(
                (fixed[name] if fixed and name in fixed else self.word(inner, fixed)) << offset
                for name, (offset, inner) in fields.items()
            )
        width = Shape.cast(shape).width
        for form in (BINARY32, CONFIG.storage_format):
            if width == form.width:
                return int(self.number(form)[0])
        return int.from_bytes(self._rng.bytes(-(-width // 8))) & ((1 << width) - 1)

    def words(self, component: wiring.Component, port: str, count: int, **fixed: int) -> list[int]:
        """Words for an input stream of a component."""
        shape = getattr(component, port).payload.shape()
        return [self.word(shape, fixed) for _ in range(count)]


def play_array(seed: int) -> None:
    """Products of every ratio in both dataflows, of ordinary and of any numbers; NumPy's bits are due."""
    draw, rng = Draw(seed), np.random.default_rng(seed)
    products: list[Operands] = []
    for ratio, wild, dataflow in product((DENSE, Ratio(8, 16), *RATIOS), (False, False, True, True, True), Dataflow):
        m, n, k = (int(size) for size in rng.integers(1, (24, 72, 160)))
        gemm = Gemm(config=CONFIG, m=m, n=n, k=k, ratio=ratio, dataflow=dataflow, seed=len(products))
        products.append(_wild(draw, gemm.operands()) if wild else gemm.operands())
    _play_products(products, STALL, seed)
    # Few terms and a slow way out: results pile up.
    short = [Gemm(config=CONFIG, m=16, n=16, k=1, ratio=DENSE, dataflow=dataflow) for dataflow in Dataflow]
    _play_products([gemm.operands() for gemm in short], 0.8, seed)


def _play_products(products: list[Operands], stall: float, seed: int) -> None:
    played = play_products(CONFIG, products, stall_probability=stall, seed=seed)
    for operands, result in zip(products, played.results, strict=True):
        if not np.array_equal(result.view(np.uint32), reference(CONFIG, operands).view(np.uint32)):
            raise SimulationError(f"the array's product differs from NumPy's: {operands.ratio}, {operands.dataflow}")


def _wild(draw: Draw, operands: Operands) -> Operands:
    """The same product of numbers of any kind."""
    weights, activations = operands.weights, operands.activations
    return replace(
        operands,
        weights=draw.number(CONFIG.storage_format, weights.size).reshape(weights.shape).astype(np.uint16),
        activations=draw.number(CONFIG.storage_format, activations.size).reshape(activations.shape).astype(np.uint16),
    )


def play_vectors(seed: int) -> None:
    """Words through each vector block; its streams' contract and the number of its words are checked."""
    draw = Draw(seed)
    for make in (_sore, _transpose, _update, _passes, _functions, _held_factors, _reductions, _pregenerate):
        component, phases = make(draw)
        play_phases(component, phases, stall_probability=STALL, seed=seed)


def _sore(draw: Draw) -> tuple[SORE, list[Phase]]:
    dut, ratios = SORE(CONFIG), [DENSE, *RATIOS, Ratio(2, 3), *RATIOS]
    return dut, [Phase({"i": draw.words(dut, "i", 20 * r.m, n=r.n, m=r.m)}, {"o": 20 * r.n}) for r in ratios]


def _transpose(draw: Draw) -> tuple[Transpose, list[Phase]]:
    width, lanes = CONFIG.storage_format.width, CONFIG.sore_lanes
    dut = Transpose(width, size=CONFIG.max_group, lanes=lanes)
    # All bits of both halves of the memory become one, and zero again.
    words = [bit * ((1 << width * lanes) - 1) for bit in (0, 0, 1, 1, 0, 0) for _ in range(dut.block_words)]
    words += draw.words(dut, "i", 2 * dut.block_words)
    return dut, [Phase({"i": words}, {"o": len(words)})]


def _updates(draw: Draw, dut: WUVE | Pregenerate, count: int, number: int) -> tuple[dict[str, list[int]], dict[str, int]]:
    """Words for the inputs of an update engine, and its other inputs for phase `number`: first ends, then any."""
    sources = {name: draw.words(dut, name, count) for name in ("i_master", "i_gradient")}
    rates = rates_layout(CONFIG)
    ends = [0, (1 << rates.size) - 1, 0, draw.word(rates, {"unscale": LEAST_PLACES})]
    return sources, {"rates": ends[number] if number < len(ends) else draw.word(rates), "clear": number % 2}


def _update(draw: Draw) -> tuple[WUVE, list[Phase]]:
    dut = WUVE(CONFIG)
    updates = [_updates(draw, dut, 60, number) for number in range(20)]
    return dut, [Phase(sources, {"o": 60}, inputs) for sources, inputs in updates]


def _passes(draw: Draw) -> tuple[VPU, list[Phase]]:
    dut, phases = VPU(CONFIG), []
    names = [name for name, _ in PASS if name != "undefined"]
    for number, bits in enumerate((*product((0, 1), repeat=len(names)), [0] * len(names))):
        steps = dict(zip(names, bits, strict=True))
        used = {
            "i": 1,
            "i_factors": steps["scale"] | steps["shift"] | steps["multiply"] & steps["third"],
            "i_residual": steps["residual"] | steps["multiply"] & ~(steps["itself"] | steps["third"]),
            "i_mask": steps["gate"],
        }
        sources = {name: draw.words(dut, name, 4) for name, is_used in used.items() if is_used}
        inputs = {"steps": draw.word(PASS, steps), "function": number % len(Function) if number % 3 == 0 else 0}
        phases.append(Phase(sources, {"o": 4}, inputs))
    return dut, phases


def _functions(draw: Draw) -> tuple[FunctionUnit, list[Phase]]:
    dut = FunctionUnit(CONFIG)
    return dut, [Phase({"i": draw.words(dut, "i", 200)}, {"o": 200}, {"function": one}) for one in (*Function, 15, 0)]


def _held_factors(draw: Draw) -> tuple[HeldFactors, list[Phase]]:
    dut, phases = HeldFactors(CONFIG), []
    sizes = [(0, 1, 1, 1), (1, 1, 5, 2), (7, 3, 4, 2), (HELD_WORDS, 100, 3, 2)]
    for (words, block, columns, tile), pairs, third, by_row in product(sizes, (0, 1), (0, 1), (0, 1)):
        fields = {"words": min(words, 1) if by_row else words, "block": block, "columns": columns, "column_tile": tile}
        kinds, count = pairs + third, fields["words"] * columns or 4
        if not kinds or (by_row and not words):
            continue
        fills = -(-count // (block * CONFIG.vpu_lanes)) if by_row else 1
        taken = fills * fields["words"] * kinds or count
        held = held_layout(CONFIG).const(fields | {"uses": count, "pairs": pairs, "third": third, "by_row": by_row}).as_bits()
        phases.append(Phase({}, {}, {"begin": 1, "held": held}))
        phases.append(Phase({"i": draw.words(dut, "i", taken)}, {"o": count}, {"begin": 0, "held": held}))
    return dut, phases


def _reductions(draw: Draw) -> tuple[ReductionUnit, list[Phase]]:
    dut, phases = ReductionUnit(CONFIG), []
    for groups, terms, largest in product((1, 3, MOST_GROUPS), (1, 3, 40), (0, 1)):
        sizes = sizes_layout(CONFIG).const({"largest": largest, "groups": groups, "terms": terms}).as_bits()
        phases.append(Phase({"i": draw.words(dut, "i", groups * terms)}, {"o": groups}, {"sizes": sizes}))
    for groups, block, terms, tile in ((5, 2, 40, 16), (3, 3, 7, 2), (MOST_GROUPS, MOST_GROUPS - 1, 3, 2)):
        sizes = sizes_layout(CONFIG).const({"groups": groups, "block": block, "terms": terms, "tile": tile}).as_bits()
        phases.append(Phase({"i": draw.words(dut, "i", groups * terms)}, {"o": groups}, {"sizes": sizes}))
    for terms, last, largest in product((1, 9), (1, CONFIG.vpu_lanes), (0, 1)):
        fields = {"largest": largest, "across": 1, "groups": CONFIG.vpu_lanes, "terms": terms, "last_lanes": last}
        words = draw.words(dut, "i", CONFIG.vpu_lanes * terms)
        phases.append(Phase({"i": words}, {"o": 1}, {"sizes": sizes_layout(CONFIG).const(fields).as_bits()}))
    return dut, phases


def _pregenerate(draw: Draw) -> tuple[Pregenerate, list[Phase]]:
    dut, phases, count = Pregenerate(CONFIG), [], CONFIG.turned_block_words
    cases = [(ratio, 0) for ratio in (DENSE, Ratio(1, 2), *RATIOS, DENSE)] + [(Ratio(2, 4), skip) for skip in (3, 1, 2, 0)]
    for number, (ratio, skip) in enumerate(cases):
        sources, inputs = _updates(draw, dut, count, number)
        packed = count // ratio.m * ratio.n
        copies = {name: packed for bit, name in enumerate(("o_forward", "o_backward")) if not skip >> bit & 1}
        fixed = draw.word(ratio_layout(CONFIG), {"n": ratio.n, "m": ratio.m})
        phases.append(Phase(sources, {"o_master": count, **copies}, {**inputs, "ratio": fixed, "skip": skip}))
    return dut, phases
