"""The timing diagrams of docs/blocks: each is what the block did in Amaranth's simulator. Writes docs/images/wave-*.svg."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from hw.array.sequencer import tiles_layout
from hw.array.stce import STCE
from hw.array.uspe import USPE
from hw.config import AcceleratorConfig
from hw.engines.functions import FunctionUnit
from hw.engines.reductions import ReductionUnit, sizes_layout
from hw.engines.sore import SORE
from hw.engines.transpose import Transpose
from hw.engines.vpu import PASS, VPU
from hw.engines.wuve import WUVE
from hw.formats import BINARY16, BINARY32
from hw.fp import FloatAdd, FloatMultiply
from hw.isa.functions import Function
from hw.mac.forms import ExactForms
from sim.rtl.forms import to_number, to_operands
from sim.waves import Scene, draw

IMAGES = Path(__file__).parents[1] / "images"
CONFIG = AcceleratorConfig(
    name="scene", rows=1, columns=1, max_group=4, sore_lanes=1, wuve_lanes=1, vpu_lanes=1, add_latency_cycles=1
)
ARRAY = AcceleratorConfig(name="array", rows=2, columns=2, max_group=2, multiply_latency_cycles=1, add_latency_cycles=1)
OPERANDS = (0, 1, 2, 3)
TILE = {"tiles": 1, "rounds": 4, "group_rounds": 1, "slot_rows": 1, "slot_columns": 1}


def half(value: float) -> int:
    """The bits of a binary16 number."""
    return int(np.float16(value).view(np.uint16))


def single(value: float) -> int:
    """The bits of a binary32 number."""
    return int(np.float32(value).view(np.uint32))


def operand(value: float) -> int:
    """A binary16 number as an operand within the array."""
    return int(to_operands(BINARY16, np.array(value)))


def as_operand(word: int) -> str:
    """One of OPERANDS that `operand` made."""
    return next(f"{value:g}" for value in OPERANDS if operand(value) == word)


def as_sum(word: int) -> str:
    """A sum within the array."""
    return f"{to_number(BINARY16, word):g}"


def as_half(bits: int) -> str:
    """The low 16 bits as a binary16 number."""
    return f"{np.uint16(bits & 0xFFFF).view(np.float16):g}"


def as_single(bits: int) -> str:
    """The low 32 bits as a binary32 number."""
    return f"{np.uint32(bits & 0xFFFFFFFF).view(np.float32):g}"


def halves(*values: float) -> int:
    """Binary16 numbers side by side, the first lowest."""
    return sum(half(value) << 16 * place for place, value in enumerate(values))


def kept(*weights: tuple[float, int]) -> int:
    """Weights with their indices, one for each row of ARRAY."""
    return sum((half(value) | index << 16) << 17 * row for row, (value, index) in enumerate(weights))


def as_digits(word: int) -> str:
    """Two elements of four bits, the first lowest."""
    return f"{word & 15:X} {word >> 4:X}"


def as_kept(bits: int) -> str:
    """The weights of the two rows of ARRAY with their indices."""
    return " ".join(f"{as_half(word)}@{word >> 16 & 1}" for word in (bits, bits >> 17))


def stream(name: str, write: Callable[[int], str]) -> dict[str, Callable[[int], str] | None]:
    """The three signals of a stream."""
    return {f"{name}.valid": None, f"{name}.ready": None, f"{name}.payload": write}


NUMBERS = (1, -3, 2, 0.5, 4, -1, 2, 8)

SCENES = {
    "float": Scene(
        component=FloatMultiply(BINARY16, BINARY32, 2),
        cycles=8,
        inputs={
            "en": [1, 1, 1, 0, 1],
            "a": [half(v) for v in (1.5, 2, 3, 4, 4, 0)],
            "b": [half(v) for v in (2, 2, 0.5, 3, 3, 0)],
        },
        shown={"en": None, "a": as_half, "b": as_half, "o": as_single},
    ),
    "float-add": Scene(
        component=FloatAdd(BINARY32, 3),
        cycles=8,
        inputs={"en": [1], "a": [single(v) for v in (1, 2, 3, 0)], "b": [single(v) for v in (0.5, -2, 4, 0)]},
        shown={"en": None, "a": as_single, "b": as_single, "o": as_single},
    ),
    "uspe": Scene(
        component=USPE(CONFIG),
        cycles=11,
        inputs={
            "west.en": [1],
            "west.first": [1, 0],
            "west.last": [0, 0, 1, 0],
            "west.weight": [operand(v) for v in (1, 2, 3, 0)],
            "west.index": [0, 2, 1, 0],
            "north": [sum(operand(v) << ExactForms(BINARY16).operand.size * at for at, v in enumerate((10, 20, 30, 40)))],
        },
        shown={
            "west.en": None,
            "west.first": None,
            "west.last": None,
            "west.weight": as_operand,
            "west.index": str,
            "east.weight": as_operand,
            "east.drain": as_sum,
        },
    ),
    "stce": Scene(
        component=STCE(ARRAY),
        cycles=17,
        words={
            "i_tiles": [tiles_layout(ARRAY).const(TILE).as_bits()],
            "i_w2e": [kept((1, 0), (2, 1)), kept((3, 1), (1, 1)), kept((2, 0), (4, 0)), kept((2, 1), (6, 0))],
            "i_n2s": [halves(1, 2, 5, 6), halves(3, 4, 7, 8), halves(2, 0, 1, 1), halves(1, 1, 2, 3)],
        },
        pauses={"i_w2e": {3}, "o": {13}},
        shown={"i_tiles.valid": None, "i_tiles.ready": None}
        | stream("i_w2e", as_kept)
        | stream("i_n2s", lambda bits: " ".join(as_half(bits >> place) for place in (0, 16, 32, 48)))
        | stream("o", lambda bits: f"{as_single(bits)} {as_single(bits >> 32)}"),
    ),
    "sore": Scene(
        component=SORE(CONFIG),
        cycles=14,
        words={"i": [half(v) | 2 << 16 | 4 << 19 for v in NUMBERS]},
        pauses={"i": {2}, "o": {6, 7}},
        shown=stream("i", as_half) | stream("o", lambda bits: f"{as_half(bits)} @{bits >> 16}"),
    ),
    "transpose": Scene(
        component=Transpose(4, size=2, lanes=2),
        cycles=12,
        words={"i": [0xBA, 0xDC, 0x21, 0x43, 0x65, 0x87]},
        pauses={"o": {3, 4, 5}},
        shown=stream("i", as_digits) | stream("o", as_digits),
    ),
    "vpu": Scene(
        component=VPU(CONFIG),
        cycles=17,
        words={"i": [single(v) for v in (1, -2, 3, 4)], "i_factors": [single(v) | single(2) << 32 for v in (1, 1, -10, 1)]},
        pauses={"i_factors": {2}, "o": {12}},
        inputs={"steps": [PASS.const({"scale": 1, "shift": 1, "relu": 1}).as_bits()]},
        shown=stream("i", as_single) | {"i_factors.valid": None} | stream("o", as_single),
    ),
    "functions": Scene(
        component=FunctionUnit(CONFIG),
        cycles=11,
        words={"i": [single(v) for v in (1, 4, 0.5, 0, -2)]},
        pauses={"i": {2}, "o": {6}},
        inputs={"function": [Function.RECIPROCAL]},
        shown=stream("i", as_single) | stream("o", as_single),
    ),
    "reductions": Scene(
        component=ReductionUnit(CONFIG),
        cycles=40,
        words={"i": [single(v) for v in (1, 2, 3, 4, 5, 6)]},
        pauses={"i": {1}},
        inputs={"sizes": [sizes_layout(CONFIG).const({"largest": 0, "groups": 1, "terms": 3}).as_bits()]},
        shown=stream("i", as_single) | stream("o", as_single),
    ),
    "wuve": Scene(
        component=WUVE(CONFIG),
        cycles=14,
        words={"i_master": [single(v) for v in (1, 2, 3)], "i_gradient": [single(v) for v in (0.5, 1, 1)]},
        pauses={"i_gradient": {1}, "o": {9}},
        inputs={"rates.learning_rate": [single(0.5)]},
        shown=stream("i_master", as_single)
        | {"i_gradient.valid": None, "i_gradient.payload": as_single}
        | stream("o", as_single),
    ),
}


def main() -> None:
    """Draw them all."""
    for name, scene in SCENES.items():
        (IMAGES / f"wave-{name}.svg").write_text(draw(scene), encoding="utf-8")


if __name__ == "__main__":
    main()
