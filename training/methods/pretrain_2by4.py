"""Transposable masks, masked decay, sampled gradients and a dense end."""

from dataclasses import dataclass
from typing import ClassVar

from dataflow.ir.program import Stage
from hw.errors import InputError
from hw.ratio import DENSE, Ratio
from training.methods.site import Site
from training.methods.transposable import Transposable
from training.nm import Mask
from training.numbers import Array
from training.sampling import sample


@dataclass(frozen=True)
class Pretrain2by4(Transposable):
    """``y = (W·E_t) x``, ``dx = (W·E_t)^T dy``, ``dW = s(dy) x^T + λ_w (1 - E_t) W``; the last sixth of the steps is dense.

    E_t is N:M along both axes and is chosen anew every 40 steps; s is an unbiased N:M sample, see `training.sampling`. The
    decay of pruned weights is part of the gradient, so that an adaptive optimiser scales it, and keeps masks from flipping. λ_w
    is to be chosen by the rate at which they flip, `mask_change_rate` of a training's metrics: the authors have 6e-6 to 2e-4 by
    model, and 6e-5 in their example. Hu et al., *Accelerating transformer pre-training with 2:4 sparsity*, ICML 2024.

    Parameters
    ----------
    pruned_decay : float
        λ_w.
    dense_end : float
        Share of the training's steps at its end that are dense, at least 0 and below 1; of one of unknown length none are.
    sampled : bool
        Whether the weight gradient's product reads a sample of dy, or dy.
    """

    pruned_decay: float = 6e-5
    dense_end: float = 1 / 6
    sampled: bool = True

    name: ClassVar[str] = "pretrain-2by4"
    sparse_stages: ClassVar[frozenset[Stage]] = frozenset(Stage)
    note: ClassVar[str] = (
        "The accelerator samples no gradients: the weight gradient is dense here. A step of the dense end costs what a dense"
        " one does."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.dense_end < 1:
            raise InputError(f"dense_end must be at least 0 and below 1, not {self.dense_end}")

    def packing_ratio(self, site: Site) -> Ratio:
        return DENSE if self._is_dense(site) else site.ratio

    def forward_weights(self, weights: Array, site: Site) -> Array:
        return weights if self._is_dense(site) else super().forward_weights(weights, site)

    def backward_weights(self, weights: Array, site: Site) -> Array:
        return weights if self._is_dense(site) else super().backward_weights(weights, site)

    def pruned(self, weights: Array, site: Site) -> Mask | None:
        return None if self._is_dense(site) else ~site.memory["mask"]

    def weight_gradient_operand(self, gradient: Array, site: Site) -> Array:
        return sample(gradient, site.ratio, site.rng, axis=0) if self.sampled and not self._is_dense(site) else gradient

    def _is_dense(self, site: Site) -> bool:
        """Whether the step to come is one of the dense ones at the end."""
        moment = site.moment
        return moment.steps is not None and moment.step >= moment.steps * (1 - self.dense_end)
