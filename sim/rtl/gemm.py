"""One random product on all three executors."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from dataflow.ir.program import Dataflow
from dataflow.scheduling.array import ArrayUnit
from dataflow.scheduling.interleave import choose_interleave
from hw.config import AcceleratorConfig
from hw.errors import InputError
from hw.ratio import Ratio
from sim.rtl.player import Operands
from sim.rtl.products import play_products
from training import exact, nm
from training.numbers import from_bits, to_bits, to_storage

MOST_MACS = 1 << 28
"""Of a product: about a minute of simulation on the smallest array."""


@dataclass(frozen=True, kw_only=True)
class Gemm:
    """A product (m, k) · (k, n) of random operands.

    Parameters
    ----------
    config : AcceleratorConfig
        Where it runs.
    m, n, k : int
        Rows of the weights, columns of the result, reduction length before pruning; each at least 1.
    ratio : Ratio
        Dense, or the N:M that the weights are pruned to along k.
    seed : int
        Of the operands and of the stalls.
    dataflow : Dataflow
        What stays in the array.
    stall_probability : float
        See `sim.rtl.products.play_products`.
    """

    config: AcceleratorConfig
    m: int
    n: int
    k: int
    ratio: Ratio
    dataflow: Dataflow = Dataflow.OUTPUT_STATIONARY
    seed: int = 0
    stall_probability: float = 0.0

    def __post_init__(self) -> None:
        if min(self.m, self.n, self.k) >= 1 and self.m * self.n * self.k > MOST_MACS:
            raise InputError(f"m x n x k is too large: at most {MOST_MACS:,} multiply-accumulates")
        for name in ("m", "n", "k"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
        self.config.check_ratio(self.ratio)
        if not 0 <= self.stall_probability <= 0.95:
            raise InputError(f"stall probability must be in 0..0.95, not {self.stall_probability}")

    def operands(self) -> Operands:
        """Random operands, normally distributed, pruned and packed as a trainer would."""
        rng = np.random.default_rng(self.seed)
        storage = self.config.storage_format
        weights = to_storage(rng.standard_normal((self.m, self.k)).astype(np.float32), storage)
        activations = to_storage(rng.standard_normal((self.n, self.k)).astype(np.float32), storage)
        indices = None
        if not self.ratio.is_dense:
            packed = nm.pack(weights, self.ratio)
            weights, indices = packed.values.reshape(self.m, -1), packed.indices.reshape(self.m, -1)
            padding = self.ratio.groups(self.k) * self.ratio.m - self.k
            activations = np.pad(activations, ((0, 0), (0, padding)))
        interleave = choose_interleave(self.config, self.m, self.n, weights.shape[1])
        return Operands(
            self.ratio,
            to_bits(weights, storage).astype(np.uint16),
            indices,
            to_bits(activations, storage).astype(np.uint16),
            interleave,
            self.dataflow,
        )

    def useful_macs(self) -> int:
        """Multiply-accumulates of kept elements of the real shape."""
        short = self.k % self.ratio.m
        kept = self.k // self.ratio.m * self.ratio.n + min(short, self.ratio.n)
        return self.m * self.n * kept

    def run(self) -> dict[str, Any]:
        """Run on NumPy, on the cycle model and on the RTL, and compare."""
        operands = self.operands()
        shape = operands.tile(self.config)
        played = play_products(self.config, [operands], stall_probability=self.stall_probability, seed=self.seed)
        expected = reference(self.config, operands)
        different = int(np.count_nonzero(played.results[0].view(np.uint32) != expected.view(np.uint32)))
        macs, cycles = self.useful_macs(), played.cycles[0]
        return {
            "config": self.config.name,
            "format": self.config.storage,
            "m": self.m,
            "n": self.n,
            "k": self.k,
            "ratio": str(self.ratio),
            "dataflow": str(self.dataflow),
            "seed": self.seed,
            "stall_probability": self.stall_probability,
            "interleave": list(operands.interleave),
            "words_compared": expected.size,
            "words_different": different,
            "rtl_cycles": cycles,
            "model_cycles": ArrayUnit(self.config, [shape]).run()[0],
            "macs": macs,
            "utilization": macs / (self.config.macs_per_cycle * cycles),
        }


def reference(config: AcceleratorConfig, operands: Operands) -> np.ndarray:
    """The product as NumPy has it, (m, n) binary32, bit by bit what the hardware must answer."""
    storage = config.storage_format
    weights, activations = from_bits(operands.weights, storage), from_bits(operands.activations, storage)
    if operands.indices is None:
        return exact.matmul(weights, activations)
    return exact.matmul_packed(weights, operands.indices, activations, operands.ratio)
