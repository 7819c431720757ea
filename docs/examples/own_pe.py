"""A processing element of one's own: an approximate multiplier that keeps eight bits below the point of each product.

The array asks two things of an element: the ports of `USPE` and its steps. This one replaces the product alone.
"""

import numpy as np
from amaranth.hdl import Cat, Const, Module
from amaranth.lib import wiring

from dataflow.scheduling.array import ArrayUnit
from hw.array.uspe import USPE
from hw.config import PRESETS
from hw.mac.exact import ExactMac, Factors, Product
from hw.ratio import Ratio
from sim.rtl.gemm import Gemm
from sim.rtl.player import Operands
from sim.rtl.products import play_products

KEPT_BITS = 8
DROPPED_BITS = 21 - KEPT_BITS  # a product of two significands of 11 bits has 21 below the point


class TruncatingMac(ExactMac):
    """Products lose their low bits, downwards."""

    def multiply(self, m: Module, x: Factors) -> Product:
        exact = super().multiply(m, x)
        return exact._replace(significand=Cat(Const(0, DROPPED_BITS), exact.significand[DROPPED_BITS:]).as_signed())


class TruncatingPE(USPE):
    """A USPE with that multiplier."""

    @property
    def core(self) -> type[wiring.Component]:
        return TruncatingMac


def reference(operands: Operands) -> np.ndarray:
    """What the array must answer with this element: the sums of a 2:8 product, each term truncated, in order."""
    weights = operands.weights.view(np.float16).astype(np.float32)
    activations = operands.activations.view(np.float16).astype(np.float32)
    sums = np.zeros((len(weights), len(activations)), np.float32)
    for kept in range(weights.shape[1]):
        chosen = operands.ratio.m * (kept // operands.ratio.n) + operands.indices[:, kept]
        factors = weights[:, kept, None], activations[:, chosen].T
        # A product of two numbers in [1/2, 1) times powers of two is in [1/4, 1): half the significand of the element.
        exponent = sum(np.frexp(factor)[1] for factor in factors) - 1
        sums += np.ldexp(np.floor(np.ldexp(factors[0] * factors[1], KEPT_BITS - exponent)), exponent - KEPT_BITS)
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
