"""Sparse-refined straight-through estimator."""

from dataclasses import dataclass
from typing import ClassVar

from dataflow.ir.program import Stage
from training.methods.method import Method, kept
from training.methods.site import Site
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

    def backward_weights(self, weights: Array, site: Site) -> Array:
        return kept(weights, site.ratio)
