"""Pruned weights that fade away: mask decay, linear and exponential."""

from abc import abstractmethod
from dataclasses import dataclass
from math import exp
from typing import ClassVar

import numpy as np

from dataflow.ir.program import Stage
from hw.errors import InputError
from training.methods.method import Method, kept
from training.methods.site import Moment, Site
from training.numbers import Array

PUBLISHED_STEPS = 10_000
"""A training of this many steps uses the published rate; a shorter one fades as fast for its length."""


@dataclass(frozen=True)
class MaskDecay(Method):
    """``y = W' x``, ``dx = W'^T dy``, ``dW = dy x^T`` with ``W' = W·(E_in + (1 - E_in)·D)``.

    D is 1 in a dense phase, falls, and is 0 in a phase of fine-tuning, in which the mask is binary. No product of the training
    counts as sparse. MdGf of Bambhaniya et al., *Progressive gradient flow for robust N:M sparsity training in transformers*,
    2024; how long the two phases last is varied there, and the defaults are ours.

    Parameters
    ----------
    dense, fine_tune : float
        Shares of the training's steps, together below 1; a training of unknown length has neither phase.
    rate : float
        c, above 0.
    """

    dense: float = 0.0125
    fine_tune: float = 0.1
    rate: float = 2e-4

    sparse_stages: ClassVar[frozenset[Stage]] = frozenset()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.dense >= 0 and self.fine_tune >= 0 and self.dense + self.fine_tune < 1):
            raise InputError(f"dense and fine_tune must be at least 0, together below 1, not {self.dense} and {self.fine_tune}")
        if not self.rate > 0:
            raise InputError(f"rate must be above 0, not {self.rate}")

    @abstractmethod
    def factor(self, fade: float) -> float:
        """D after `fade`, c·t: the rate times the steps of a training of full length."""

    def forward_weights(self, weights: Array, site: Site) -> Array:
        factor = self._factor(site.moment)
        pruned = kept(weights, site.ratio)
        return pruned + (weights - pruned) * np.float32(factor)

    def backward_weights(self, weights: Array, site: Site) -> Array:
        return self.forward_weights(weights, site)

    def _factor(self, moment: Moment) -> float:
        """D of the step to come."""
        if moment.steps is None:
            return self.factor(self.rate * moment.step)
        if moment.step >= moment.steps * (1 - self.fine_tune):
            return 0.0
        stretch = max(PUBLISHED_STEPS / moment.steps, 1.0)
        return self.factor(self.rate * stretch * max(moment.step - moment.steps * self.dense, 0.0))


@dataclass(frozen=True)
class LinearDecay(MaskDecay):
    """MdGf-linear: ``D = max(1 - c t, 0)``, c = 2e-4, t from the end of the dense phase."""

    name: ClassVar[str] = "decay-linear"

    def factor(self, fade: float) -> float:
        return max(1 - fade, 0.0)


@dataclass(frozen=True)
class ExponentialDecay(MaskDecay):
    """MdGf-exponential: ``D = exp(-c t)``, c = 2e-4, t from the end of the dense phase."""

    name: ClassVar[str] = "decay-exponential"

    def factor(self, fade: float) -> float:
        return exp(-fade)
