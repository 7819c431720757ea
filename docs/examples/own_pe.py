"""A processing element of one's own: an approximate multiplier that keeps eight bits of each product's fraction.

The array asks two things of an element: the ports of `USPE` and its steps. This one replaces the product alone.
"""

import numpy as np
from amaranth.hdl import Cat, Const, Module, Value

from dataflow.array import ArrayUnit
from hw.config import PRESETS
from hw.ratio import Ratio
from hw.uspe import USPE
from sim.gemm import Gemm
from sim.player import Operands
from sim.rtl import play_products

KEPT_BITS = 8
DROPPED_BITS = 23 - KEPT_BITS


class TruncatingPE(USPE):
    """A USPE whose products lose the low bits of their fraction, towards zero."""

    def product(self, m: Module, platform: object, weight: Value, activation: Value) -> Value:
        exact = super().product(m, platform, weight, activation)
        return Cat(Const(0, DROPPED_BITS), exact[DROPPED_BITS:])


def reference(operands: Operands) -> np.ndarray:
    """What the array must answer with this element: the sums of a 2:8 product, each term truncated, in order."""
    weights = operands.weights.view(np.float16).astype(np.float32)
    activations = operands.activations.view(np.float16).astype(np.float32)
    sums = np.zeros((len(weights), len(activations)), np.float32)
    for kept in range(weights.shape[1]):
        chosen = operands.ratio.m * (kept // operands.ratio.n) + operands.indices[:, kept]
        terms = weights[:, kept, None] * activations[:, chosen].T
        sums += (terms.view(np.uint32) & (0xFFFFFFFF << DROPPED_BITS & 0xFFFFFFFF)).view(np.float32)
    return sums


def main() -> None:
    """Run one product on the array of these elements, and compare words and cycles."""
    config = PRESETS["tiny"]
    operands = Gemm(config=config, m=33, n=10, k=64, ratio=Ratio(2, 8)).operands()
    played = play_products(config, [operands], element=TruncatingPE)
    different = np.count_nonzero(played.results[0].view(np.uint32) != reference(operands).view(np.uint32))
    model = ArrayUnit(config, [operands.tile(config)]).run()
    print(f"{different} of {played.results[0].size} words differ; {played.cycles[0]} cycles, the model says {model[0]}")
    assert different == 0
    assert played.cycles == model


if __name__ == "__main__":
    main()
