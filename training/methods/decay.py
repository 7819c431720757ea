"""Pruned weights that fade away: mask decay, linear and exponential."""

from abc import abstractmethod
from dataclasses import dataclass
from math import exp
from typing import ClassVar

from dataflow.program import Stage
from training.methods.method import Method, kept
from training.methods.site import Moment, Site
from training.numbers import Array

PUBLISHED_RATE = 2e-4
PUBLISHED_STEPS = 10_000
"""A training of this many steps uses the published rate; a shorter one fades as fast for its length."""


@dataclass(frozen=True)
class MaskDecay(Method):
    """``y = W' x``, ``dx = W'^T dy``, ``dW = dy x^T`` with ``W' = W·(E_in + (1 - E_in)·D)``, D from 1 to 0; at the end D = 0.

    While D is above 0 no product is sparse. MdGf of Bambhaniya et al., *Progressive gradient flow for robust N:M sparsity
    training in transformers*, 2024.
    """

    sparse_stages: ClassVar[frozenset[Stage]] = frozenset()

    @abstractmethod
    def factor(self, fade: float) -> float:
        """D after `fade`, c·t: the published rate times the steps of a training of full length."""

    def forward_weights(self, weights: Array, site: Site) -> Array:
        factor = 0.0 if site.moment.finished else self.factor(_fade(site.moment))
        pruned = kept(weights, site.ratio)
        return pruned + (weights - pruned) * weights.dtype.type(factor)

    def backward_weights(self, weights: Array, site: Site) -> Array:
        return self.forward_weights(weights, site)


@dataclass(frozen=True)
class LinearDecay(MaskDecay):
    """MdGf-linear: ``D = max(1 - c t, 0)``, c = 2e-4."""

    name: ClassVar[str] = "decay-linear"

    def factor(self, fade: float) -> float:
        return max(1 - fade, 0.0)


@dataclass(frozen=True)
class ExponentialDecay(MaskDecay):
    """MdGf-exponential: ``D = exp(-c t)``, c = 2e-4."""

    name: ClassVar[str] = "decay-exponential"

    def factor(self, fade: float) -> float:
        return exp(-fade)


def _fade(moment: Moment) -> float:
    stretch = max(PUBLISHED_STEPS / moment.steps, 1.0) if moment.steps else 1.0
    return PUBLISHED_RATE * stretch * moment.step
