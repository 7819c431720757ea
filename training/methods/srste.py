"""Sparse-refined straight-through estimator."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dataflow.program import Stage
from hw.ratio import Ratio
from training.methods.method import Method
from training.nm import select
from training.numbers import Array


@dataclass(frozen=True)
class SrSte(Method):
    """``y = (W·E_in) x``, ``dx = (W·E_in)^T dy``, ``dW = dy x^T + λ_w (1 - E_in) W`` with λ_w = 2e-4.

    The input gradient reads the pruned weights too, but along output channels they form no groups: its product is dense.
    Zhou et al., *Learning N:M fine-grained structured sparse neural networks from scratch*, ICLR 2021.
    """

    pruned_decay: float = 2e-4

    name: ClassVar[str] = "srste"
    sparse_stages: ClassVar[frozenset[Stage]] = frozenset({Stage.FORWARD})

    def dense_operand(self, weights: Array, ratio: Ratio) -> Array:
        return np.where(select(weights, ratio), weights, weights.dtype.type(0))
