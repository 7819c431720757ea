"""Prune a trained network once."""

from dataclasses import dataclass
from typing import ClassVar

from dataflow.ir.program import Stage
from training.methods.method import Method, kept
from training.methods.site import Site
from training.numbers import Array


@dataclass(frozen=True)
class OneShot(Method):
    """Dense training, then ``y = (W·E_in) x`` without a step more; no product of the training is sparse.

    Jaiswal et al., *The emergence of essential sparsity in large pre-trained models*, NeurIPS 2023.
    """

    name: ClassVar[str] = "one-shot"
    sparse_stages: ClassVar[frozenset[Stage]] = frozenset()

    def forward_weights(self, weights: Array, site: Site) -> Array:
        return kept(weights, site.ratio) if site.moment.finished else weights

    def backward_weights(self, weights: Array, site: Site) -> Array:
        return self.forward_weights(weights, site)
